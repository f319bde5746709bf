"""A second loss of a step: on what a network did with its images, and on maps that go with them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from fer_batch.training.alignment import has_map


@dataclass(frozen=True)
class Seen:
    """What a step shows to a second loss, gradients intact.

    Attributes
    ----------
    images : shape (N, 3, H, W)
        As the network got them.
    logits, labels : shape (N, A)
    features
        Activations by layer.
    """

    images: torch.Tensor
    logits: torch.Tensor
    labels: torch.Tensor
    features: dict[str, torch.Tensor]


def activations(seen: Seen) -> dict[str, torch.Tensor]:
    """The activations of every layer, as they are, in single precision at least."""
    return {name: values if values.dtype == torch.float64 else values.float() for name, values in seen.features.items()}


@dataclass(frozen=True)
class Auxiliary:
    """A second loss on activations and maps (the seam of methods L-4).

    Attributes
    ----------
    layers
        Modules whose activations it sees, as `model.named_modules()` names them.
    loss
        From what `see` returns and the maps of the batch to a scalar, such as `alignment.alignment_loss`.
    weight
        Its factor, lambda. At 0 nothing of it is computed, and no gradient changes.
    see
        What of a step is compared with the maps, by layer; the activations where it is not given.
    of_images
        Whether `see` takes gradients with respect to the images.
    """

    layers: tuple[str, ...]
    loss: Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]
    weight: float = 1.0
    see: Callable[[Seen], dict[str, torch.Tensor]] = activations
    of_images: bool = False


def kernels(auxiliary: Auxiliary) -> AbstractContextManager[None]:
    """Where a network runs whose gradients are compared: fused kernels of attention have no second derivative.

    Parameters
    ----------
    auxiliary
        What is compared.
    """
    return nullcontext() if auxiliary.see is activations else sdpa_kernel(SDPBackend.MATH)


def noted(auxiliary: Auxiliary, values: list[float]) -> Auxiliary:
    """The same second loss, of which each batch with a map leaves its value, before the weight, in a list.

    Parameters
    ----------
    auxiliary
        Stays as it is.
    values
        Appended to.
    """

    def loss(found: dict[str, torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
        value = auxiliary.loss(found, maps)
        if has_map(maps).any():
            values.append(value.item())
        return value

    return replace(auxiliary, loss=loss)
