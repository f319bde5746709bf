"""Maps of classes beside logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_batch.models.class_maps import MapHead, plain, unit_range


def test_a_map_is_stretched_to_the_unit_range_and_a_constant_one_becomes_zeros():
    maps = torch.tensor([[[-2.0, 0.0], [1.0, 2.0]], [[3.0, 3.0], [3.0, 3.0]]])
    np.testing.assert_allclose(unit_range(maps), [[[0, 0.5], [0.75, 1]], [[0, 0], [0, 0]]])


def test_plain_maps_are_picked_by_frame_and_output():
    responses = torch.arange(24.0).reshape(2, 3, 2, 2)
    found = plain(torch.zeros(2, 3), responses)
    np.testing.assert_array_equal(
        found.of(torch.tensor([1, 0]), torch.tensor([2, 1])), [responses[1, 2], responses[0, 1]]
    )


def test_a_head_must_say_what_its_maps_are():
    with pytest.raises(NotImplementedError):
        MapHead()(torch.zeros(1, 2, 3, 3))
