"""The network of a job, and what a worker leaves of a fold."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.vgg import make_layers

from fer_batch.models.backbone import ARCHITECTURES, build
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


class TinyVgg(torch.nn.Module):
    """The layers of VGG-Face by their names, two channels wide."""

    def __init__(self, n_outputs):
        super().__init__()
        cut = [2, 2, "M", 2, 2, "M", *([2, 2, 2, "M"] * 3)]
        self.features, wide = (
            make_layers(cut),
            [torch.nn.Linear(2, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, n_outputs)],
        )
        between = [torch.nn.ReLU(), torch.nn.Dropout(0.0)]
        self.classifier = torch.nn.Sequential(wide[0], *between, wide[1], *between, wide[2])


@pytest.mark.parametrize("file_of", ["caffe", "torchvision"])
def test_a_file_of_vgg_face_is_known_by_its_names_and_caffes_pixels_are_said(job, tmp_path, monkeypatch, file_of):
    monkeypatch.setitem(ARCHITECTURES._entries, "vgg_face", TinyVgg)
    state = TinyVgg(2622).state_dict()
    layers = [f"conv{i}_{k + 1}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for k in range(n)] + ["fc6", "fc7", "fc8"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    path = tmp_path / "vgg.safetensors"
    save_file(dict(zip(names if file_of == "caffe" else state, state.values(), strict=True)), path)

    def made(**preprocessing):
        said = []
        network = job(network={"architecture": "vgg_face", "options": {}, "checkpoint": str(path),
                               "preprocessing": {"size": 32, **preprocessing}}).network  # fmt: skip
        return make_network(network, 3, said.append), said

    model, said = made(mean="train")
    for name, tensor in model.state_dict().items():
        assert name.startswith("classifier.6.") or torch.equal(tensor, state[name]), name
    assert [("0 to 255" in sentence, "color: bgr" in sentence) for sentence in said] == [(True, True)] * (
        file_of == "caffe"
    )
    assert made(mean="train", std=[0.0039216] * 3)[1] == []
