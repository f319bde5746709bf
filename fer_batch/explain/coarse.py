"""Maps on the grid of a layer: one forward pass a frame, whose targets share it, upsampled where that is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from fer_batch.explain.explainer import Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.targets import check_outputs, frame_chunks, positive_int, rank_groups
from fer_batch.types import Relevance


class HasLogits(Protocol):
    """What a forward pass leaves: logits of shape (N, n_outputs), and what maps are made of."""

    @property
    def logits(self) -> torch.Tensor:
        """Shape (N, n_outputs), in logit units."""
        ...


Passed = TypeVar("Passed", bound=HasLogits)


def upsampled(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps at another size: bilinear, pixel areas aligned.

    Parameters
    ----------
    maps : shape (m, h, w), floating
    size
        Height and width in pixels.

    Returns
    -------
    shape (m, *size), dtype of the maps
    """
    return functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


class CoarseMaps(ABC, Generic[Passed]):
    """An explainer whose maps come from one forward pass of each frame.

    Parameters
    ----------
    upsample
        Whether maps have the size of the images instead of the layer's.
    batch_size
        Images in one pass.
    """

    def __init__(self, upsample: bool, batch_size: int) -> None:
        self.upsample, self.batch_size = upsample, positive_int("batch_size", batch_size)

    @abstractmethod
    def _run(self, model: nn.Module, images: torch.Tensor) -> Passed:
        """The forward pass of some frames."""

    @abstractmethod
    def _maps(self, passed: Passed, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Maps (m, h, w) of outputs of frames, no frame twice."""

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; these methods have no conservation law, so that is NaN."""
        x = prepared_images(model, images)
        rows = checked_pairs(pairs, len(x))
        size = (x.shape[2], x.shape[3])
        maps: list[NDArray[np.floating]] = []
        scores = np.empty(len(rows), np.float32)
        for where, frames, position in frame_chunks(rows, self.batch_size):
            passed = self._run(model, x[torch.from_numpy(frames).to(x.device)])
            check_outputs(rows[where], len(x), passed.logits.shape[1])
            outputs = rows[where, 1]
            scores[where] = passed.logits.detach().float().cpu().numpy()[position, outputs]
            part: NDArray[np.floating] | None = None
            for group in rank_groups(position):
                frame, output = (torch.from_numpy(v[group]).to(x.device) for v in (position, outputs))
                found = self._maps(passed, frame, output)
                found = upsampled(found, size) if self.upsample else found
                if part is None:
                    part = np.empty((len(position), *found.shape[1:]), np.float32)
                part[group] = found.float().cpu().numpy()
            if part is not None:
                maps.append(part)
        empty = np.zeros((0, *size), np.float32)
        return relevance(np.concatenate(maps) if maps else empty, scores, conserves=False)
