"""EmotiEffLib: EfficientNets of timm by their names of its version 1, with the last layer as its authors replace it."""

import pytest
import timm
import torch
from torch import nn

from fer_batch.types import InputError


def network(name, n_outputs, in_sequence=True):
    model = timm.create_model(name, pretrained=False)
    last = nn.Linear(model.classifier.in_features, n_outputs)
    model.classifier = nn.Sequential(last) if in_sequence else last
    return model


@pytest.mark.parametrize(
    ("name", "theirs", "n_outputs"),
    [
        ("enet_b0_8_best_vgaf", "tf_efficientnet_b0.ns_jft_in1k", 8),
        ("enet_b2_7", "tf_efficientnet_b2.ns_jft_in1k", 7),
    ],
)
def test_logits_are_those_of_the_published_module(name, theirs, n_outputs, loaded, trained, images):
    model = trained(network(theirs, n_outputs))
    torch.testing.assert_close(loaded(name, model.state_dict())(images), model(images))


def test_valence_and_arousal_are_left_out_and_may_be_taken(loaded, trained, images):
    model = trained(network("tf_efficientnet_b0.ns_jft_in1k", 10, in_sequence=False))
    state, expected = model.state_dict(), model(images)
    torch.testing.assert_close(loaded("enet_b0_8_va_mtl", state)(images), expected[:, :8])
    other = {"targets": ("arousal", "valence"), "head": "multilabel"}
    with pytest.raises(InputError, match="a number for each of the 2 targets, none twice"):
        loaded("enet_b0_8_va_mtl", state, outputs=(9,), **other)
    with pytest.raises(InputError, match=r"\(known: enet_b0_8_va_mtl\): outputs: .* has 10 outputs .* from 0; got 10"):
        loaded("enet_b0_8_va_mtl", state, outputs=(10, 8), **other)
    torch.testing.assert_close(loaded("enet_b0_8_va_mtl", state, outputs=(9, 8), **other)(images), expected[:, [9, 8]])
