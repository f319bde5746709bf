"""The linear model that LIME fits around one image (methods X-9, X-10): arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cosine_distance(samples: NDArray[np.integer] | Array) -> Array:
    r"""Distance :math:`1 - \sqrt{m / S}` of samples with m of S segments on to the image itself; 1 for none.

    Parameters
    ----------
    samples : shape (n, S), integers or floats
        1 where a segment is on.

    Returns
    -------
    shape (n,), float64
    """
    return 1.0 - np.sqrt(samples.mean(1, dtype=np.float64))


def image_distance(samples: NDArray[np.integer] | Array, energy: NDArray[np.floating], total: float) -> Array:
    r"""L2 distance between the images of samples (n, S) and the image, over the norm of the image.

    Parameters
    ----------
    energy : shape (S,)
        Squared L2 distance that hiding each segment makes.
    total
        Squared norm of the image; for a black one the distance is 0.
    """
    hidden = (1.0 - samples) @ energy
    return np.sqrt(hidden / total) if total > 0 else np.zeros(len(samples))


def proximity(distance: Array, kernel_width: float = 0.25) -> Array:
    r"""Weight :math:`\sqrt{\exp(-d^2 / \sigma^2)}` of a sample at distance d (methods X-9).

    Parameters
    ----------
    distance : shape (n,), float64
    kernel_width
        The sigma, in units of the distance.

    Returns
    -------
    shape (n,), float64
    """
    return np.sqrt(np.exp(-((distance / kernel_width) ** 2)))


def ridge(samples: Array, scores: Array, weights: Array, alpha: float = 1.0) -> tuple[Array, Array]:
    r"""Weighted ridge regression with an intercept that is not penalised.

    .. math:: \min_{w, b} \sum_n v_n (y_n - b - z_n^T w)^2 + \alpha \lVert w \rVert^2

    Parameters
    ----------
    samples : shape (n, S)
        The z.
    scores : shape (n, T)
        The y of T targets.
    weights : shape (n,)
        The v.
    alpha
        0 gives least squares, of smallest norm where there are several.

    Returns
    -------
    coefficients : shape (T, S)
    intercepts : shape (T,)
    """
    z, y, z_mean, y_mean = _centred(samples, scores, weights)
    if alpha > 0:
        solution = np.linalg.solve(z.T @ z + alpha * np.eye(z.shape[1]), z.T @ y)
    else:
        solution = np.linalg.lstsq(z, y, rcond=None)[0]
    coefficients: Array = solution.T.astype(np.float64)
    return coefficients, y_mean - coefficients @ z_mean


def forward_selection(samples: Array, scores: Array, weights: Array, n_features: int) -> NDArray[np.int64]:
    """Segments that explain most: one after the other the one that lifts the weighted R^2 of least squares most.

    Parameters
    ----------
    samples : shape (n, S), float64
    scores : shape (n,), float64
    weights : shape (n,), float64
    n_features
        How many at most.

    Returns
    -------
    shape (min(n_features, S),), int64
        In the order they were chosen; of equals the first.
    """
    z, y, _, _ = _centred(samples, scores[:, None], weights)
    smallest = 1e-12 * (z**2).sum(0)
    chosen: list[int] = []
    # z becomes what is left of every segment behind the chosen ones: least squares need not be solved again
    for _ in range(min(n_features, z.shape[1])):
        norm = (z**2).sum(0)
        gain = np.divide((z.T @ y)[:, 0] ** 2, norm, out=np.zeros_like(norm), where=norm > smallest)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        if norm[best] > smallest[best]:
            q = z[:, best] / np.sqrt(norm[best])
            z = z - np.outer(q, q @ z)
    return np.array(chosen, np.int64)


def _centred(samples: Array, scores: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """Samples and scores minus their weighted means, times the root of the weights; and the means."""
    z, y = samples.astype(np.float64), scores.astype(np.float64)
    z_mean, y_mean = (np.average(v, axis=0, weights=weights) for v in (z, y))
    root = np.sqrt(weights)[:, None]
    return (z - z_mean) * root, (y - y_mean) * root, z_mean, y_mean
