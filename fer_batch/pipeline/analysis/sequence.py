"""Phase 2 of one sequence: maps to clusters, clusters to letters, letters to stages and the temporal prototype.

Where the rooms meet: `spray` clusters, `regions` makes masks, `evaluate` measures, `prototypes` tells the story.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch import spray
from fer_batch.evaluate.localisation import region_share, relevance_mass
from fer_batch.models.heads import active
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.prototypes.stages import (
    LabelSet,
    find_stages,
    first_shown,
    label_sets,
    letter,
    stage_text,
    without_short_runs,
)
from fer_batch.prototypes.temporal import temporal_prototype
from fer_batch.regions import region_masks, regions_version
from fer_batch.spray.nearest import nearest
from fer_batch.storage.parquet import pack_maps, rows_of, table_of
from fer_batch.types import Clustering

BATCH = 512  # maps in memory beside those that are clustered


@dataclass(frozen=True)
class AnalysisOptions:
    """What phase 2 needs of the job."""

    targets: tuple[str, ...]
    head: str
    threshold: float
    spray: dict[str, Any]
    max_frames: int
    regions: str
    crop_size: int  # pixels
    analysis_id: str
    min_run: int = 1  # frames of a stage


@dataclass
class TargetClusters:
    """Clusters of one target in one sequence, with what is stored of them.

    Attributes
    ----------
    pairs : shape (n,)
        Explained pairs in which the target is active.
    labels : shape (n,)
        Their clusters, numbered in the order of their letters; -1 where the map is undefined.
    clustering
        Of the pairs that were clustered.
    sums : shape (K, h, w)
        Of the maps of every cluster.
    exemplars
        Pair of each cluster.
    """

    pairs: NDArray[np.int64]
    labels: NDArray[np.int64]
    clustering: Clustering
    sums: NDArray[np.float64]
    exemplars: list[int]

    def in_order(self, order: list[int]) -> TargetClusters:
        """The same clusters, numbered in another order."""
        rank = np.append(np.argsort(order), -1)  # the last is that of label -1
        exemplars = [self.exemplars[k] for k in order]
        return replace(self, labels=rank[self.labels], sums=self.sums[order], exemplars=exemplars)


def analyse(data: SequenceData, options: AnalysisOptions) -> dict[str, pa.Table]:
    """Tables `detections`, `prototypes`, `stages` and `temporal_prototypes` of one sequence.

    A target that is active but has no defined map keeps its name without a letter. Letters follow the story: where
    short runs are left out of it, a cluster that only they show comes after those that it tells of (methods TP-1,
    TP-13).
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
    told = without_short_runs(sets, options.min_run)
    if told != sets:
        clusters = {target: found.in_order(_order(told, target, found)) for target, found in clusters.items()}
        letters = _letters(data, options, is_active, clusters)
        told = without_short_runs(label_sets(n_ok, letters), options.min_run)
    prototypes = [row for target, found in clusters.items() for row in _prototype_rows(data, target, found, options)]
    tables = {
        "detections": _detections(data, options, is_active, list(letters.values()), mu, share),
        "prototypes": rows_of("prototypes", prototypes),
    }
    if data.sequence["kind"] != "still":
        tables |= _story(data, options, told)
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


def _order(told: list[LabelSet], target: str, found: TargetClusters) -> list[int]:
    """Clusters as the story shows them first, then those that it does not show."""
    place = {name: i for i, name in enumerate(first_shown(told, target))}
    return sorted(range(len(found.sums)), key=lambda k: place.get(letter(k), len(place)))


def _cluster(data: SequenceData, pairs: NDArray[np.int64], options: AnalysisOptions) -> TargetClusters:
    """SpRAy over evenly spaced frames where there are more than `max_frames`; the others join the nearest cluster."""
    if not len(pairs):
        none = np.zeros((0, 1, 1))
        return TargetClusters(pairs, np.zeros(0, np.int64), spray.cluster(none, **options.spray), none, [])
    sampled = np.arange(len(pairs))
    if len(pairs) > options.max_frames:
        sampled = np.unique(np.linspace(0, len(pairs) - 1, options.max_frames).round().astype(np.int64))
    read = list(data.maps(pairs[sampled]))
    sizes = sorted({piece.shape[1:] for piece in read})
    if len(sizes) > 1:
        raise ValueError(f"expected maps of one size for every frame of a target, got {sizes}")
    maps = np.concatenate(read)
    clustering = spray.cluster(maps, **options.spray)
    own = spray.cluster_means(maps, clustering.labels)
    exemplars = [int(pairs[sampled[i]]) for i in spray.exemplars(maps, clustering.labels)]
    counts = np.bincount(clustering.labels[clustering.labels >= 0], minlength=len(own))
    sums = own * counts[:, None, None]
    labels = np.full(len(pairs), -1, np.int64)
    labels[sampled] = clustering.labels
    found = TargetClusters(pairs, labels, clustering, sums, exemplars)
    if len(sampled) == len(pairs) or not len(own):
        return found
    others = np.setdiff1d(np.arange(len(pairs)), sampled, assume_unique=True)
    start = 0
    for piece in _pieces(data, pairs[others]):
        mine = nearest(piece, own)
        labels[others[start : start + len(piece)]] = mine
        start += len(piece)
        for k in range(len(own)):
            sums[k] += piece[mine == k].sum(0)
    return found.in_order(list(dict.fromkeys(labels[labels >= 0].tolist())))


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


