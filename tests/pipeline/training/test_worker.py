"""The network of a job, and what a worker leaves of a fold."""

import pytest

from fer_batch.models.backbone import build
from fer_batch.pipeline.training.worker import make_network
from fer_batch.types import InputError


def test_a_pretrained_file_fills_all_but_the_last_layer(job, tmp_path):
    import safetensors.torch
    import torch

    torch.manual_seed(0)
    source = build("resnet18", 5, {"width": 0.125})
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = make_network(job(network={"checkpoint": str(path)}).network, 3)
    for name, tensor in model.state_dict().items():
        assert name.startswith("fc.") or torch.equal(tensor, source.state_dict()[name]), name
    assert model.fc.weight.shape[0] == 3


def test_a_refusal_names_the_keys_of_a_training_and_leaves_names_of_files_alone(job):
    with pytest.raises(InputError, match=r"^network: factory 'model\.factory:build' cannot be imported"):
        make_network(job(network={"architecture": None, "factory": "model.factory:build"}).network, 3)
