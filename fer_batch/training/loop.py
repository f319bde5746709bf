"""Fit a network to images in memory: AdamW, one warm-up and cosine decay, the same result for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def fit(
    model: nn.Module,
    images: NDArray[np.uint8],
    labels: torch.Tensor,
    loss: Loss,
    augment: Augment,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.02,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train `model` in place and return it in evaluation mode.

    Parameters
    ----------
    model
        From images [N, 3, H, W] to logits.
    images : shape (N, H, W, 3), uint8
        RGB.
    labels : shape (N, ...)
        What `loss(logits, labels)` takes.
    augment
        Called on every training batch, with a generator.
    epochs, batch_size, learning_rate, weight_decay
        The learning rate rises over the first tenth of the steps, then falls to 0 as a cosine.
    seed
        Of order and augmentation.
    on_epoch
        Called with the number of the epoch, from 1, and its mean loss.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": other, "weight_decay": 0.0}], lr=learning_rate
    )
    per_epoch = len(images) // batch_size
    if per_epoch == 0:
        raise ValueError(f"expected at least one batch of {batch_size} images, got {len(images)}")
    total = epochs * per_epoch
    warm = max(1, total // 10)

    def factor(step: int) -> float:
        return (
            (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the form
    source = torch.from_numpy(images)
    for epoch in range(1, epochs + 1):
        model.train()
        order = torch.randperm(len(images), generator=generator)
        running = 0.0
        for step in range(per_epoch):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            batch = source[chosen].permute(0, 3, 1, 2).to(torch.float32) / 255
            batch = augment(batch, generator)
            # half the time on CPUs that compute in bfloat16, and no harm done on others
            with torch.autocast(batch.device.type, torch.bfloat16):
                logits = model(batch)
            value = loss(logits.float(), labels[chosen])
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} in epoch {epoch}, batch {step}")
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            running += value.item()
        if on_epoch:
            on_epoch(epoch, running / per_epoch)
    return model.eval()


@torch.no_grad()
def logits_of(model: nn.Module, images: NDArray[np.uint8], batch_size: int = 128) -> NDArray[np.float32]:
    """Logits of uint8 RGB crops [N, H, W, 3], scaled to [0, 1]."""
    model.eval()
    parts = []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(images[start : start + batch_size]).permute(0, 3, 1, 2).to(torch.float32) / 255
        parts.append(model(batch).numpy())
    return np.concatenate(parts)
