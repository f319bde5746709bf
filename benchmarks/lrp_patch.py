"""A planted patch: train a network to see it, then ask how much of the relevance lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from lrp_families import images
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fer_batch.explain.canonizers import canonize
from fer_batch.explain.composites import Preset
from fer_batch.explain.propagate import Propagator

SIZE, PATCH = 64, 20  # pixels: the patch covers 10 % of the image
BATCH = 16


def _stripes() -> torch.Tensor:
    return (torch.arange(PATCH) // 2 % 2 * 1.0 - 0.5).expand(3, PATCH, PATCH)


def _checkers() -> torch.Tensor:
    square = torch.arange(PATCH) // 4 % 2
    return ((square[:, None] + square) % 2 * 1.0 - 0.5).expand(3, PATCH, PATCH)


PATTERNS = {"stripes": _stripes, "checkers": _checkers}


def planted(n: int, seed: int, pattern: str) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_]]:
    """Pictures [n, 3, SIZE, SIZE], every second with a patch; which have it [n], and where it is [n, SIZE, SIZE]."""
    rng = np.random.default_rng(seed)
    x, inside = images(n, SIZE, seed, torch.float32), np.zeros((n, SIZE, SIZE), bool)
    has = torch.arange(n) % 2 == 0
    for i in range(0, n, 2):
        row, column = rng.integers(4, SIZE - PATCH - 4, 2)
        x[i, :, row : row + PATCH, column : column + PATCH] = PATTERNS[pattern]()
        inside[i, row : row + PATCH, column : column + PATCH] = True
    return x, has, inside


def see_patch(model: nn.Module, seed: int, pattern: str, steps: int = 40) -> tuple[nn.Module, float]:
    """Train the network, in place, on patch or no patch; the accuracy on pictures it has not seen."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for step in range(steps):
        x, has, _ = planted(BATCH, 10_000 * (seed + 1) + step, pattern)
        loss = functional.cross_entropy(model(x), has.long())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    _settle_norms(model, 10_000 * (seed + 1) + 5_000, pattern)
    x, has, _ = planted(32, 10_000 * (seed + 1) + 6_000, pattern)
    with torch.no_grad():
        return model, float((model.eval()(x).argmax(1) == has).float().mean())


def _settle_norms(model: nn.Module, seed: int, pattern: str) -> None:
    """Statistics of the trained weights; a running mean would lag behind so short a training."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for k in range(4):
            model(planted(BATCH, seed + k, pattern)[0])


def patch_shares(
    model: nn.Module, seed: int, pattern: str, presets: Mapping[str, Callable[[], Preset]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Median share of |R| inside the patch, by composite and for gradient times input; median |sum R / logit|."""
    x, has, inside = planted(12, 10_000 * (seed + 1) + 7_000, pattern)
    x, inside = x[has], inside[has.numpy()]
    maps, conservation = {"gradient_times_input": _gradient(model, x)}, {}
    network = canonize(model, tuple(x.shape[1:]))
    frame, output = torch.arange(len(x)), torch.ones(len(x), dtype=torch.int64)
    for name, preset in presets.items():
        try:
            propagator = Propagator(network, preset())
        except ValueError:
            continue
        state = propagator.forward(x)
        maps[name] = propagator.backward(state, frame, output).sum(1).numpy()
        conservation[name] = float(np.median(np.abs(maps[name].sum((1, 2)) / state.logits[:, 1].numpy())))
    return {name: _share(r, inside) for name, r in maps.items()}, conservation


def _share(r: NDArray[np.floating], inside: NDArray[np.bool_]) -> float:
    size = np.abs(r.astype(np.float64))
    return float(np.median((size * inside).sum((1, 2)) / size.sum((1, 2))))


def _gradient(model: nn.Module, x: torch.Tensor) -> NDArray[np.floating]:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    return (gradient * x).detach().sum(1).numpy()
