"""The contract of explanation methods, and what they check before they start."""

from __future__ import annotations

import inspect
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.methods import METHODS
from fer_batch.types import InputError, Relevance

Images = torch.Tensor | NDArray[np.floating]


class Explainer(Protocol):
    """Explains chosen outputs of a network for chosen images of a batch."""

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """Explain M (image, output) pairs.

        Parameters
        ----------
        model
            Returns logits [N, n_outputs]; in evaluation mode, on any device. It is left as it is.
        images : shape (N, C, H, W), floating
            As the model takes them.
        pairs : shape (M, 2), int64
            Rows (index in the batch, output index), sorted; output -1 for a map without target, where a method has one.
        rng
            Source of randomness of the methods that draw samples.

        Returns
        -------
        Relevance
            Maps [M, h, w] with the channels summed, the explained logits, and sum R / logit where a law says it is 1.

        Raises
        ------
        ValueError
            If the model trains, an image is not finite, a pair is out of range, or the method has no rule for a layer.
        """
        ...


def method(name: str, **options: object) -> Explainer:
    """Explainer by name.

    Parameters
    ----------
    name
        One of `METHODS`.
    options
        Keyword arguments of the method, as `explain.options` of a job has them.

    Raises
    ------
    ValueError
        If the name is unknown.
    InputError
        If an option is unknown or its value impossible.
    """
    factory = METHODS[name].load()
    known = list(inspect.signature(factory).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"explain.options {', '.join(unknown)}: {name} takes {', '.join(known) if known else 'no options'}"
        )
    return factory(**options)


def checked_pairs(pairs: ArrayLike, n_images: int, n_outputs: int | None = None) -> NDArray[np.int64]:
    """Pairs (image, output), verified to be sorted and in range.

    Parameters
    ----------
    pairs : shape (M, 2), integers
        May be empty in any shape.
    n_images
        Images of the batch.
    n_outputs
        Outputs of the network; None where they are not known yet.

    Returns
    -------
    shape (M, 2), int64

    Raises
    ------
    ValueError
        If they are not.
    """
    rows = np.asarray(pairs)
    if rows.size == 0:
        return np.empty((0, 2), np.int64)
    if rows.ndim != 2 or rows.shape[1] != 2 or rows.dtype.kind not in "iu":
        raise ValueError(f"pairs must be integers (M, 2): image, output; got {rows.dtype} {rows.shape}")
    rows = rows.astype(np.int64)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    if (order != np.arange(len(rows))).any():
        raise ValueError("pairs must be sorted by image, then by output")
    if rows[0, 0] < 0 or rows[-1, 0] >= n_images:
        raise ValueError(f"pairs name image {rows[0, 0] if rows[0, 0] < 0 else rows[-1, 0]} of a batch of {n_images}")
    if n_outputs is not None:
        wrong = rows[(rows[:, 1] < 0) | (rows[:, 1] >= n_outputs), 1]
        if wrong.size:
            raise ValueError(f"pairs name output {wrong[0]}; the network has outputs 0 to {n_outputs - 1}")
    return rows


def prepared_images(model: nn.Module, images: Images) -> torch.Tensor:
    """Images on the model's device and in its dtype, verified; the model verified to be in evaluation mode.

    Parameters
    ----------
    model
        Any module.
    images : shape (N, C, H, W), floating

    Returns
    -------
    shape (N, C, H, W), dtype of the model
        Detached.

    Raises
    ------
    ValueError
        If a module trains, or the images are not finite floats of such a shape.
    """
    for name, module in model.named_modules():
        if module.training:
            where = f"module {name!r} of the network" if name else "the network"
            raise ValueError(f"{where} is in training mode; explanations need model.eval()")
    if isinstance(images, np.ndarray):
        images = np.require(images, requirements=("C", "W"))  # shared memory is read-only, flipped views have no tensor
    x = torch.as_tensor(images)
    if x.ndim != 4 or not x.dtype.is_floating_point:
        raise ValueError(
            f"images must be floating (N, C, H, W) as the network takes them, got {x.dtype} {tuple(x.shape)}"
        )
    parameter = next(model.parameters(), None)
    if parameter is not None:
        x = x.to(parameter.device, parameter.dtype)
    finite = torch.isfinite(x).flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"image {int((~finite).nonzero()[0, 0])} of the batch has values that are not finite")
    return x.detach()


def relevance(
    values: torch.Tensor | NDArray[np.floating], score: torch.Tensor | NDArray[np.floating], conserves: bool
) -> Relevance:
    """Maps and their scores with the conservation ratio (methods X-7).

    Parameters
    ----------
    values : shape (M, h, w), floating
    score : shape (M,), floating
        Explained logits; NaN for a map without target.
    conserves
        Whether a law says that a map sums to its logit.

    Returns
    -------
    Relevance
        In float32; the ratio sum R / logit is NaN where there is no law, or the logit is 0.
    """
    maps, scores = (
        np.asarray(v.detach().cpu() if isinstance(v, torch.Tensor) else v, dtype=np.float64) for v in (values, score)
    )
    total = maps.sum((1, 2)) if conserves else np.full(len(maps), np.nan)
    ratio = np.divide(total, scores, out=np.full(len(maps), np.nan), where=scores != 0)
    return Relevance(maps.astype(np.float32), scores.astype(np.float32), ratio.astype(np.float32))
