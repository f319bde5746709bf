"""Multipliers per pair and factors per frame, whether pairs are gathered or not."""

from __future__ import annotations

import pytest
import torch

from fer_batch.explain.operation import Operation, Rows, choose, times

FRAMES = {1: [0, 1, 2], 2: [0, 0, 1, 1, 2, 2], None: [0, 2, 2, 2]}


@pytest.mark.parametrize("each", FRAMES)
def test_every_pair_meets_the_factor_of_its_frame(each):
    frame = torch.tensor(FRAMES[each])
    generator = torch.Generator().manual_seed(0)
    factor = torch.rand(3, 2, 4, generator=generator)
    c, d = torch.rand(2, len(frame), 2, 4, generator=generator)
    rows = Rows(frame, each)
    expected = torch.stack([a * factor[i] for a, i in zip(c, frame, strict=True)])
    torch.testing.assert_close(times(c, factor, rows), expected)
    above = factor > 0.5
    expected = torch.stack([torch.where(above[i], a, b) for a, b, i in zip(c, d, frame, strict=True)])
    torch.testing.assert_close(choose(above, c, d, rows), expected)


def test_zeros_are_replaced_only_where_a_node_must_hand_relevance_on():
    operation, values = Operation(), torch.tensor([0.0, 2.0])
    assert operation.carrier(values) is values
    operation.carries = True
    assert (operation.carrier(values) != 0).all()
    assert operation.carrier(values)[1] == 2.0
