r"""Peak response maps: where the peaks of a class map come from, walked back to the image (Zhou et al. 2018).

A walk starts at the peaks of the class map with equal probability. At every convolution it goes from an output to an
input in proportion to what that contributes by a positive weight,

.. math:: P(U_{ij} | V_{pq}) = \hat U_{ij} W^+_{(i-p)(j-q)} / \sum_{ij} \hat U_{ij} W^+_{(i-p)(j-q)},

and everything between convolutions hands it on by its derivative, as the released code does. Activations are counted
from their least value where that is negative: of images, whose mean was taken off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.nn import functional

from fer_batch.explain.class_maps import maps_of
from fer_batch.explain.explainer import Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.guided import smooth_activations
from fer_batch.explain.targets import check_outputs, frame_chunks, one_of, positive_int, rank_groups
from fer_batch.types import InputError, Relevance


def peak_start(maps: torch.Tensor, window: int, threshold: float, highest: bool) -> torch.Tensor:
    """Where a walk starts: equal shares at the peaks of each map.

    Parameters
    ----------
    maps : shape (m, h, w), floating
    window
        Odd side of the window in which a peak is the largest.
    threshold
        A peak counts where the map, stretched to [0, 1], reaches it.
    highest
        Only the highest peak; of equals the first.

    Returns
    -------
    shape (m, h, w), dtype of the maps
        Each sums to 1.
    """
    flat = maps.flatten(1)
    top = functional.one_hot(flat.argmax(1), flat.shape[1]).reshape(maps.shape).to(maps.dtype)
    if highest:
        return top
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    found = maps == functional.max_pool2d(maps[:, None], window, 1, window // 2)[:, 0]
    found &= maps - low >= threshold * (high - low)
    start = found.to(maps.dtype)
    return start / start.sum((1, 2), keepdim=True)


@contextmanager
def walked(model: nn.Module) -> Iterator[None]:
    """Within it, gradients through every convolution and dense layer of a network are those of the walk."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(_walk) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _walk(layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    x = inputs[0]
    low = x.detach().flatten(1).amin(1).clamp(max=0)
    above = x.detach() - low.reshape(-1, *(1,) * (x.ndim - 1))
    weight = layer.weight.detach().clamp(min=0)  # type: ignore[operator, union-attr]
    total = _linear(layer, above, weight)
    share = torch.where(total > 0, 1 / torch.where(total > 0, total, 1.0), 0.0)
    path = _linear(layer, x * above, weight) * share  # its gradient is the transition, whatever its value
    return output.detach() + path - path.detach()


def _linear(layer: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if isinstance(layer, nn.Conv2d):
        return layer._conv_forward(x, weight, None)
    return functional.linear(x, weight)


class PeakResponse:
    """Peak response maps of a network that makes class maps.

    Parameters
    ----------
    peaks
        `all` that reach the threshold, or the `highest`.
    window, threshold
        See `peak_start`.
    batch_size
        Images in one pass.
    """

    def __init__(self, peaks: str, window: int, threshold: float, batch_size: int) -> None:
        self.highest = one_of("peaks", peaks, ("all", "highest")) == "highest"
        self.window = positive_int("window", window)
        if not self.window % 2:
            raise InputError(f"explain.options.window must be odd, so that it has a centre; got {window}")
        if not 0 <= threshold <= 1:
            raise InputError(f"explain.options.threshold must lie in [0, 1], got {threshold}")
        self.threshold, self.batch_size = threshold, positive_int("batch_size", batch_size)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; maps have the size of the images, are not negative and sum to 1."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        scores = np.empty(len(rows), np.float32)
        for where, frames, position in frame_chunks(rows, self.batch_size):
            image = x[torch.from_numpy(frames).to(x.device)].requires_grad_()
            with torch.enable_grad(), walked(model):
                found = maps_of(model, image)
            check_outputs(rows[where], len(x), found.logits.shape[1])
            _check_activations(found.responses)
            outputs = rows[where, 1]
            scores[where] = found.logits.detach().float().cpu().numpy()[position, outputs]
            for group in rank_groups(position):
                frame, output = (torch.from_numpy(v[group]).to(x.device) for v in (position, outputs))
                maps[where][group] = self._back(found.responses, image, frame, output).float().cpu().numpy()
        return relevance(maps, scores, conserves=False)

    def _back(
        self, responses: torch.Tensor, image: torch.Tensor, frame: torch.Tensor, output: torch.Tensor
    ) -> torch.Tensor:
        start = torch.zeros_like(responses)
        chosen = responses.detach()[frame, output]
        start[frame, output] = peak_start(chosen, self.window, self.threshold, self.highest)
        (reached,) = torch.autograd.grad(responses, image, start, retain_graph=True)
        share = reached[frame].sum(1).clamp(min=0)
        total = share.sum((1, 2), keepdim=True)
        return share / torch.where(total > 0, total, 1.0)


def _check_activations(responses: torch.Tensor) -> None:
    others = smooth_activations(responses)
    if others:
        raise ValueError(
            "peak_response needs activations that are not negative, ReLU and ReLU6; the network also applies "
            f"{', '.join(sorted(others))}. Take class_map or gradient"
        )


def peak_response(peaks: str = "all", window: int = 3, threshold: float = 0.5, batch_size: int = 32) -> Explainer:
    """Peak response mapping (Zhou et al. 2018, Eq. 4 and 5), of class maps; not of transformers."""
    return PeakResponse(peaks, window, threshold, batch_size)
