"""A second loss that is noted batch by batch."""

import torch

from fer_batch.training.alignment import alignment_loss
from fer_batch.training.auxiliary import Auxiliary, Seen, activations, noted


def test_only_batches_with_a_map_are_noted_before_the_weight():
    values: list[float] = []
    auxiliary = noted(Auxiliary(("a",), alignment_loss, 7.0), values)
    maps = torch.eye(4)[None]
    found = {"a": torch.ones(1, 2, 4, 4)}
    loss = auxiliary.loss(found, maps)
    assert auxiliary.loss(found, torch.full((1, 4, 4), float("inf"))).item() == 0
    assert values == [loss.item()] == [alignment_loss(found, maps).item()] and auxiliary.weight == 7


def test_activations_are_seen_in_single_precision_at_least():
    half, double = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    seen = activations(Seen(half, half, half, {"a": half, "b": double}))
    assert (seen["a"].dtype, seen["b"].dtype) == (torch.float32, torch.float64)
