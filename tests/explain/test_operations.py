"""Backward steps without weights: relevance a * c is conserved, and goes where the rule says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_batch.explain.modules import Reduce
from fer_batch.explain.operation import Rows
from fer_batch.explain.operations import (
    AverageOp,
    ConcatenateOp,
    GateOp,
    MaxOp,
    Nothing,
    PadOp,
    PassOp,
    PermuteOp,
    ReshapeOp,
    StackOp,
    SumOp,
)

ROWS = Rows(torch.tensor([0, 1, 1]), None)
CASES = {
    "sum": (SumOp([(2, 4, 4), (2, 1, 1)], None), [(2, 4, 4), (2, 1, 1)]),
    "sum and ReLU": (SumOp([(2, 4, 4)] * 2, nn.ReLU()), [(2, 4, 4)] * 2),
    "activation": (PassOp(nn.GELU()), [(2, 4, 4)]),
    "average": (AverageOp(nn.AvgPool2d(2), (2, 4, 4)), [(2, 4, 4)]),
    "global average": (AverageOp(nn.AdaptiveAvgPool2d(1), (2, 4, 4)), [(2, 4, 4)]),
    "mean over axes": (AverageOp(Reduce(torch.mean, (2, 3), False), (2, 4, 4)), [(2, 4, 4)]),
    "maximum": (MaxOp(nn.MaxPool2d(2), (2, 4, 4)), [(2, 4, 4)]),
    "adaptive maximum": (MaxOp(nn.AdaptiveMaxPool2d(2), (2, 4, 4)), [(2, 4, 4)]),
    "reshape": (ReshapeOp((2, 4, 4), (32,)), [(2, 4, 4)]),
    "permute": (PermuteOp((0, 2, 3, 1)), [(2, 4, 4)]),
    "pad": (PadOp([1, 0, 0, 2]), [(2, 4, 4)]),
    "concatenate": (ConcatenateOp(1, [2, 3]), [(2, 4, 4), (3, 4, 4)]),
    "stack": (StackOp(1), [(2, 4, 4), (2, 4, 4)]),
    "nothing": (Nothing(), [(2, 4, 4)]),
}


def signed(*shape: int, seed: int = 0) -> torch.Tensor:
    """Values of both signs, none near zero."""
    values = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.5
    return values * torch.where(torch.arange(values.numel()).view(shape) % 3 == 0, -1.0, 1.0)


@pytest.mark.parametrize("name", CASES)
def test_relevance_of_the_inputs_is_that_of_the_output(name):
    operation, shapes = CASES[name]
    inputs = [signed(2, *shape, seed=k) for k, shape in enumerate(shapes)]
    value, saved = operation.forward(*inputs)
    c = signed(3, *value.shape[1:], seed=9)
    passed = operation.backward(c, saved, ROWS)
    assert [part.shape[1:] for part in passed] == [x.shape[1:] for x in inputs]
    before = sum((part * x[ROWS.frame]).flatten(1).sum(1) for part, x in zip(passed, inputs, strict=True))
    torch.testing.assert_close(before, (c * value[ROWS.frame]).flatten(1).sum(1), rtol=1e-9, atol=1e-9)


def test_a_gate_takes_nothing_and_the_signal_all():
    signal, gate = signed(2, 2, 4, 4), torch.full((2, 2, 1, 1), 0.25, dtype=torch.float64)
    value, saved = GateOp(0).forward(signal, gate)
    c = signed(3, 2, 4, 4, seed=1)
    (passed,) = GateOp(0).backward(c, saved, ROWS)
    torch.testing.assert_close(passed * signal[ROWS.frame], c * value[ROWS.frame])


def test_the_winner_takes_all():
    x = torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])
    operation = MaxOp(nn.MaxPool2d(2), (1, 2, 2))
    _, saved = operation.forward(x)
    (passed,) = operation.backward(torch.tensor([[[[5.0]]]]), saved, Rows(torch.tensor([0]), 1))
    assert passed.tolist() == [[[[0.0, 0.0], [5.0, 0.0]]]]
