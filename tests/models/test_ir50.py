"""The part of IR-50 that APViT takes."""

from __future__ import annotations

import torch

from fer_batch.models.ir50 import Ir50


def test_three_stages_give_256_maps_of_14x14():
    with torch.device("meta"):
        network = Ir50()
        assert network(torch.zeros(2, 3, 112, 112)).shape == (2, 256, 14, 14)
    assert [len(stage) for stage in network.body] == [3, 4, 14]


def test_parameters_are_those_of_the_units():
    """Counted unit by unit: two 3x3 convolutions, two BatchNorms, a PReLU, and a shortcut where channels change."""
    expected, n_in = 3 * 64 * 9 + 2 * 64 + 64, 64
    for n_out, units in ((64, 3), (128, 4), (256, 14)):
        for _ in range(units):
            expected += 2 * n_in + 9 * n_in * n_out + n_out + 9 * n_out * n_out + 2 * n_out
            expected += 0 if n_in == n_out else n_in * n_out + 2 * n_out
            n_in = n_out
    with torch.device("meta"):
        assert sum(p.numel() for p in Ir50().parameters()) == expected


def test_names_are_those_of_the_released_files():
    with torch.device("meta"):
        names = set(Ir50().state_dict())
    assert {"input_layer.2.weight", "body.0.2.res_layer.4.bias", "body.2.0.shortcut_layer.1.running_var"} <= names
