"""Do maps change when the weights of the network are shuffled (Adebayo et al. 2018)? Maps in, figures out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.map_similarity import MEASURES, Maps, ranks, row_correlation
from fer_batch.evaluate.subject_mean import SubjectMean, subject_mean, subject_numbers

MARGIN = 0.35  # a method is flagged where more than this of the rank correlation stays: docs/faithfulness.md
SAME = 0.5  # and from this correlation on any map counts as the same picture, be it of the image or not
N_PARTNERS = 3  # other images that each image is compared with; more narrow the chance level little


class ShuffledMaps(Protocol):
    """Maps of a network some layers of which are shuffled; `explain.randomised.RandomisedMaps` is such."""

    @property
    def layer(self) -> str:
        """The layer shuffled last."""

    @property
    def n_layers(self) -> int:
        """How many are shuffled."""

    @property
    def everything(self) -> bool:
        """Whether all are."""

    @property
    def seed(self) -> int:
        """Of the shuffle."""

    @property
    def maps(self) -> NDArray[np.float32]:
        """Shape (N, H, W), float32."""


@dataclass(frozen=True)
class SimilarityAtDepth:
    """How alike maps of the trained network and of a shuffled one are.

    Attributes
    ----------
    measure
        Of `map_similarity.MEASURES`.
    layer
        The layer shuffled last.
    n_layers
        How many are shuffled.
    similarity
        Of an image's mean over the shuffles.
    """

    measure: str
    layer: str
    n_layers: int
    similarity: SubjectMean


@dataclass(frozen=True)
class RandomisationCheck:
    """Whether a method's maps depend on what the network learned.

    Similarity is the rank correlation of signed maps.

    Attributes
    ----------
    curve
        By measure, then in the order in which the shuffled maps came.
    residual
        Similarity to the map of the same image where all weights are shuffled.
    chance
        The same, of the face of someone else: what aligned faces and the architecture give any two maps.
    own
        Similarity to the map of the same image minus that to maps of other people's faces, the mean over all depths of
        the cascade: how much of an image's map stays while the network above, and at last all of it, is shuffled.
    own_by_seed
        Mean of `own` for each shuffle.
    """

    curve: tuple[SimilarityAtDepth, ...]
    residual: SubjectMean
    chance: SubjectMean
    own: SubjectMean
    own_by_seed: tuple[float, ...]

    @property
    def follows_image(self) -> bool | None:
        """Whether maps follow the image by more than `MARGIN` without learned weights; None where that is open."""
        return _beyond(self.own, MARGIN)

    @property
    def stays(self) -> bool | None:
        """Whether maps without any learned weight are still the same picture, image or not; None where that is open."""
        return _beyond(self.residual, SAME)

    @property
    def flagged(self) -> bool | None:
        """Whether much of the maps does not come from what was learned; None where that is open."""
        found = (self.follows_image, self.stays)
        return True if True in found else None if None in found else False


def _beyond(found: SubjectMean, level: float) -> bool | None:
    """Whether a mean surely lies above a level, or surely not; None where its interval has the level in it."""
    if found.low > level:
        return True
    return False if found.high <= level else None


def randomisation_check(
    trained: Maps,
    shuffled: Iterable[ShuffledMaps],
    subjects: Sequence[Hashable],
    *,
    measures: Sequence[str] = tuple(MEASURES),
    level: float = 0.95,
) -> RandomisationCheck:
    """Compare the maps of a trained network with those of networks whose weights are shuffled.

    Parameters
    ----------
    trained : shape (N, H, W), floating
        One map per image, of the same target as the shuffled ones.
    shuffled
        Maps of the same images; taken one after another, so that a generator of them needs no memory. Several with one
        `layer` are shuffles of other seeds.
    subjects
        Whose face each image shows.
    measures
        Names of `map_similarity.MEASURES` for the curve.
    level
        Of the intervals by subject.

    Returns
    -------
    RandomisationCheck
        `residual` and `chance` are NaN where nothing has all weights shuffled.

    Raises
    ------
    ValueError
        If maps and subjects are not one per image, shapes differ, or a measure is unknown.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS. The chance level is ours.
    """
    if trained.ndim != 3 or len(subjects) != len(trained):
        raise ValueError(f"expected a map and a subject per image, got {trained.shape} and {len(subjects)}")
    if unknown := sorted(set(measures) - set(MEASURES)):
        raise ValueError(f"unknown measure {', '.join(unknown)}; expected {', '.join(MEASURES)}")
    found = _Found({}, {}, [])
    found.take(trained, shuffled, _partners(subjects), measures)

    def mean(values: Sequence[NDArray[np.float64]], most: float = 1.0) -> SubjectMean:
        return subject_mean(_nanmean(values, len(trained)), subjects, level=level, bounds=(-most, most))

    curve = [SimilarityAtDepth(*key, mean(values)) for key, values in found.by_depth.items()]
    curve.sort(key=lambda row: list(measures).index(row.measure))  # stable: layers stay in their order
    own = [[same - other for same, other in pairs] for pairs in found.by_seed.values()]
    by_seed = [subject_mean(_nanmean(values, len(trained)), subjects).mean for values in own]
    return RandomisationCheck(
        tuple(curve),
        mean([same for same, _ in found.of_all]),
        mean([other for _, other in found.of_all]),
        mean([values for seed in own for values in seed], most=2.0),  # a difference of correlations
        tuple(by_seed),
    )


@dataclass(frozen=True)
class _Found:
    """Similarities of shape (N,) by measure, layer and depth; with chance, of shape (2, N), by seed, and of all."""

    by_depth: dict[tuple[str, str, int], list[NDArray[np.float64]]]
    by_seed: dict[int, list[NDArray[np.float64]]]
    of_all: list[NDArray[np.float64]]

    def take(
        self, trained: Maps, shuffled: Iterable[ShuffledMaps], partners: NDArray[np.int64], measures: Sequence[str]
    ) -> None:
        """Compare one list of maps after another."""
        before = ranks(trained)
        for one in shuffled:
            if one.maps.shape != trained.shape:
                raise ValueError(f"expected shuffled maps {trained.shape} as the trained ones, got {one.maps.shape}")
            for measure in measures:
                key = (measure, one.layer, one.n_layers)
                self.by_depth.setdefault(key, []).append(MEASURES[measure](trained, one.maps))
            same_and_other = _with_chance(before, ranks(one.maps), partners)
            self.by_seed.setdefault(one.seed, []).append(same_and_other)
            self.of_all.extend([same_and_other] * one.everything)


def _partners(subjects: Sequence[Hashable]) -> NDArray[np.int64]:
    """For every image up to `N_PARTNERS` images of others, shape (N, N_PARTNERS); -1 where there are none."""
    number = subject_numbers(subjects)
    found = np.full((len(number), N_PARTNERS), -1)
    for i, own in enumerate(number):
        following = np.roll(np.arange(len(number)), -i)
        others = following[number[following] != own]
        chosen = others[np.linspace(0, len(others), N_PARTNERS, endpoint=False).astype(int)] if len(others) else []
        found[i, : len(chosen)] = chosen
    return found


def _with_chance(
    trained: NDArray[np.float64], shuffled: NDArray[np.float64], partners: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correlation of ranks for the same image, and the mean over images of others, shape (2, N)."""
    others = [np.where(who >= 0, row_correlation(trained, shuffled[who]), np.nan) for who in partners.T]
    return np.stack([row_correlation(trained, shuffled), _nanmean(others, len(trained))])


def _nanmean(values: Sequence[NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """Mean over arrays of shape (n,) where they are defined; NaN where none is."""
    stack = np.array(values, np.float64).reshape(-1, n)
    defined = ~np.isnan(stack)
    return np.divide(np.where(defined, stack, 0).sum(0), defined.sum(0), out=np.full(n, np.nan), where=defined.any(0))
