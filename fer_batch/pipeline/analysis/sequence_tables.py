"""What phase 2 found in one sequence, as rows of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.prototypes.stages import LabelSet, find_stages, letter, stage_text
from fer_batch.prototypes.temporal import temporal_prototype
from fer_batch.regions import regions_version
from fer_batch.storage.parquet import pack_maps, rows_of, table_of
from fer_batch.types import Clustering, Stage


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
    align: str = "face"  # where maps are compared: face, crop


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
    standard : shape (K, h', w')
        Mean of the maps of every cluster on the standard face; NaN where there is none.
    stability
        Of each cluster; empty where the rule has none.
    """

    pairs: NDArray[np.int64]
    labels: NDArray[np.int64]
    clustering: Clustering
    sums: NDArray[np.float64]
    exemplars: list[int]
    standard: NDArray[np.float32]
    stability: tuple[float, ...] = ()

    def in_order(self, order: list[int]) -> TargetClusters:
        """The same clusters, numbered in another order."""
        rank = np.append(np.argsort(order), -1)  # the last is that of label -1
        exemplars = [self.exemplars[k] for k in order]
        stability = tuple(self.stability[k] for k in order) if self.stability else ()
        ordered = replace(self, exemplars=exemplars, stability=stability, standard=self.standard[order])
        return replace(ordered, labels=rank[self.labels], sums=self.sums[order])


def prototype_rows(
    data: SequenceData, target: str, found: TargetClusters, options: AnalysisOptions
) -> Iterator[dict[str, object]]:
    """Rows of table `prototypes` of one target: a cluster each, with its mean map and its exemplar.

    Parameters
    ----------
    data
        The sequence.
    target
        Whose clusters.
    found
        Its clusters, in the order of their letters.
    options
        Of the analysis.
    """
    clustering = found.clustering
    decision = {
        "n_clusters": len(found.sums),
        "n_clustered": int(np.count_nonzero(clustering.labels >= 0)),
        "spectrum": clustering.eigenvalues.tolist(),
        "rule": clustering.rule,
        "n_neighbors": clustering.n_neighbors,
        "eigengap": _known(clustering.eigengap),
        "silhouette": _known(clustering.silhouette),
        "p_split": _known(clustering.p_split),
        "analysis_id": options.analysis_id,
    }
    for k, total in enumerate(found.sums):
        members = data.frame_index[data.pairs[found.pairs[found.labels == k], 0]]
        values, scale = pack_maps((total / len(members))[None])
        exemplar = int(data.pairs[found.exemplars[k], 0])
        yield {
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
            "stability": found.stability[k] if found.stability else None,
            **decision,
            **_on_standard_face(found.standard[k]),
        }


def _on_standard_face(mean: NDArray[np.float32]) -> dict[str, object]:
    if not np.isfinite(mean).all():
        return {}
    values, scale = pack_maps(mean[None])
    size = {"standard_height": mean.shape[0], "standard_width": mean.shape[1]}
    return {**size, "standard_scale": float(scale[0]), "standard_relevance": values[0].ravel()}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def detections(
    data: SequenceData,
    options: AnalysisOptions,
    is_active: NDArray[np.bool_],
    letters: list[list[str | None]],
    mu: NDArray[np.float32],
    share: NDArray[np.float32],
) -> pa.Table:
    """Table `detections`: a row for every ok frame and output, outputs in the network's order.

    Parameters
    ----------
    data, options
        The sequence and its analysis.
    is_active : shape (k, A), bool
    letters
        Of each output, its cluster's letter in every ok frame; empty for none, None where it is not active.
    mu, share : shape (k, A), float32, in [0, 1]
        Relevance mass in the region, and the region's share of the crop; NaN where undefined.
    """
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


def prototype_tables(data: SequenceData, options: AnalysisOptions, sets: list[LabelSet]) -> dict[str, pa.Table]:
    """Tables `stages` and `temporal_prototypes`.

    Parameters
    ----------
    data, options
        The sequence and its analysis.
    sets
        Labels of each ok frame.
    """
    sampled = data.frames["frame_index"].to_numpy()
    stages = find_stages(data.frame_index, sets, sampled)
    prototype = temporal_prototype(stages, n_missing_frames=len(sampled) - len(data.ok))
    sequence_id = data.sequence["sequence_id"]
    row = {
        "sequence_id": sequence_id,
        "subject_id": data.sequence.get("subject_id"),
        "emotion": data.sequence.get("emotion"),
        "text": prototype.text,
        "cooccurrence_text": prototype.cooccurrence_text,
        "prototype_id": prototype.prototype_id,
        "cooccurrence_id": prototype.cooccurrence_id,
        "n_frames": prototype.n_frames,
        "n_stages": prototype.n_stages,
        "n_distinct_stages": prototype.n_distinct_stages,
        "reduction": _known(prototype.reduction),
        "n_missing_frames": prototype.n_missing_frames,
        "analysis_id": options.analysis_id,
    }
    return {
        "stages": rows_of("stages", _stage_rows(sequence_id, stages)),
        "temporal_prototypes": rows_of("temporal_prototypes", [row]),
    }


def _stage_rows(sequence_id: str, stages: Sequence[Stage]) -> list[dict[str, object]]:
    return [
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
