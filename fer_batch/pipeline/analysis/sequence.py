"""Phase 2 of one sequence: maps to clusters, clusters to letters, letters to stages and the temporal prototype.

Where the rooms meet: `spray` clusters, `regions` makes masks, `evaluate` measures, `prototypes` finds the stages.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch import spray
from fer_batch.evaluate.localisation import region_share, relevance_mass
from fer_batch.models.heads import active
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.pipeline.analysis.sequence_tables import (
    AnalysisOptions,
    TargetClusters,
    detections,
    prototype_rows,
    prototype_tables,
)
from fer_batch.pipeline.analysis.standard_means import standard_means
from fer_batch.prototypes.stages import (
    LabelSet,
    first_shown,
    label_sets,
    letter,
    without_short_runs,
)
from fer_batch.regions import face_maps, region_masks
from fer_batch.regions.face_maps import CANVAS
from fer_batch.spray.nearest import nearest
from fer_batch.storage.parquet import rows_of

BATCH = 512  # maps in memory beside those that are clustered


def analyse(data: SequenceData, options: AnalysisOptions) -> dict[str, pa.Table]:
    """Tables `detections`, `prototypes`, `stages` and `temporal_prototypes` of one sequence.

    A target that is active but has no defined map keeps its name without a letter. Letters follow the temporal
    prototype: where short runs are left out of it, a cluster that only they show comes after those that it shows
    (methods TP-1, TP-13).
    """
    is_active = active(data.probability, options.head, options.threshold)  # type: ignore[arg-type]
    n_ok, n_targets = is_active.shape
    mu = np.full((n_ok, n_targets), np.nan, np.float32)
    share = np.full((n_ok, n_targets), np.nan, np.float32)
    clusters: dict[str, TargetClusters] = {}
    for a, target in enumerate(options.targets):
        pairs = np.flatnonzero(data.pairs[:, 1] == a)
        if not len(pairs):
            continue
        clusters[target] = _cluster(data, pairs[is_active[data.pairs[pairs, 0], a]], options)
        _localise(data, pairs, target, options, mu[:, a], share[:, a])
    letters = _letters(data, options, is_active, clusters)
    sets = label_sets(n_ok, letters)
    shown = without_short_runs(sets, options.min_run)
    if shown != sets:
        clusters = {target: found.in_order(_order(shown, target, found)) for target, found in clusters.items()}
        letters = _letters(data, options, is_active, clusters)
        shown = without_short_runs(label_sets(n_ok, letters), options.min_run)
    prototypes = [row for target, found in clusters.items() for row in prototype_rows(data, target, found, options)]
    tables = {
        "detections": detections(data, options, is_active, list(letters.values()), mu, share),
        "prototypes": rows_of("prototypes", prototypes),
    }
    if data.sequence["kind"] != "still":
        tables |= prototype_tables(data, options, shown)
    return tables


def _letters(
    data: SequenceData, options: AnalysisOptions, is_active: NDArray[np.bool_], clusters: dict[str, TargetClusters]
) -> dict[str, list[str | None]]:
    """For each target one entry per ok frame, as `label_sets` takes them."""
    letters: dict[str, list[str | None]] = {}
    for a, target in enumerate(options.targets):
        letters[target] = ["" if on else None for on in is_active[:, a]]
        if found := clusters.get(target):
            for row, label in zip(data.pairs[found.pairs, 0], found.labels, strict=True):
                letters[target][row] = letter(int(label)) if label >= 0 else ""
    return letters


def _order(shown: list[LabelSet], target: str, found: TargetClusters) -> list[int]:
    """Clusters as the temporal prototype shows them first, then those that it does not show."""
    place = {name: i for i, name in enumerate(first_shown(shown, target))}
    return sorted(range(len(found.sums)), key=lambda k: place.get(letter(k), len(place)))


def _cluster(data: SequenceData, pairs: NDArray[np.int64], options: AnalysisOptions) -> TargetClusters:
    """SpRAy over evenly spaced frames where there are more than `max_frames`; the others join the nearest cluster."""
    if not len(pairs):
        none = np.zeros((0, 1, 1))
        nowhere = np.zeros((0, *CANVAS), np.float32)
        nothing = spray.cluster_sequence(none, **options.spray)
        return TargetClusters(pairs, np.zeros(0, np.int64), nothing, none, [], nowhere)
    sampled = np.arange(len(pairs))
    if len(pairs) > options.max_frames:
        sampled = np.unique(np.linspace(0, len(pairs) - 1, options.max_frames).round().astype(np.int64))
    read = list(data.maps(pairs[sampled]))
    sizes = sorted({piece.shape[1:] for piece in read})
    if len(sizes) > 1:
        raise ValueError(f"expected maps of one size for every frame of a target, got {sizes}")
    maps = np.concatenate(read)
    compared = _compared(data, pairs[sampled], maps, options)
    clustering = spray.cluster_sequence(compared, data.frame_index[data.pairs[pairs[sampled], 0]], **options.spray)
    own = spray.cluster_means(maps, clustering.labels)
    exemplars = [int(pairs[sampled[i]]) for i in spray.exemplars(maps, clustering.labels)]
    counts = np.bincount(clustering.labels[clustering.labels >= 0], minlength=len(own))
    sums = own * counts[:, None, None]
    labels = np.full(len(pairs), -1, np.int64)
    labels[sampled] = clustering.labels
    faces = _on_faces(data, pairs[sampled], maps, options) if compared is maps else compared
    standard = standard_means(faces, maps, clustering.labels)
    found = TargetClusters(pairs, labels, clustering, sums, exemplars, standard, clustering.stability)
    if len(sampled) == len(pairs) or not len(own):
        return found
    others = np.setdiff1d(np.arange(len(pairs)), sampled, assume_unique=True)
    _join_nearest(data, found, others, spray.cluster_means(compared, clustering.labels), options)
    return found.in_order(list(dict.fromkeys(labels[labels >= 0].tolist())))


def _compared(
    data: SequenceData, pairs: NDArray[np.int64], maps: NDArray[np.float32], options: AnalysisOptions
) -> NDArray[np.float32]:
    """Maps of some pairs as they are clustered: on the standard face where every frame of the sequence has one."""
    if options.align == "crop" or not data.has_faces:
        return maps
    return _on_faces(data, pairs, maps, options)


def _on_faces(
    data: SequenceData, pairs: NDArray[np.int64], maps: NDArray[np.float32], options: AnalysisOptions
) -> NDArray[np.float32]:
    return face_maps(maps, data.landmarks[data.pairs[pairs, 0]], (options.crop_size, options.crop_size))


def _join_nearest(
    data: SequenceData,
    found: TargetClusters,
    others: NDArray[np.int64],
    means: NDArray[np.float64],
    options: AnalysisOptions,
) -> None:
    """Put the maps that were not sampled into the cluster with the nearest mean, of shape (K, h, w), as compared."""
    start = 0
    for piece in _pieces(data, found.pairs[others]):
        chosen = others[start : start + len(piece)]
        mine = nearest(_compared(data, found.pairs[chosen], piece, options), means)
        found.labels[chosen] = mine
        start += len(piece)
        for k in range(len(means)):
            found.sums[k] += piece[mine == k].sum(0)


def _pieces(data: SequenceData, pairs: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(pairs), BATCH):
        yield from data.maps(pairs[start : start + BATCH])


def _localise(
    data: SequenceData,
    pairs: NDArray[np.int64],
    target: str,
    options: AnalysisOptions,
    mu: NDArray[np.float32],
    share: NDArray[np.float32],
) -> None:
    """Fill `mu` and `share` of the explained frames; NaN where landmarks or a region are missing."""
    if options.regions == "none":
        return
    size = options.crop_size
    rows = data.pairs[pairs, 0]
    known = np.isfinite(data.landmarks[rows]).all((1, 2))
    pairs, rows = pairs[known], rows[known]
    start = 0
    for maps in _pieces(data, pairs):
        own = rows[start : start + len(maps)]
        start += len(maps)
        masks = region_masks(data.landmarks[own], target, (size, size), options.regions)
        if masks is None:
            return
        if maps.shape[1:] != (size, size):
            maps = np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in maps])
        mu[own] = relevance_mass(maps, masks)
        share[own] = region_share(masks)
