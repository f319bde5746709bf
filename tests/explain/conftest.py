"""Settings of this room's tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn


def per_channel(explainer, model, images, pairs):
    """Maps of LRP before the channels are summed, shape (M, C, H, W)."""
    return np.concatenate([relevance.cpu().numpy() for _, relevance, _ in explainer.passes(model, images, pairs)])


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """The networks here are so small that threads only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def disturb() -> Callable[..., nn.Module]:
    """Gives a network BatchNorm statistics as training leaves them, or no offset at all (`bias=False`)."""

    def disturbed(model: nn.Module, bias: bool = True) -> nn.Module:
        """BatchNorm statistics as training leaves them, or without any offset in the network."""
        generator = torch.Generator().manual_seed(7)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2.0, generator=generator)
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.running_mean.normal_(0, 0.1 if bias else 0.0, generator=generator)
                module.bias.data.normal_(0, 0.1 if bias else 0.0, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None and not bias:
                module.bias.data.zero_()
        return model.eval()

    return disturbed
