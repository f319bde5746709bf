"""Gradients averaged over images near the one to explain: on the way from a baseline, or under noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.explainer import Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.gradient import reduction
from fer_batch.explain.pixels import Channels, PixelScale
from fer_batch.explain.targets import check_outputs, frame_chunks, positive_int
from fer_batch.types import InputError, Relevance


def mean_gradients(
    model: nn.Module,
    points: torch.Tensor,
    weights: torch.Tensor,
    rows: NDArray[np.int64],
    batch_size: int,
) -> torch.Tensor:
    r"""Gradients of some outputs averaged over points, :math:`\sum_s v_s \, \partial y^c(x_s) / \partial x`.

    Parameters
    ----------
    points : shape (S, C, H, W)
    weights : shape (S,)
        The v of the formula.
    rows : shape (m, 2)
        Pairs of one frame; the outputs are in the second column.
    batch_size
        Points in one pass.

    Returns
    -------
    shape (m, C, H, W)
    """
    total = points.new_zeros((len(rows), *points.shape[1:]))
    for start in range(0, len(points), batch_size):
        x = points[start : start + batch_size].detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
        check_outputs(rows, int(rows[:, 0].max()) + 1, logits.shape[1])
        for k, output in enumerate(rows[:, 1].tolist()):
            (w,) = torch.autograd.grad(logits[:, output].sum(), x, retain_graph=k + 1 < len(rows))
            total[k] += torch.einsum("s,schw->chw", weights[start : start + batch_size], w)
    return total


class IntegratedGradients:
    """Image minus baseline, times the mean gradient on the straight line between them, summed over the channels.

    Parameters
    ----------
    steps
        Points of the Gauss-Legendre rule.
    baseline
        Colour the line starts from, as pixels; 0 is black.
    mean, std
        Of the network's preprocessing.
    batch_size
        Images in one pass.
    """

    def __init__(
        self, steps: int, baseline: Channels = 0.0, mean: Channels = 0.0, std: Channels = 1.0, batch_size: int = 32
    ) -> None:
        self.steps, self.batch_size = positive_int("steps", steps), positive_int("batch_size", batch_size)
        self.baseline, self.scale = baseline, PixelScale(mean, std)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; a map sums to the logit minus the baseline's logit, up to the error of the integral."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        along = torch.as_tensor((nodes + 1) / 2, dtype=x.dtype, device=x.device)[:, None, None, None]
        share = torch.as_tensor(weights / 2, dtype=x.dtype, device=x.device)
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        for where, (frame,), _ in frame_chunks(rows, 1):
            way = x[frame] - self.scale.encoded(self.baseline, x)
            w = mean_gradients(model, x[frame] - (1 - along) * way, share, rows[where], self.batch_size)
            maps[where] = (w * way).sum(1).float().cpu().numpy()
        return relevance(maps, logits_of(model, x, rows, self.batch_size), conserves=False)


class SmoothGrad:
    """Gradient averaged over images with Gaussian noise added.

    Parameters
    ----------
    samples
        Noisy images per frame.
    noise
        Standard deviation, as a share of the image's own range of values.
    channels
        `largest` absolute value or signed `sum` of the averaged gradient.
    seed
        Of the noise where no `rng` is given; then it is the same for every frame, so that a frame's map does not depend
        on the batch it came in.
    batch_size
        Images in one pass.
    """

    def __init__(self, samples: int, noise: float, channels: str, seed: int, batch_size: int) -> None:
        if not noise >= 0 or not np.isfinite(noise):
            raise InputError(f"explain.options.noise must not be negative, got {noise}")
        self.samples, self.batch_size = positive_int("samples", samples), positive_int("batch_size", batch_size)
        self.noise, self.seed, self.reduce = noise, seed, reduction(channels)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; the method has no conservation law, so that is NaN."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        share = x.new_full((self.samples,), 1 / self.samples)
        for where, (frame,), _ in frame_chunks(rows, 1):
            draw = np.random.default_rng(self.seed) if rng is None else rng
            sigma = self.noise * float(x[frame].max() - x[frame].min())
            grains = draw.standard_normal((self.samples, *x.shape[1:]), dtype=np.float32)
            points = x[frame] + sigma * torch.from_numpy(grains).to(x)
            w = mean_gradients(model, points, share, rows[where], self.batch_size)
            maps[where] = self.reduce(w, x[frame]).float().cpu().numpy()
        return relevance(maps, logits_of(model, x, rows, self.batch_size), conserves=False)


@torch.no_grad()
def logits_of(model: nn.Module, images: torch.Tensor, rows: NDArray[np.int64], batch_size: int) -> NDArray[np.float32]:
    """Logits of the pairs themselves.

    Parameters
    ----------
    model
        In evaluation mode.
    images : shape (N, C, H, W), floating
        As the model takes them.
    rows : shape (M, 2), int64
        Pairs (image, output), sorted.
    batch_size
        Images in one pass.

    Returns
    -------
    shape (M,), float32
    """
    scores = np.empty(len(rows), np.float32)
    for where, frames, position in frame_chunks(rows, batch_size):
        logits = model(images[torch.from_numpy(frames).to(images.device)])
        check_outputs(rows[where], len(images), logits.shape[1])
        scores[where] = logits.float().cpu().numpy()[position, rows[where, 1]]
    return scores


def integrated_gradients(
    steps: int = 50,
    baseline: float | Sequence[float] = 0.0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    batch_size: int = 32,
) -> Explainer:
    """Integrated gradients from a black image (Sundararajan et al. 2017)."""
    return IntegratedGradients(steps, baseline, mean, std, batch_size)


def smooth_grad(
    samples: int = 25, noise: float = 0.15, channels: str = "largest", seed: int = 0, batch_size: int = 32
) -> Explainer:
    """SmoothGrad: saliency of the gradient averaged under noise (Smilkov et al. 2017)."""
    return SmoothGrad(samples, noise, channels, seed, batch_size)