def _prototype_rows(
    data: SequenceData, target: str, found: TargetClusters, options: AnalysisOptions
) -> list[dict[str, Any]]:
    rows = []
    for k, total in enumerate(found.sums):
        members = data.frame_index[data.pairs[found.pairs[found.labels == k], 0]]
        values, scale = pack_maps((total / len(members))[None])
        exemplar = int(data.pairs[found.exemplars[k], 0])
        clustering = found.clustering
        rows.append(
            {
                "sequence_id": data.sequence["sequence_id"],
                "target": target,
                "cluster": letter(k),
                "n_frames": len(members),
                "first_frame": int(members.min()),
                "exemplar_frame": int(data.frame_index[exemplar]),
                "exemplar_jpeg": data.reader.crop(exemplar),
                "height": values.shape[1],
                "width": values.shape[2],
                "scale": _known(float(scale[0])),
                "relevance": values[0].ravel(),
                "n_clusters": len(found.sums),
                "n_clustered": int(np.count_nonzero(clustering.labels >= 0)),
                "spectrum": clustering.eigenvalues.tolist(),
                "rule": clustering.rule,
                "n_neighbors": clustering.n_neighbors,
                "eigengap": _known(clustering.eigengap),
                "silhouette": _known(clustering.silhouette),
                "analysis_id": options.analysis_id,
            }
        )
    return rows


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _detections(
    data: SequenceData,
    options: AnalysisOptions,
    is_active: NDArray[np.bool_],
    letters: list[list[str | None]],
    mu: NDArray[np.float32],
    share: NDArray[np.float32],
) -> pa.Table:
    n_ok, n_targets = is_active.shape
    conservation = np.full((n_ok, n_targets), np.nan, np.float32)
    conservation[data.pairs[:, 0], data.pairs[:, 1]] = data.conservation
    by_frame = [letters[a][row] or None for row in range(n_ok) for a in range(n_targets)]
    measured = np.isfinite(share).ravel()
    version = None if options.regions == "none" else regions_version(options.regions)
    return table_of(
        "detections",
        {
            "sequence_id": [data.sequence["sequence_id"]] * (n_ok * n_targets),
            "frame_index": np.repeat(data.frame_index, n_targets),
            "target": list(options.targets) * n_ok,
            "logit": data.logits.ravel(),
            "probability": data.probability.ravel(),
            "active": is_active.ravel(),
            "cluster": by_frame,
            "mu": mu.ravel(),
            "region_share": share.ravel(),
            "regions_version": [version if one else None for one in measured],
            "conservation": conservation.ravel(),
        },
    )


def _story(data: SequenceData, options: AnalysisOptions, sets: list[LabelSet]) -> dict[str, pa.Table]:
    sampled = data.frames["frame_index"].to_numpy()
    stages = find_stages(data.frame_index, sets, sampled)
    story = temporal_prototype(stages, n_missing_frames=len(sampled) - len(data.ok))
    sequence_id = data.sequence["sequence_id"]
    stage_rows = [
        {
            "sequence_id": sequence_id,
            "stage_index": index,
            "first_frame": stage.first_frame,
            "last_frame": stage.last_frame,
            "n_frames": stage.n_frames,
            "n_missing_frames": stage.n_missing_frames,
            "labels": [f"{target}_{name}" if name else target for target, name in stage.labels],
            "text": stage_text(stage.labels),
        }
        for index, stage in enumerate(stages)
    ]
    story_row = {
        "sequence_id": sequence_id,
        "subject_id": data.sequence.get("subject_id"),
        "emotion": data.sequence.get("emotion"),
        "text": story.text,
        "cooccurrence_text": story.cooccurrence_text,
        "prototype_id": story.prototype_id,
        "cooccurrence_id": story.cooccurrence_id,
        "n_frames": story.n_frames,
        "n_stages": story.n_stages,
        "n_distinct_stages": story.n_distinct_stages,
        "reduction": _known(story.reduction),
        "n_missing_frames": story.n_missing_frames,
        "analysis_id": options.analysis_id,
    }
    return {"stages": rows_of("stages", stage_rows), "temporal_prototypes": rows_of("temporal_prototypes", [story_row])}
