"""Where in a sequence the maps take a step: larger than drift and noise make elsewhere in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fer_batch.spray.affinity import median

SHORTEST = 3  # frames on either side of a step: the shortest way of looking
TOLERANCE = 0.003  # squared length of a step that landmarks, crops and codecs make anyway, in that of the maps
PRIOR = 10  # windows that the tolerance counts for beside those of the sequence
LONGEST_GAP = 2.0  # times the usual time between two windows that is made up for
_SHARED = 0.05  # least squared length that maps share, in that of a map


@dataclass(frozen=True)
class Steps:
    """Steps of a sequence.

    Attributes
    ----------
    first : shape (s,), int64, ascending
        Index of the first map after each step.
    size : shape (s,), float64
        Squared distance of the means of the windows beside each, in the unit of the products.
    p_split
        Probability that drift and noise alone make a step as clear as the clearest one; 1 where there is nothing to be
        tested.
    """

    first: NDArray[np.int64]
    size: NDArray[np.float64]
    p_split: float

    @classmethod
    def none(cls, p_split: float = 1.0) -> Steps:
        """No step."""
        return cls(np.empty(0, np.int64), np.empty(0), p_split)


def find_steps(
    products: NDArray[np.float64], times: NDArray[np.int64], *, alpha: float = 0.05, shortest: int = SHORTEST
) -> Steps:
    r"""Steps of a sequence of maps, each tested against the drift and the noise of the rest.

    Parameters
    ----------
    products : shape (n, n), float64
        Inner products of the feature vectors of the maps, in the order of time.
    times : shape (n,), ascending
        Frame of each map.
    alpha
        Level of the test, for a sequence.
    shortest
        Frames of a window.

    Returns
    -------
    Steps
        At least `shortest` maps apart from each other and from both ends.

    Notes
    -----
    :math:`M_t` is the squared distance between the mean map of the `shortest` frames before t and that of those from t
    on, less what noise adds to it (inner products of a frame with itself are left out), over the squared length that
    neighbouring maps share. Where the head drifts, :math:`M_t` is much the same all along; at a step it stands out.
    Candidates, the largest first, are tested with those before them taken out, and the last that is significant counts
    with all before it (generalised extreme Studentised deviate). Of the rest, m independent windows of mean
    :math:`|M|`, the reference is moderated: :math:`(d_0 s_0 + m \bar M) / (d_0 + m)`. Here :math:`s_0` is `TOLERANCE`
    plus the standard deviation that noise gives :math:`M`. Where the maps move as fast on both sides of the candidate,
    their :math:`M` takes the place of the mean. The ratio is compared with F(1, d_0 + m), and p multiplied by the
    number of windows.

    References
    ----------
    Rosner (1983), Technometrics 25. Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3: moderated variances.
    """
    n, w = len(products), shortest
    if n < 2 * w:
        return Steps.none()
    own = products.diagonal()
    scale = max(median(products.diagonal(1)), _SHARED * median(own))
    if not scale > 0:
        return Steps.none()
    size = _moved(products, w)
    moved = size / (scale * _gaps(times, w) ** 2)
    least = TOLERANCE + _noise(products, w) / scale
    candidates = _peaks(moved, 2 * least, w)
    p = _significance(moved, candidates, least, w) * (n / w)
    significant = np.flatnonzero(p < alpha)
    if not len(significant):
        return Steps.none(float(min(1.0, p.min(initial=1.0))))
    kept = np.sort(candidates[: significant[-1] + 1])
    return Steps(kept + w, size[kept], float(min(1.0, p.min(initial=1.0))))


def _moved(products: NDArray[np.float64], w: int) -> NDArray[np.float64]:
    """Squared distances of the means of neighbouring windows, without the noise's share, shape (n - 2 w + 1,)."""
    n = len(products)
    sums = np.zeros((n + 1, n + 1))
    np.cumsum(np.cumsum(products, axis=0), axis=1, out=sums[1:, 1:])
    own = np.concatenate([[0.0], np.cumsum(products.diagonal())])
    start = np.arange(n - w + 1)
    stop = start + w
    within = sums[stop, stop] - sums[start, stop] - sums[stop, start] + sums[start, start] - (own[stop] - own[start])
    left, middle, right = start[: n - 2 * w + 1], stop[: n - 2 * w + 1], stop[w:]
    across = sums[middle, right] - sums[left, right] - sums[middle, middle] + sums[left, middle]
    return (within[: len(left)] + within[w:]) / (w * (w - 1)) - 2.0 * across / w**2


def _gaps(times: NDArray[np.int64], w: int) -> NDArray[np.float64]:
    """Time between neighbouring windows over the usual one, 1 to `LONGEST_GAP`: a drift goes on where no map is."""
    sums = np.concatenate([[0.0], np.cumsum(times, dtype=np.float64)])
    means = (sums[w:] - sums[:-w]) / w
    apart = means[w:] - means[:-w]
    return np.clip(apart / max(median(apart), 1e-9), 1.0, LONGEST_GAP)


def _noise(products: NDArray[np.float64], w: int) -> float:
    """Standard deviation that independent noise of the frames gives to the squared distances of `_moved`.

    Differences of neighbouring frames that share none have inner products whose mean square is tr(Sigma^2).
    """
    change = (products[1:, 1:] - products[1:, :-1] - products[:-1, 1:] + products[:-1, :-1]) / 2
    n = len(change)
    square = np.square(change)
    for k in (-1, 0, 1):
        square.ravel()[max(k, 0) + max(-k, 0) * n :: n + 1][: n - abs(k)] = 0.0
    apart = np.full(n, n - 3.0)
    apart[[0, -1]] += 1
    variance = median(square.sum(axis=1) / np.maximum(apart, 1))
    return float(np.sqrt(variance * (4 / (w * (w - 1)) + 4 / w**2)))


def _peaks(moved: NDArray[np.float64], least: float, w: int) -> NDArray[np.int64]:
    """Places of the largest values above `least`, largest first, no two nearer than w."""
    free = moved > least
    found = []
    for place in np.argsort(-moved, kind="stable")[: np.count_nonzero(free)].tolist():
        if free[place]:
            found.append(place)
            free[max(0, place - w + 1) : place + w] = False
    return np.array(found, np.int64)


def _significance(
    moved: NDArray[np.float64], candidates: NDArray[np.int64], least: float, w: int
) -> NDArray[np.float64]:
    """p of each candidate with those before it taken out, shape (c,)."""
    size = np.abs(moved)
    rest = np.ones(len(size), bool)
    ratio, freedom = np.empty(len(candidates)), np.empty(len(candidates))
    for k, place in enumerate(candidates.tolist()):
        rest[max(0, place - w + 1) : place + w] = False
        count = int(np.count_nonzero(rest))
        usual = float(size @ rest) / count if count else 0.0
        beside = [size[other] for other in (place - w, place + w) if 0 <= other < len(size)]
        windows = count / (2 * w)
        freedom[k] = PRIOR + windows
        ratio[k] = (
            moved[place] * freedom[k] / (PRIOR * least + windows * max([usual, *([min(beside)] if beside else [])]))
        )
    return special.fdtrc(1.0, freedom, ratio)
