"""Does a method draw another map when it is asked for another class (methods PD-m)?"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.similarity import correlations
from fer_batch.evaluate.subject_mean import SubjectMean, subject_mean


@dataclass(frozen=True)
class Discrimination:
    """How alike the maps of one method are between classes, on the same images.

    Attributes
    ----------
    overall
        Of an image's mean over its defined pairs of classes; 1 where every class gets the same map.
    pairs
        Indices of the classes of each pair, the smaller first.
    by_pair
        The same of each pair.
    n_undefined_maps
        Maps that are zero (centred: constant) or not finite; their correlations are undefined.
    """

    overall: SubjectMean
    pairs: tuple[tuple[int, int], ...]
    by_pair: tuple[SubjectMean, ...]
    n_undefined_maps: int


def class_discrimination(
    maps: Iterable[NDArray[np.floating]], subjects: Sequence[Hashable], *, centred: bool = True, level: float = 0.95
) -> Discrimination:
    r"""Mean correlation of a method's maps between classes on the same images.

    Of image *n* and classes *a*, *b*: :math:`\rho_{nab} = \langle R_{na}, R_{nb} \rangle / (\|R_{na}\| \|R_{nb}\|)`,
    centred by each map's mean. 1 says that the method draws the same picture whatever is asked, up to scale; 0 that
    maps of different classes have nothing in common; below 0 that evidence for one class is evidence against another.

    Parameters
    ----------
    maps : N of shape (C, H, W), floating
        Map of every class on every image, in any unit: the scale of a map does not matter. Images may differ in size,
        and are taken one after another, so that a generator of them needs no memory.
    subjects
        Whose face each image shows; read when all maps are.
    centred
        Subtract each map's mean first.
    level
        Of the intervals by subject.

    Returns
    -------
    Discrimination

    Raises
    ------
    ValueError
        If an image has not three axes and at least two classes, images have maps of different numbers of classes, or
        there is not one subject per image.

    References
    ----------
    Weitz (2018), class discrimination of methods; Gaya-Morey et al. (2024), Eq. 4: the correlation.
    """
    found_tables = [_table(image, centred) for image in maps]
    if len(counts := sorted({len(table) for table in found_tables})) > 1:
        raise ValueError(f"expected the same classes on every image, got images with {', '.join(map(str, counts))}")
    tables = np.array(found_tables)
    if len(subjects) != len(tables):
        raise ValueError(f"expected a subject per image, got {len(subjects)} for {len(tables)}")
    tables = tables.reshape(len(tables), *(tables.shape[1:] or (2, 2)))
    first, second = np.array(list(combinations(range(tables.shape[1]), 2))).T
    found = tables[:, first, second]
    defined = ~np.isnan(found)
    sums = np.where(defined, found, 0).sum(1)
    overall = np.divide(sums, defined.sum(1), out=np.full(len(tables), np.nan), where=defined.any(1))
    return Discrimination(
        subject_mean(overall, subjects, level=level, bounds=(-1, 1)),
        tuple(zip(first.tolist(), second.tolist(), strict=True)),
        tuple(subject_mean(values, subjects, level=level, bounds=(-1, 1)) for values in found.T),
        int(np.isnan(np.diagonal(tables, axis1=1, axis2=2)).sum()),
    )


def _table(image: NDArray[np.floating], centred: bool) -> NDArray[np.float64]:
    """Correlations of the maps of one image, shape (C, C)."""
    if image.ndim != 3 or len(image) < 2:
        raise ValueError(f"expected maps (C, H, W) of two or more classes of every image, got {image.shape}")
    return correlations(image, centred=centred)
