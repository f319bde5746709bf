"""LIME (Ribeiro et al. 2016; methods 7.4): a linear model of what happens when superpixels are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.explainer import Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.pixels import PixelScale
from fer_batch.explain.segments import quickshift_segments, slic_segments
from fer_batch.explain.surrogate import cosine_distance, forward_selection, image_distance, proximity, ridge
from fer_batch.explain.targets import check_outputs, frame_chunks, one_of, positive_int
from fer_batch.types import InputError, Relevance

PAPERS: dict[str, dict[str, Any]] = {
    "standardised": {"segmentation": "slic", "hide": "black", "output": "softmax", "positive": True},
    "pain": {"segmentation": "quickshift", "hide": "mean", "output": "softmax", "n_features": 6},
}
_OUTPUTS = {
    "logit": lambda logits: logits,
    "softmax": lambda logits: logits.softmax(1),
    "sigmoid": torch.sigmoid,
}


def drawn_samples(n_samples: int, n_segments: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Which segments are on in each sample: fair coins, and everything in the first (methods X-8).

    Parameters
    ----------
    n_samples, n_segments
        The n and the S.
    rng
        Source of randomness.

    Returns
    -------
    shape (n, S), uint8, 1 for on
    """
    samples = rng.integers(0, 2, (n_samples, n_segments)).astype(np.uint8)
    samples[0] = 1
    return samples


