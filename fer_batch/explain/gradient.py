"""Explanations by the gradient of the logit (methods 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.explainer import METHODS, Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.types import InputError, Relevance

Reduce = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Gradient:
    """A map made of the gradient w = dS/dI and the image I.

    Parameters
    ----------
    reduce
        From w [m, C, H, W] and I [m, C, H, W] to maps [m, H, W].
    batch_size
        Images in one pass.
    """

    def __init__(self, reduce: Reduce, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InputError(f"explain.options.batch_size must be positive, got {batch_size}")
        self.reduce, self.batch_size = reduce, batch_size

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; the method has no conservation law, so that is NaN."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        scores = np.empty(len(rows), np.float32)
        for where, w, image, score in self._passes(model, x, rows):
            maps[where] = self.reduce(w, image).cpu().numpy()
            scores[where] = score.cpu().numpy()
        return relevance(maps, scores, conserves=False)

    def _passes(
        self, model: nn.Module, images: torch.Tensor, rows: NDArray[np.int64]
    ) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor]]:
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            frame, output = torch.from_numpy(part).to(images.device).T
            image = images[frame].requires_grad_()
            with torch.enable_grad():
                logits = model(image)
                checked_pairs(part, len(images), logits.shape[1])
                score = logits.gather(1, output[:, None])[:, 0]
                (w,) = torch.autograd.grad(score.sum(), image)
            yield slice(start, start + len(part)), w, image.detach(), score.detach()


@METHODS.register("gradient")
def gradient(batch_size: int = 32) -> Explainer:
    """Saliency: the largest absolute gradient over the channels (Simonyan et al. 2014; methods X-1)."""
    return Gradient(lambda w, image: w.abs().amax(1), batch_size)


@METHODS.register("gradient_times_input")
def gradient_times_input(batch_size: int = 32) -> Explainer:
    """Gradient times image, summed over the channels; equals LRP-Z where every activation is a ReLU."""
    return Gradient(lambda w, image: (w * image).sum(1), batch_size)
