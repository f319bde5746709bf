"""Training a network to look where given maps say (methods 5, L-2 to L-4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch.nn import functional

EPSILON = 1e-8


def layer_attention(features: torch.Tensor) -> torch.Tensor:
    r"""Mean over the channels of a layer, :math:`T_l = \frac{1}{n} \sum_j F_l[j]` (L-2).

    Parameters
    ----------
    features : shape (N, n, h, w), floating

    Returns
    -------
    shape (N, h, w), in the units of the features

    Raises
    ------
    ValueError
        If the features have no height and width: those of a dense layer or of tokens.

    References
    ----------
    Belharbi et al. (2024), Eq. 1, whose upper bound of the sum is off by one.
    """
    if features.ndim != 4:
        raise ValueError(f"attention is of features (N, n, h, w), got {tuple(features.shape)}")
    return features.mean(1)


def alignment(attention: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    r"""Cosine of two maps, :math:`R(T, A) = \sum T \odot A / (\|T\|_2 \|A\|_2 + \epsilon)` (L-3).

    Parameters
    ----------
    attention, maps : shape (N, h, w), floating

    Returns
    -------
    shape (N,), in [-1, 1]

    References
    ----------
    Belharbi et al. (2024), Eq. 2.
    """
    one, other = attention.flatten(1), maps.flatten(1)
    return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1) + EPSILON)


def has_map(maps: torch.Tensor) -> torch.Tensor:
    """Which samples have a map: finite everywhere and not 0 everywhere.

    Parameters
    ----------
    maps : shape (N, H, W), floating

    Returns
    -------
    shape (N,), bool
    """
    return torch.isfinite(maps).all(2).all(1) & (maps != 0).any(2).any(1)


def resized_maps(maps: torch.Tensor, size: tuple[int, int], align_corners: bool = False) -> torch.Tensor:
    """Maps averaged down, within their own least and largest value (L-4).

    Parameters
    ----------
    maps : shape (N, H, W), floating
    size
        Height and width in pixels.
    align_corners
        As the released code of SA has it, which is not symmetric (methods G-13): for comparisons alone.

    Returns
    -------
    shape (N, *size), dtype of the maps
    """
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    small = functional.interpolate(maps[:, None], size, mode="bilinear", antialias=True, align_corners=align_corners)[
        :, 0
    ]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.minimum(torch.maximum(small, low), high)


def alignment_loss(
    features: Mapping[str, torch.Tensor], maps: torch.Tensor, reduce: Literal["sum", "mean"] = "sum"
) -> torch.Tensor:
    r"""How far the attention of some layers is from given maps, :math:`1 - R(T_l, A)` (second term of L-4).

    Parameters
    ----------
    features
        Activations [N, n, h, w] by layer; in half precision they are computed in single.
    maps : shape (N, H, W), floating
        Where the network should look, of any size; one that is not finite, or zero everywhere, is no map.
    reduce
        Over the layers: their sum as printed, or their mean as released.

    Returns
    -------
    scalar
        Mean over the samples that have a map; where none has, 0, and the gradient is 0 too.

    Raises
    ------
    ValueError
        If there is no layer, `reduce` is neither, or features and maps are of different samples.

    References
    ----------
    Belharbi et al. (2024), Eq. 3.
    """
    if not features or reduce not in ("sum", "mean"):
        raise ValueError(
            f"expected features of a layer or more, and reduce sum or mean; got {list(features)}, {reduce!r}"
        )
    valid = has_map(maps)
    terms = []
    for name, values in features.items():
        if len(values) != len(maps):
            raise ValueError(f"{name}: features of {len(values)} samples and {len(maps)} maps")
        attention = layer_attention(values[valid])
        attention = attention if attention.dtype == torch.float64 else attention.float()
        goal = resized_maps(maps[valid].to(attention), (attention.shape[1], attention.shape[2]))
        # of no samples the sum is 0, and keeps the graph that a backward pass expects
        terms.append((1 - alignment(attention, goal)).sum() / max(len(goal), 1))
    total = torch.stack(terms).sum()
    return total / len(terms) if reduce == "mean" else total