def segment_means(image: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """An image with each segment in its mean colour.

    Parameters
    ----------
    image : shape (C, H, W), floating
    labels : shape (H, W), int64
        Number of the segment of every pixel, from 0.

    Returns
    -------
    shape (C, H, W), dtype of the image
    """
    flat, values = labels.flatten(), image.flatten(1)
    count = torch.bincount(flat).to(image)
    total = values.new_zeros((len(values), len(count))).index_add_(1, flat, values)
    return (total / count)[:, flat].view_as(image)


def composed(image: torch.Tensor, hidden: torch.Tensor, labels: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Images [B, C, H, W] that show `image` where a sample's segment is on and `hidden` elsewhere.

    Parameters
    ----------
    image, hidden : shape (C, H, W)
    labels : shape (H, W), int64
    samples : shape (B, S), bool
    """
    on = samples.index_select(1, labels.flatten()).view(len(samples), 1, *labels.shape)
    return torch.where(on, image, hidden)


class LIME:
    """Weights of superpixels in a ridge regression of a network's answers to images with hidden superpixels.

    All targets of a frame share its samples and forward passes.

    Parameters
    ----------
    segmentation
        `slic` or `quickshift`, with `n_segments` and `compactness`, or `kernel_size`, `max_dist` and `ratio`.
    hide
        What a hidden segment shows: `black`, or the `mean` colour of the segment.
    output
        What the linear model predicts: the `logit` (methods X-0), or the probability that `softmax` or `sigmoid` makes.
    n_features
        At most so many segments, by forward selection; None for all.
    positive
        Whether weights are clipped to [0, 1] (methods X-12).
    n_samples, kernel_width, alpha, distance
        Of the regression; `distance` is `cosine` between samples or relative L2 of the `image` (methods X-9, X-10).
    mean, std
        Of the network's preprocessing: superpixels are made of the picture.
    seed
        Of the samples where no `rng` is given; then they are the same for every frame with as many segments, so that a
        frame's map does not depend on the batch it came in.
    batch_size
        Samples in one forward pass.
    """

    def __init__(
        self,
        segmentation: str,
        hide: str,
        output: str,
        n_features: int | None,
        positive: bool,
        n_segments: int,
        compactness: float,
        kernel_size: float,
        max_dist: float,
        ratio: float,
        n_samples: int,
        kernel_width: float,
        alpha: float,
        distance: str,
        scale: PixelScale,
        seed: int,
        batch_size: int,
    ) -> None:
        self.segmentation = one_of("segmentation", segmentation, ("slic", "quickshift"))
        self.hide, self.distance = (
            one_of("hide", hide, ("black", "mean")),
            one_of("distance", distance, ("cosine", "image")),
        )
        self.output = one_of("output", output, tuple(_OUTPUTS))
        self.n_features = None if n_features is None else positive_int("n_features", n_features)
        self.positive, self.scale, self.seed = positive, scale, seed
        self.n_segments, self.n_samples = positive_int("n_segments", n_segments), positive_int("n_samples", n_samples)
        self.batch_size = positive_int("batch_size", batch_size)
        numbers = {
            "compactness": compactness,
            "kernel_size": kernel_size,
            "max_dist": max_dist,
            "ratio": ratio,
            "kernel_width": kernel_width,
        }
        for name, value in numbers.items():
            if not value > 0:
                raise InputError(f"explain.options.{name} must be positive, got {value}")
        if not alpha >= 0:
            raise InputError(f"explain.options.alpha must not be negative, got {alpha}")
        self.slic = {"n_segments": n_segments, "compactness": compactness}
        self.quickshift = {"kernel_size": kernel_size, "max_dist": max_dist, "ratio": ratio}
        self.kernel_width, self.alpha = kernel_width, alpha

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; every pixel has the weight of its segment."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        maps = np.empty((len(rows), *x.shape[2:]), np.float32)
        scores = np.empty(len(rows), np.float32)
        for where, (frame,), _ in frame_chunks(rows, 1):
            draw = np.random.default_rng(self.seed) if rng is None else rng
            labels = self.segments(x[frame])
            samples = drawn_samples(self.n_samples, int(labels.max()) + 1, draw)
            hidden = self._hidden(x[frame], labels)
            answers, logits = self._answers(model, x[frame], hidden, labels, samples, rows[where])
            outputs = rows[where, 1]
            weights = self._weights(samples, answers[:, outputs], self._distance(x[frame], hidden, labels, samples))
            maps[where] = weights[:, labels]
            scores[where] = logits[outputs]
        return relevance(maps, scores, conserves=False)

    def segments(self, image: torch.Tensor) -> NDArray[np.int64]:
        """Superpixels of one network input.

        Parameters
        ----------
        image : shape (C, H, W), floating

        Returns
        -------
        shape (H, W), int64
            Numbered from 0 without gaps.
        """
        picture = self.scale.pixels(image)
        if self.segmentation == "slic":
            return slic_segments(picture, **self.slic)  # type: ignore[arg-type]
        return quickshift_segments(picture, **self.quickshift, seed=self.seed)  # type: ignore[arg-type]

    def _hidden(self, image: torch.Tensor, labels: NDArray[np.int64]) -> torch.Tensor:
        if self.hide == "black":
            return self.scale.encoded(0.0, image).expand_as(image)
        return segment_means(image, torch.from_numpy(labels).to(image.device))

    @torch.no_grad()
    def _answers(
        self,
        model: nn.Module,
        image: torch.Tensor,
        hidden: torch.Tensor,
        labels: NDArray[np.int64],
        samples: NDArray[np.uint8],
        rows: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """What the network says to every sample [n, n_outputs], and its logits for the image."""
        on, at = torch.from_numpy(samples.astype(bool)).to(image.device), torch.from_numpy(labels).to(image.device)
        answers, first = [], None
        for start in range(0, len(samples), self.batch_size):
            logits = model(composed(image, hidden, at, on[start : start + self.batch_size]))
            if first is None:
                check_outputs(rows, int(rows[:, 0].max()) + 1, logits.shape[1])
                first = logits[0].float().cpu().numpy()
            answers.append(_OUTPUTS[self.output](logits).double())
        return torch.cat(answers).cpu().numpy(), cast(NDArray[np.float32], first)

    def _distance(
        self, image: torch.Tensor, hidden: torch.Tensor, labels: NDArray[np.int64], samples: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        if self.distance == "cosine":
            return cosine_distance(samples)
        picture, other = self.scale.pixels(image), self.scale.pixels(hidden)
        change = ((picture - other) ** 2).sum(2)
        energy = np.bincount(labels.ravel(), change.ravel()).astype(np.float64)
        return image_distance(samples, energy, float((picture**2).sum()))

    def _weights(
        self, samples: NDArray[np.uint8], answers: NDArray[np.float64], distance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weight [m, S] of every segment for every target."""
        z, near = samples.astype(np.float64), proximity(distance, self.kernel_width)
        if self.n_features is None:
            weights, _ = ridge(z, answers, near, self.alpha)
        else:
            weights = np.zeros((answers.shape[1], z.shape[1]))
            for k, y in enumerate(answers.T):
                used = forward_selection(z, y, near, self.n_features)
                weights[k, used] = ridge(z[:, used], y[:, None], near, self.alpha)[0][0]
        return np.clip(weights, 0.0, 1.0) if self.positive else weights


def lime(
    paper: str | None = None,
    segmentation: str | None = None,
    hide: str | None = None,
    output: str | None = None,
    n_features: int | None = None,
    positive: bool | None = None,
    n_segments: int = 30,
    compactness: float = 20.0,
    kernel_size: float = 4.0,
    max_dist: float = 200.0,
    ratio: float = 0.2,
    n_samples: int = 1000,
    kernel_width: float = 0.25,
    alpha: float = 1.0,
    distance: str = "cosine",
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    seed: int = 0,
    batch_size: int = 64,
) -> Explainer:
    """LIME over superpixels.

    `paper: standardised` has the settings of Gaya-Morey et al. 2024 and `paper: pain` those of Weitz 2018; options that
    are given win. Without a paper: SLIC, hidden segments black, all segments, signed weights of the logit.
    """
    if paper is not None:
        one_of("paper", paper, tuple(PAPERS))
    defaults = {"segmentation": "slic", "hide": "black", "output": "logit", "n_features": None, "positive": False}
    chosen = {
        "segmentation": segmentation,
        "hide": hide,
        "output": output,
        "n_features": n_features,
        "positive": positive,
    }
    settings = {**defaults, **(PAPERS[paper] if paper else {}), **{k: v for k, v in chosen.items() if v is not None}}
    return LIME(
        **settings,
        n_segments=n_segments,
        compactness=compactness,
        kernel_size=kernel_size,
        max_dist=max_dist,
        ratio=ratio,
        n_samples=n_samples,
        kernel_width=kernel_width,
        alpha=alpha,
        distance=distance,
        scale=PixelScale(mean, std),
        seed=seed,
        batch_size=batch_size,
    )
