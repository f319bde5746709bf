"""How well attention and class maps agree with maps of where to look: ATT-COS and CAM-COS (methods E-4, E-5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.evaluate.localisation import resized

EPSILON = 1e-8


def map_cosines(found: NDArray[np.floating], maps: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Cosine of every two maps as they are, :math:`\sum T \odot A / (\|T\|_2 \|A\|_2 + \epsilon)` (L-3).

    Parameters
    ----------
    found : shape (N, h, w)
        Not larger than `maps`, to whose size they are interpolated.
    maps : shape (N, H, W)
        Where to look; one that is not finite, or zero everywhere, is no map.

    Returns
    -------
    shape (N,), float64, in [-1, 1]
        NaN where there is no map to compare with; 0 where there is, but what was found is 0 or not finite.

    Raises
    ------
    ValueError
        If there is not one found map a map, or it is the larger one.
    """
    if found.ndim != 3 or maps.ndim != 3 or len(found) != len(maps):
        raise ValueError(f"expected maps (N, h, w) and (N, H, W), got {found.shape} and {maps.shape}")
    valid = np.isfinite(maps).all(axis=(1, 2)) & (maps != 0).any(axis=(1, 2))
    whole = valid & np.isfinite(found).all(axis=(1, 2))
    cosines = np.where(valid, 0.0, np.nan)
    one = resized(found[whole], (maps.shape[1], maps.shape[2]))
    other = maps[whole].astype(np.float64)
    lengths = np.linalg.norm(one, axis=(1, 2)) * np.linalg.norm(other, axis=(1, 2))
    cosines[whole] = np.einsum("nij,nij->n", one, other) / (lengths + EPSILON)
    return cosines


def attention_cosines(attention: NDArray[np.floating], maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """ATT-COS of samples: attention that is negative somewhere is raised until it is not.

    Parameters
    ----------
    attention : shape (N, h, w)
        Of one layer, such as `training.alignment.layer_attention` gives it.
    maps : shape (N, H, W)
        As in `map_cosines`.

    Returns
    -------
    shape (N,), float64, in [0, 1]
        As `map_cosines`.

    References
    ----------
    Belharbi et al. (2024), 4.1, and the released code.
    """
    low = attention.min(axis=(1, 2), keepdims=True, initial=0)
    return map_cosines(attention - low, maps)


def cam_cosines(cams: NDArray[np.floating], maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """CAM-COS of samples: each class map is stretched to 0 to 1; a constant one is 0 throughout.

    Parameters
    ----------
    cams : shape (N, h, w)
        Of the true class, or of an annotated Action Unit.
    maps : shape (N, H, W)
        As in `map_cosines`.

    Returns
    -------
    shape (N,), float64, in [0, 1]
        As `map_cosines`.

    References
    ----------
    Belharbi et al. (2024), 4.1.
    """
    return map_cosines(stretched_maps(cams), maps)


def stretched_maps(cams: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each map from its least value, 0, to its largest, 1 (methods X-5).

    Parameters
    ----------
    cams : shape (N, h, w), any unit

    Returns
    -------
    shape (N, h, w), float64, in [0, 1]
        A constant map is 0 throughout; one that is not finite is NaN somewhere.
    """
    low, high = cams.min(axis=(1, 2), keepdims=True), cams.max(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):  # of infinite maps, whose cosine is 0
        span = np.asarray(high - low, np.float64)
        return np.divide(cams - low, span, out=np.zeros(cams.shape), where=(span > 0) | np.isnan(span))


def constant_baseline(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""What a constant map scores, :math:`\sum A / (\|A\|_2 \sqrt{HW})`: a figure to be read beside every other (E-5).

    Parameters
    ----------
    maps : shape (N, H, W)

    Returns
    -------
    shape (N,), float64, in [0, 1]
        NaN where there is no map.
    """
    return map_cosines(np.ones((len(maps), 1, 1)), maps)


@dataclass(frozen=True)
class AlignmentTable:
    """Mean cosines, classes down and layers across.

    Attributes
    ----------
    classes, columns
        What the rows and the columns are called.
    mean : shape (C, L), float64, in [-1, 1]
        NaN for a class without a sample that has a map, such as neutral.
    n : shape (C,)
        Samples of each class that have a map.
    """

    classes: tuple[str, ...]
    columns: tuple[str, ...]
    mean: NDArray[np.float64]
    n: NDArray[np.int64]

    @property
    def macro(self) -> NDArray[np.float64]:
        """Unweighted mean over the classes that have samples, shape (L,), float64; NaN where none has."""
        own = self.mean[self.n > 0]
        return own.mean(axis=0) if len(own) else np.full(len(self.columns), np.nan)


def alignment_table(
    cosines: Mapping[str, ArrayLike], labels: Sequence[str] | NDArray[np.str_], classes: Sequence[str]
) -> AlignmentTable:
    """Class rows of ATT-COS and CAM-COS, a column for each layer and class map.

    Parameters
    ----------
    cosines
        By column, such as `layer4` or `CAM`, shape (N,); NaN where the sample has no map, in every column.
    labels
        True class of each sample.
    classes
        Rows, in their order; samples of other classes are left out.

    Returns
    -------
    AlignmentTable

    Raises
    ------
    ValueError
        If there is no column, or columns differ in length or in which samples have a map.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in cosines.items()}
    if not columns or any(values.shape != (len(labels),) for values in columns.values()):
        shapes = {name: values.shape for name, values in columns.items()}
        raise ValueError(f"expected cosines of {len(labels)} samples by layer, got {shapes}")
    values = np.column_stack(list(columns.values()))
    has_map = np.isfinite(values[:, 0])
    if (np.isfinite(values) != has_map[:, None]).any():
        raise ValueError("the columns are of different samples: a sample has a map in some of them and not in others")
    own = [has_map & (np.asarray(labels) == name) for name in classes]
    empty = np.full(values.shape[1], np.nan)
    mean = np.stack([values[rows].mean(axis=0) if rows.any() else empty for rows in own]) if own else empty[:0, None]
    return AlignmentTable(tuple(classes), tuple(columns), mean, np.array([rows.sum() for rows in own], np.int64))
