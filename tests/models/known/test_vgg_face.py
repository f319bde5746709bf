"""VGG-Face: all tensors of the conversion find their place, in a run's network and in that of a training."""

import pytest
import torch

from fer_batch.models import checkpoint
from fer_batch.models.backbone import build, head_prefixes
from fer_batch.models.card import ModelSpec
from fer_batch.models.known import known_card, known_network
from fer_batch.types import InputError

BLOCKS = {1: (3, 64, 2), 2: (64, 128, 2), 3: (128, 256, 3), 4: (256, 512, 3), 5: (512, 512, 3)}
DENSE = {"fc6": (4096, 25088), "fc7": (4096, 4096), "fc8": (2622, 4096)}


def published():
    """Names and shapes of the Caffe model, of BMVC 2015, Table 3, without memory."""
    shapes = {}
    for block, (n_in, n_out, count) in BLOCKS.items():
        for number in range(1, count + 1):
            shapes[f"conv{block}_{number}"] = (n_out, n_in if number == 1 else n_out, 3, 3)
    state = {}
    for layer, shape in (shapes | DENSE).items():
        state[f"{layer}.weight"] = torch.empty(shape, device="meta")
        state[f"{layer}.bias"] = torch.empty(shape[0], device="meta")
    return state


def test_every_tensor_of_the_conversion_has_a_place():
    record = known_network("vgg_face")
    with torch.device("meta"):
        model = build(record.build.architecture, 2622)
    checkpoint.load_state(model, published(), record.build.key_map)
    assert sum(p.numel() for p in model.parameters()) == record.build.n_parameters == 145_002_878


def test_a_training_starts_from_it():
    record = known_network("vgg_face")
    with torch.device("meta"):
        model = build(record.build.architecture, 3)
    checkpoint.load_state(model, published(), record.build.key_map, keep=head_prefixes(model))


def test_a_run_is_told_what_it_is():
    with pytest.raises(InputError, match=r"outputs of another task \(logits of 2,622 people\); a training starts"):
        known_card(ModelSpec(known="vgg_face", checkpoint="vgg_face_dag.pth"))


def test_means_are_those_of_the_conversion():
    """Of 255: what its module names as `meta`."""
    found = known_network("vgg_face").preprocessing
    given = (129.186279296875, 104.76238250732422, 93.59396362304688)
    assert [mean / std for mean, std in zip(found.mean, found.std, strict=True)] == pytest.approx(given, abs=2e-3)
