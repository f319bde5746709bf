"""Explanations by the gradient of the logit (methods 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.explainer import Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.targets import check_outputs, frame_chunks, one_of, positive_int, rank_groups
from fer_batch.types import Relevance

Reduce = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def largest_over_channels(w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`max_c |w_c|`: the saliency map of methods X-1 (Simonyan et al. 2014, section 3.1).

    Parameters
    ----------
    w, image : shape (m, C, H, W), floating
        Gradient of the logit, and the image, which is not read.

    Returns
    -------
    shape (m, H, W), logits per unit of input
    """
    return w.abs().amax(1)


def sum_over_channels(w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`sum_c w_c`, signed (methods RV-1).

    Parameters
    ----------
    w, image : shape (m, C, H, W), floating
        Gradient of the logit, and the image, which is not read.

    Returns
    -------
    shape (m, H, W), logits per unit of input
    """
    return w.sum(1)


def times_input(w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`sum_c w_c I_c`.

    Parameters
    ----------
    w, image : shape (m, C, H, W), floating
        Gradient of the logit, and the image I.

    Returns
    -------
    shape (m, H, W), in units of the logit
    """
    return (w * image).sum(1)


CHANNELS: dict[str, Reduce] = {"sum": sum_over_channels, "largest": largest_over_channels}


def reduction(channels: str) -> Reduce:
    """How `explain.options.channels` makes one map of the channels."""
    return CHANNELS[one_of("channels", channels, tuple(CHANNELS))]


class Gradient:
    """A map made of the gradient w = dS/dI and the image I.

    A frame runs forward once, whatever the number of its targets.

    Parameters
    ----------
    reduce
        From w [m, C, H, W] and I [m, C, H, W] to maps [m, H, W].
    batch_size
        Images in one pass.
    prepare
        Called with the logits of each pass before it goes back; may change what the recorded graph does with gradients.
    """

    def __init__(
        self, reduce: Reduce, batch_size: int = 32, prepare: Callable[[torch.Tensor], None] | None = None
    ) -> None:
        self.reduce, self.batch_size, self.prepare = reduce, positive_int("batch_size", batch_size), prepare

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; the method has no conservation law, so that is NaN."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        scores = np.empty(len(rows), np.float32)
        for where, w, image, score in self._passes(model, x, rows):
            maps[where] = self.reduce(w, image).float().cpu().numpy()
            scores[where] = score.float().cpu().numpy()
        return relevance(maps, scores, conserves=False)

    def _passes(
        self, model: nn.Module, images: torch.Tensor, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor, torch.Tensor]]:
        for where, frames, position in frame_chunks(rows, self.batch_size):
            image = images[torch.from_numpy(frames).to(images.device)].requires_grad_()
            with torch.enable_grad():
                logits = model(image)
            check_outputs(rows[where], len(images), logits.shape[1])
            if self.prepare is not None:
                self.prepare(logits)
            groups = list(rank_groups(position))
            for k, group in enumerate(groups):
                frame = torch.from_numpy(position[group]).to(images.device)
                output = torch.from_numpy(rows[where][group, 1]).to(images.device)
                start = torch.zeros_like(logits)
                start[frame, output] = 1.0
                (w,) = torch.autograd.grad(logits, image, start, retain_graph=k + 1 < len(groups))
                yield group + where.start, w[frame], image.detach()[frame], logits.detach()[frame, output]


def gradient(batch_size: int = 32) -> Explainer:
    """Saliency: the largest absolute gradient over the channels (Simonyan et al. 2014; methods X-1)."""
    return Gradient(largest_over_channels, batch_size)


def gradient_times_input(batch_size: int = 32) -> Explainer:
    """Gradient times image, summed over the channels; equals LRP-Z where every activation is a ReLU."""
    return Gradient(times_input, batch_size)
