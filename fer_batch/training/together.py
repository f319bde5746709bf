"""Processes that train one network together, where `torch.distributed` is set up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import distributed, nn


def rank_and_size() -> tuple[int, int]:
    """Which of how many processes this is; (0, 1) where it is alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of the first, such as running means."""
    for buffer in model.buffers():
        distributed.broadcast(buffer, 0)


def mean_of_values(values: Sequence[float], device: torch.device) -> float:
    """Mean of the values of all processes, of which some may have none; NaN where none has any."""
    total, count = (mean_of_workers(float(one), device) for one in (sum(values), len(values)))
    return total / count if count else math.nan


def mean_of_workers(value: float, device: torch.device) -> float:
    """Mean of a figure over the processes, each of which must ask for it; the figure itself where it is alone."""
    _, size = rank_and_size()
    if size == 1:
        return value
    together = torch.tensor(value, device=device)
    distributed.all_reduce(together)
    return float(together) / size
