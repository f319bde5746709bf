"""What a network says to images parts of which are hidden, in batches.

Every distinct picture goes through the network once, whatever the number of orders and steps that ask for it. Pictures
are made on the network's device, a batch at a time, so that memory does not grow with images, orders or steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn

from fer_batch.explain.explainer import prepared_images
from fer_batch.explain.pixels import Channels, PixelScale
from fer_batch.explain.targets import one_of, positive_int
from fer_batch.types import InputError

Array = NDArray[np.floating]
HIDE = ("black", "mean", "blur")
_OUTPUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(1),
    "sigmoid": torch.sigmoid,
    "logit": lambda logits: logits,
}


@dataclass(frozen=True, eq=False)
class Perturbation:
    """How pictures are hidden and what is read from the network.

    Attributes
    ----------
    hide
        What hidden pixels show: `black`, the image's `mean` colour, or the image with a Gaussian `blur`; or an array
        (C, H, W) or (N, C, H, W) as the network takes it.
    output
        `softmax`, `sigmoid`, or the `logit` itself.
    mean, std
        Of the network's preprocessing, for black.
    blur
        Standard deviation of the Gaussian, share of the image's longer side.
    batch_size
        Pictures in one forward pass.

    Raises
    ------
    InputError
        If a value is impossible.
    """

    hide: str | Array = "mean"
    output: str = "softmax"
    mean: Channels = 0.0
    std: Channels = 1.0
    blur: float = 0.05
    batch_size: int = 32

    def __post_init__(self) -> None:
        one_of("output", self.output, tuple(_OUTPUTS))
        positive_int("batch_size", self.batch_size)
        if isinstance(self.hide, str):
            one_of("hide", self.hide, HIDE)
        if not self.blur > 0:
            raise InputError(f"blur must be a positive share of the image's side, got {self.blur}")

    def replacement(self, images: Array, first: int = 0) -> NDArray[np.float32]:
        """What hidden pixels show.

        Parameters
        ----------
        images : shape (n, C, H, W), floating
        first
            Place of the first of them in a given array (N, C, H, W).

        Returns
        -------
        shape (n, C, H, W), float32

        Raises
        ------
        InputError
            If a given array has another shape.
        """
        if isinstance(self.hide, str):
            found: Array = _SHOWN[self.hide](images, self)
        else:
            found = self.hide[first : first + len(images)] if self.hide.ndim == 4 else self.hide
            if found.shape not in (images.shape, images.shape[1:]):
                raise InputError(f"hide: expected images {images.shape[1:]} or one per image, got {self.hide.shape}")
        return np.ascontiguousarray(np.broadcast_to(found, images.shape), np.float32)


def _black(images: Array, options: Perturbation) -> Array:
    pixel = PixelScale(options.mean, options.std).encoded(0.0, torch.from_numpy(images[:1]))
    return np.asarray(pixel.numpy())


def _blurred(images: Array, options: Perturbation) -> Array:
    sigma = options.blur * max(images.shape[2:])
    return np.asarray(gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest"))


_SHOWN: dict[str, Callable[[Array, Perturbation], Array]] = {
    "black": _black,
    "mean": lambda images, options: images.mean((2, 3), keepdims=True),
    "blur": _blurred,
}


class Pictures:
    """A few images, parts of which can be hidden.

    Parameters
    ----------
    model
        Returns logits [N, n_outputs]; in evaluation mode.
    images : shape (n, C, H, W), floating
    targets : shape (n,), int64
        Output of each image.
    options
        How it is hidden.
    first
        Place of the first image among all.

    Raises
    ------
    ValueError
        If the model trains, or an image is not finite.
    """

    def __init__(
        self, model: nn.Module, images: Array, targets: NDArray[np.int64], options: Perturbation, first: int = 0
    ) -> None:
        self.model, self.options = model, options
        self._side_by_side = True  # convolutions over pixels whose channels lie side by side take less time
        self.shown = prepared_images(model, images)
        self.instead = prepared_images(model, options.replacement(images, first))
        self.targets = torch.from_numpy(targets).to(self.shown.device)

    def scores_of_masks(self, owner: NDArray[np.int64], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Scores where masks hide pixels.

        Parameters
        ----------
        owner : shape (J,), int64
            Image of each picture.
        hidden : shape (J, H, W), bool

        Returns
        -------
        shape (J,), float64, in the unit of `options.output`
        """
        return self._scores(owner, lambda rows: torch.from_numpy(hidden[rows]).to(self.shown.device))

    def scores_of_regions(
        self, owner: NDArray[np.int64], sets: NDArray[np.bool_], labels: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Scores where regions are hidden.

        Parameters
        ----------
        owner : shape (J,), int64
            Image of each picture.
        sets : shape (J, S), bool
            Which regions are hidden.
        labels : shape (n, H, W), integers
            Region of each pixel; -1 is never hidden.

        Returns
        -------
        shape (J,), float64, in the unit of `options.output`
        """
        device = self.shown.device
        shown = torch.zeros((len(sets), 1), dtype=torch.bool)  # label 0 once all are one higher: never hidden
        of_label = torch.cat([shown, torch.from_numpy(sets)], 1).to(device)
        at = torch.from_numpy(labels.reshape(len(labels), -1).astype(np.int64) + 1).to(device)
        image = torch.from_numpy(owner).to(device)
        size = self.shown.shape[2:]
        return self._scores(owner, lambda rows: of_label[rows].gather(1, at[image[rows]]).view(-1, *size))

    @torch.inference_mode()
    def _scores(self, owner: NDArray[np.int64], hidden: Callable[[slice], torch.Tensor]) -> NDArray[np.float64]:
        image, found = torch.from_numpy(owner).to(self.shown.device), []
        for low in range(0, len(owner), self.options.batch_size):
            rows = slice(low, low + self.options.batch_size)
            i = image[rows]
            x = torch.where(hidden(rows)[:, None], self.instead[i], self.shown[i])
            logits = self._logits(x).double()
            target = self.targets[i]
            if int(target.max()) >= logits.shape[1]:
                raise ValueError(f"output {int(target.max())} is asked for; the network has {logits.shape[1]}")
            found.append(_OUTPUTS[self.options.output](logits).gather(1, target[:, None])[:, 0].cpu())
        return torch.cat(found).numpy()

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if self._side_by_side:
            try:
                return self.model(x.contiguous(memory_format=torch.channels_last))
            except RuntimeError:  # a network that calls view wants the usual order; what else is wrong is so again
                self._side_by_side = False
        return self.model(x)


def scores_of_sets(
    model: nn.Module,
    images: Array,
    targets: NDArray[np.int64],
    labels: NDArray[np.integer],
    removed: NDArray[np.bool_],
    options: Perturbation,
) -> NDArray[np.float64]:
    """Scores of images without some of their regions.

    Parameters
    ----------
    model, images, targets, options
        As in `Pictures`, N images.
    labels : shape (N, H, W), integers
        Region of each pixel; -1 is never hidden.
    removed : shape (O, N, J, S), bool
        Which regions are hidden, O orders of J sets.

    Returns
    -------
    shape (O, N, J), float64, in the unit of `options.output`
    """
    n_orders, n, n_sets, n_regions = removed.shape
    scores = np.empty((n_orders, n, n_sets))
    for low in range(0, n, options.batch_size):
        part = slice(low, min(low + options.batch_size, n))
        packed = np.packbits(removed[:, part], axis=-1).swapaxes(0, 1)
        unique = [np.unique(rows.reshape(-1, rows.shape[-1]), axis=0, return_inverse=True) for rows in packed]
        counts = [len(rows) for rows, _ in unique]
        sets = np.unpackbits(np.concatenate([rows for rows, _ in unique]), axis=-1, count=n_regions)
        pictures = Pictures(model, images[part], targets[part], options, low)
        owner = np.repeat(np.arange(len(unique)), counts)
        found = np.split(pictures.scores_of_regions(owner, sets.astype(bool), labels[part]), np.cumsum(counts)[:-1])
        for i, (values, (_, inverse)) in enumerate(zip(found, unique, strict=True), low):
            scores[:, i] = values[inverse.ravel()].reshape(n_orders, n_sets)
    return scores
