"""Spatial attention of a feature layer as an explanation (methods 7.5): where the network is active at all."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.coarse import upsampled
from fer_batch.explain.explainer import Explainer, Images, prepared_images, relevance
from fer_batch.explain.layers import run_from
from fer_batch.explain.targets import check_outputs, frame_chunks, named, positive_int, target_free_pairs
from fer_batch.types import Relevance


def attention_map(features: torch.Tensor) -> torch.Tensor:
    r"""Mean over the channels, :math:`T = \frac{1}{K} \sum_k A_k` (methods L-2; Belharbi et al. 2024, Eq. 1).

    Parameters
    ----------
    features : shape (n, K, h, w), floating
        The A.

    Returns
    -------
    shape (n, h, w), in the units of the features
    """
    return features.mean(1)


class Attention:
    """Mean feature map of a layer, the same for every target.

    Parameters
    ----------
    layer
        Module by name; None for the one that the network names as its `attention_layer`, else `layers.default_layer`.
    upsample
        Whether maps have the size of the images instead of the layer's.
    batch_size
        Images in one pass.
    """

    def __init__(self, layer: str | None, upsample: bool, batch_size: int) -> None:
        self.layer, self.upsample, self.batch_size = named(layer), upsample, positive_int("batch_size", batch_size)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; pairs may have output -1, whose score is NaN."""
        x = prepared_images(model, images)
        rows = target_free_pairs(pairs, len(x))
        size = (x.shape[2], x.shape[3])
        layer = getattr(model, "attention_layer", None) if self.layer is None else self.layer
        maps: list[NDArray[np.floating]] = []
        scores = np.full(len(rows), np.nan, np.float32)
        for where, frames, position in frame_chunks(rows, self.batch_size):
            passed = run_from(model, x[torch.from_numpy(frames).to(x.device)], layer)
            check_outputs(rows[where], len(x), passed.logits.shape[1], target_free=True)
            found = attention_map(passed.features)
            maps.append((upsampled(found, size) if self.upsample else found).float().cpu().numpy()[position])
            scored = np.flatnonzero(rows[where, 1] >= 0)
            logits = passed.logits.detach().float().cpu().numpy()
            scores[scored + where.start] = logits[position[scored], rows[where][scored, 1]]
        empty = np.zeros((0, *size), np.float32)
        return relevance(np.concatenate(maps) if maps else empty, scores, conserves=False)


def attention(layer: str | None = None, upsample: bool = False, batch_size: int = 32) -> Explainer:
    """Layer attention (Belharbi et al. 2024, Eq. 1): no target; pairs have output -1 or name the map alone."""
    return Attention(layer, upsample, batch_size)
