"""One epoch of training, and the fit of a network to images in memory; the same result for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch.models.acol import further_losses
from fer_batch.models.card import Preprocessing
from fer_batch.models.features import features
from fer_batch.models.preprocess import normalised
from fer_batch.training.augment import Augment
from fer_batch.training.auxiliary import Auxiliary, Seen, kernels
from fer_batch.training.batches import Batch, as_images, batches, order_of
from fer_batch.training.data import Images, Maps
from fer_batch.training.device import computes_bfloat16
from fer_batch.training.recipe import Recipe, adamw, learning_rates
from fer_batch.training.swapping import Swap

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OnBatch = Callable[[torch.Tensor, torch.Tensor, float], None]


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
    on_batch: OnBatch | None = None,
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
        Compute the network in bfloat16 where the device does so by itself.
    on_batch
        Called with the logits and labels of every batch, and with its loss without what is added to it.
    where
        What an error calls this epoch.

    Returns
    -------
    mean over the batches of what was minimised: the loss with what is added to it

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    _train_mode(model)
    total, n = 0.0, 0
    second = auxiliary if auxiliary is not None and auxiliary.weight else None
    for batch in found:
        x = batch.images if preprocessing is None else normalised(batch.images, preprocessing)
        logits, value, bare = _step(model, x, batch, loss, second, autocast)
        if penalty is not None:
            value = value + penalty()
        for more in further_losses(model, batch.labels, _of_batch(loss, batch)):
            value = value + more
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} in {where}, batch {n}")
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        total, n = total + value.item(), n + 1
        if on_batch is not None:
            on_batch(logits.detach(), batch.labels, bare.item())
    return total / n


def _step(
    model: nn.Module, x: torch.Tensor, batch: Batch, loss: Loss, second: Auxiliary | None, autocast: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a batch, its loss with a second one, and without."""
    reduced = autocast and computes_bfloat16(x.device)
    if second is None or batch.maps is None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            logits = model(x).float()
        bare = _label_loss(loss, logits, batch)
        return logits, bare, bare
    if second.of_images:
        x = x.detach().requires_grad_()
    prefix = "module." if isinstance(model, nn.parallel.DistributedDataParallel) else ""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced), kernels(second):
        logits, found = features(model, x, [f"{prefix}{name}" for name in second.layers])
    logits = logits.float()
    bare = _label_loss(loss, logits, batch)
    by_name = {name.removeprefix(prefix): values for name, values in found.items()}
    # a map that is cut and pasted is of both faces, and so is what is explained
    shown = batch.labels if batch.others is None else torch.maximum(batch.labels, batch.others)
    other = second.loss(second.see(Seen(x, logits, shown, by_name)), batch.maps)
    return logits, bare + second.weight * other, bare


def _of_batch(loss: Loss, batch: Batch) -> Loss:
    """A part's own loss is of the labels that the batch has, two of them where it is mixed."""
    return lambda logits, _: _label_loss(loss, logits, batch)


def _label_loss(loss: Loss, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Of one label a sample, or of two by their shares of the image (`training.cutmix`)."""
    value = loss(logits, batch.labels)
    if batch.others is None:
        return value
    return batch.share * value + (1 - batch.share) * loss(logits, batch.others)


def _train_mode(model: nn.Module) -> None:
    """Training mode, but for norms that are frozen: their statistics are as fixed as their weights."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and not any(p.requires_grad for p in own):
            module.eval()


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
    maps: Maps | None = None,
    auxiliary: Auxiliary | None = None,
    swap: Swap | None = None,
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
    maps : shape (N, H, W), float32
        Where the network should look.
    auxiliary
        A second loss, on the maps.
    swap
        Which part of each image is kept where the rest is exchanged.

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
        found = batches(images, labels, maps, order, augment, generator, swap=swap)
        mean = train_epoch(
            model, found, loss, optimizer, schedule, auxiliary=auxiliary, autocast=True, where=f"epoch {epoch}"
        )
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
    augment: Augment | None = None,
    generator: torch.Generator | None = None,
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
    augment, generator
        Called with every batch and the generator, where crops are augmented before they are judged.

    Returns
    -------
    shape (n, A), float32
    """
    model.eval()
    rows = np.arange(len(images)) if rows is None else rows
    parts = []
    for start in range(0, len(rows), batch_size):
        x = as_images(images[rows[start : start + batch_size]], device)
        if augment is not None and generator is not None:
            x, _ = augment(x, None, generator)
        parts.append(model(x if preprocessing is None else normalised(x, preprocessing)).float().cpu().numpy())
    return np.concatenate(parts)
