"""One epoch of training, and the fit of a network to images in memory; the same result for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch.models.card import Preprocessing
from fer_batch.models.features import features
from fer_batch.models.preprocess import normalised
from fer_batch.training.augment import Augment
from fer_batch.training.data import Images
from fer_batch.training.recipe import Recipe, adamw, learning_rates

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Auxiliary:
    """A second loss on activations and maps (the seam of methods L-4).

    Attributes
    ----------
    layers
        Modules whose activations it sees, as `model.named_modules()` names them.
    loss
        From activations by layer and the maps of the batch to a scalar, such as `alignment.alignment_loss`.
    weight
        Its factor, lambda.
    """

    layers: tuple[str, ...]
    loss: Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """What one step sees: images [n, 3, H, W] in [0, 1], labels, and maps [n, H, W] where there are any."""

    images: torch.Tensor
    labels: torch.Tensor
    maps: torch.Tensor | None = None


def as_images(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Crops as a network's images; bytes travel, floats are made where they are needed.

    Parameters
    ----------
    images : shape (n, H, W, 3), uint8
        RGB.
    device
        Where the result lives.

    Returns
    -------
    shape (n, 3, H, W), float32 in [0, 1]
    """
    return torch.from_numpy(images).to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32) / 255


def batches(
    images: Images,
    labels: torch.Tensor,
    maps: NDArray[np.float32] | None,
    rows: Iterable[NDArray[np.int64]],
    augment: Augment,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Batches of the given rows, augmented, on the device.

    Parameters
    ----------
    images : shape (N, H, W, 3), uint8
        RGB crops.
    labels : shape (N, A), floating
    maps : shape (N, H, W), float32
        Where the network should look; None for none.
    rows
        Rows of each batch.
    augment
        Called with every batch and the generator.
    generator
        Source of randomness.
    device
        Where the batches live.
    """
    for chosen in rows:
        own = None if maps is None else torch.from_numpy(maps[chosen]).to(device)
        x, own = augment(as_images(images[chosen], device), own, generator)
        yield Batch(x, labels[chosen].to(device), own)


def train_epoch(
    model: nn.Module,
    found: Iterable[Batch],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    preprocessing: Preprocessing | None = None,
    auxiliary: Auxiliary | None = None,
    penalty: Callable[[], torch.Tensor] | None = None,
    autocast: bool = False,
    where: str = "",
) -> float:
    """Fit `model` to some batches, one step each.

    Parameters
    ----------
    model
        From preprocessed images to logits.
    found
        Batches, with images (n, 3, H, W).
    loss
        Of logits and labels, both (n, A): a scalar.
    optimizer, schedule
        Step once per batch.
    preprocessing
        Colour, mean and deviation that follow augmentation.
    auxiliary, penalty
        What is added to the loss: of activations and maps, and of the weights.
    autocast
        Compute the network in bfloat16.
    where
        What an error calls this epoch.

    Returns
    -------
    mean loss of the batches

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    _train_mode(model)
    total, n = 0.0, 0
    seen: dict[str, torch.Tensor] = {}
    prefix = "module." if isinstance(model, nn.parallel.DistributedDataParallel) else ""
    for batch in found:
        x = batch.images if preprocessing is None else normalised(batch.images, preprocessing)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            if auxiliary is None:
                logits = model(x)
            else:
                logits, found_by_name = features(model, x, [f"{prefix}{name}" for name in auxiliary.layers])
                seen = {name.removeprefix(prefix): values for name, values in found_by_name.items()}
        value = loss(logits.float(), batch.labels)
        if auxiliary is not None and batch.maps is not None:
            value = value + auxiliary.weight * auxiliary.loss({k: v.float() for k, v in seen.items()}, batch.maps)
        if penalty is not None:
            value = value + penalty()
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} in {where}, batch {n}")
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        total, n = total + value.item(), n + 1
    return total / n


def _train_mode(model: nn.Module) -> None:
    """Training mode, but for norms that are frozen: their statistics are as fixed as their weights."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and not any(p.requires_grad for p in own):
            module.eval()


def order_of(n: int, batch_size: int, generator: torch.Generator) -> list[NDArray[np.int64]]:
    """Rows of each batch of an epoch: all rows shuffled, whole batches only.

    Parameters
    ----------
    n
        Number of rows.
    batch_size
        Rows of a batch.
    generator
        Source of randomness.

    Returns
    -------
    arrays of shape (batch_size,), int64
    """
    shuffled = torch.randperm(n, generator=generator).numpy()
    return [shuffled[start : start + batch_size] for start in range(0, n - batch_size + 1, batch_size)]


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
    """Train `model` in place with AdamW, a warm-up and a cosine, and return it in evaluation mode.

    Parameters
    ----------
    model
        From images (N, 3, H, W) to logits.
    images : shape (N, H, W, 3), uint8
        RGB.
    labels : shape (N, ...)
        What `loss(logits, labels)` takes.
    loss
        A scalar tensor.
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
    ValueError
        If the images are fewer than a batch.
    FloatingPointError
        If the loss is not finite.
    """
    if len(images) < batch_size:
        raise ValueError(f"expected at least one batch of {batch_size} images, got {len(images)}")
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        schedule="warm_cosine",
    )
    generator = torch.Generator().manual_seed(seed)
    optimizer = adamw(model, recipe)
    schedule = learning_rates(optimizer, recipe, len(images) // batch_size)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the form
    for epoch in range(1, epochs + 1):
        order = order_of(len(images), batch_size, generator)
        found = batches(images, labels, None, order, augment, generator)
        # bfloat16: half the time on CPUs that compute in it, and no harm done on others
        mean = train_epoch(model, found, loss, optimizer, schedule, autocast=True, where=f"epoch {epoch}")
        if on_epoch:
            on_epoch(epoch, mean)
    return model.eval()


@torch.no_grad()
def logits_of(
    model: nn.Module,
    images: Images,
    batch_size: int = 128,
    rows: NDArray[np.int64] | None = None,
    preprocessing: Preprocessing | None = None,
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """Logits of crops in evaluation mode.

    Parameters
    ----------
    model
        From preprocessed images to logits.
    images : shape (N, H, W, 3), uint8
        RGB crops.
    batch_size
        Crops in one pass.
    rows : shape (n,), int64
        Which of them; all where not given.
    preprocessing
        Size, colour, mean and deviation.
    device
        Where the model is.

    Returns
    -------
    shape (n, A), float32
    """
    model.eval()
    rows = np.arange(len(images)) if rows is None else rows
    parts = []
    for start in range(0, len(rows), batch_size):
        x = as_images(images[rows[start : start + batch_size]], device)
        parts.append(model(x if preprocessing is None else normalised(x, preprocessing)).float().cpu().numpy())
    return np.concatenate(parts)
