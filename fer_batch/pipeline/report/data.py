"""What the report knows of one sequence, read from the published tables of its shard."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.facs import OccurrenceRule
from fer_batch.output.reader import Reader
from fer_batch.pipeline.report.frames import Frames
from fer_batch.sources.truth import occurs
from fer_batch.storage.parquet import read, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.visualize.clusters import ClusterDecision, ClusterMap
from fer_batch.visualize.colours import Label, label_text
from fer_batch.visualize.stages import StagePanel
from fer_batch.visualize.standard_face import line_face
from fer_batch.visualize.timeline_layout import Timeline

_TEXT_COLUMNS = (
    "text", "emotion", "subject_id", "n_frames", "n_stages", "n_distinct_stages", "reduction", "n_missing_frames",
)  # fmt: skip
STAGE_COLUMNS = ("stage_index", "first_frame", "last_frame", "n_frames", "n_missing_frames", "labels", "text")
EPISODE_COLUMNS = (
    "episode_index", "first_frame", "last_frame", "start_s", "end_s", "n_frames", "n_missing_frames", "text", "stages",
    "stage_first_frames", "stage_n_frames", "targets", "target_frames", "target_peaks", "target_evidence", "peak_frame",
    "lasting", "begins", "ends",
)  # fmt: skip
_PROTOTYPE_COLUMNS = (
    "target", "cluster", "n_frames", "first_frame", "exemplar_frame", "exemplar_jpeg", "height", "width", "scale",
    "relevance", "n_clusters", "n_clustered", "spectrum", "rule", "n_neighbors", "eigengap", "silhouette",
    "p_split", "stability",
)  # fmt: skip
FACE_PIXELS = 224


def occurrences(
    store: Store, dataset: str, sequence_ids: Iterable[str], rule: OccurrenceRule
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """Frames in which each target occurs by a rule, by sequence.

    Ground truth is of the dataset: its files are not cut like those of a partition.

    Parameters
    ----------
    store, dataset
        The output, and whose annotations.
    sequence_ids
        Which sequences.
    rule
        From which intensity on a target counts as present.

    Returns
    -------
    dict of dict of shape (n,), int64
        Frame indices, by sequence and target.
    """
    mine = pads.field("sequence_id").isin(pa.array(list(sequence_ids), pa.string()))
    names = ["sequence_id", "frame_index", "target"]
    table = read(store, "annotations", dataset=dataset, columns=[*names, "occurrence", "intensity"], filters=mine)
    table = table.filter(pa.array(occurs(table, rule) == 1))
    found: dict[str, dict[str, list[int]]] = {}
    for sequence_id, frame, target in zip(*(table[name].to_pylist() for name in names), strict=True):
        found.setdefault(sequence_id, {}).setdefault(target, []).append(frame)
    return {
        sequence_id: {target: np.array(frames, np.int64) for target, frames in targets.items()}
        for sequence_id, targets in found.items()
    }


def target_order(name: str) -> tuple[int, str]:
    """Action Units by number, then other targets by name."""
    return facs.au_id(name) or 1000, name


class Prototypes:
    """Rows of table `prototypes` of one sequence, by target and letter."""

    def __init__(self, reader: Reader) -> None:
        table = reader("prototypes", _PROTOTYPE_COLUMNS)
        light = table.drop_columns(["relevance"])
        rows = light.to_pylist()
        order = sorted(range(len(rows)), key=lambda i: (target_order(rows[i]["target"]), *_letter_order(rows[i])))
        self.rows: list[dict[str, Any]] = [rows[i] for i in order]
        self._table = table.take(pa.array(order, pa.int64())) if len(rows) else table

    @cached_property
    def maps(self) -> dict[Label, NDArray[np.float32]]:
        """Mean map of each cluster that has one, shape (H, W), float32, in units of relevance."""
        known = [i for i, row in enumerate(self.rows) if row["height"] and row["width"]]
        if not known:
            return {}
        values = unpack_maps(self._table.take(pa.array(known, pa.int64())))
        pairs = zip((label_of(self.rows[i]) for i in known), values, strict=True)
        return {label: value for label, value in pairs if np.isfinite(value).all()}

    @cached_property
    def crops(self) -> dict[int, bytes]:
        """JPEG of the exemplar crops by their frame, where they were stored."""
        return {
            row["exemplar_frame"]: row["exemplar_jpeg"]
            for row in self.rows
            if row["exemplar_jpeg"] is not None and row["exemplar_frame"] is not None
        }

    @cached_property
    def faces(self) -> dict[int, NDArray[np.uint8]]:
        """The same as pictures, shape (H, W, 3), uint8, RGB."""
        return {frame: np.asarray(Image.open(io.BytesIO(crop)).convert("RGB")) for frame, crop in self.crops.items()}


def label_of(row: Mapping[str, Any]) -> Label:
    """Target and letter of a cluster."""
    return row["target"], row["cluster"] or ""


def _letter_order(row: Mapping[str, Any]) -> tuple[int, str]:
    return len(row["cluster"] or ""), row["cluster"] or ""


class SequenceTables:
    """One sequence, its tables read as they are needed.

    Parameters
    ----------
    reader
        Of its rows.
    row
        Its row of table `sequences`.
    crop_size
        Pixels of the face crops, where known.
    has_episodes
        Whether episodes were looked for.
    """

    def __init__(
        self, reader: Reader, row: Mapping[str, Any], crop_size: int | None, has_episodes: bool = False
    ) -> None:
        self.reader, self.row, self.sequence_id = reader, row, str(row["sequence_id"])
        self.has_episodes = has_episodes
        self._crop_size = crop_size

    @cached_property
    def temporal_prototype(self) -> Mapping[str, Any]:
        """Its row of table `temporal_prototypes`; empty where there is none."""
        found = self.reader("temporal_prototypes", _TEXT_COLUMNS).to_pylist()
        return found[0] if found else {}

    @cached_property
    def stages(self) -> list[Mapping[str, Any]]:
        """Its rows of table `stages`, in order."""
        rows = self.reader("stages", STAGE_COLUMNS).to_pylist()
        return sorted(rows, key=lambda stage: stage["stage_index"])

    @cached_property
    def episodes(self) -> list[Mapping[str, Any]]:
        """Its rows of table `episodes`, in order."""
        rows = self.reader("episodes", EPISODE_COLUMNS).to_pylist()
        return sorted(rows, key=lambda episode: episode["episode_index"])

    @cached_property
    def frames(self) -> Frames:
        """Its frames."""
        return Frames.read(self.reader, self.row.get("fps"))

    @cached_property
    def prototypes(self) -> Prototypes:
        """Its clusters."""
        return Prototypes(self.reader)

    @cached_property
    def looks(self) -> dict[Label, int]:
        """The look of each of its clusters that has one."""
        rows = self.reader("cluster_looks", ("target", "cluster", "look")).to_pylist()
        return {label_of(row): row["look"] for row in rows if row["look"] is not None}

    def labels(self, stage: Mapping[str, Any]) -> tuple[Label, ...]:
        """`AU02_A` as target and letter; a target may hold an underscore itself and have no letter."""
        known = {label_text(*label): label for label in map(label_of, self.prototypes.rows)}
        return tuple(known.get(text, (text, "")) for text in stage["labels"] or ())

    def crop_of(self, stage: Mapping[str, Any], labels: Sequence[Label]) -> int | None:
        """Frame of the exemplar crop that shows a stage: of its own clusters' the nearest in time.

        A stage without labels is never shown with an exemplar, which would wear the expression of another stage.
        """
        own = [row["exemplar_frame"] for row in self.prototypes.rows if label_of(row) in labels]
        shown = [frame for frame in own if frame in self.prototypes.crops]
        first, last = stage["first_frame"], stage["last_frame"]
        return min(shown, key=lambda frame: (max(first - frame, frame - last, 0), frame)) if shown else None

    def points_in(self, first: int, last: int, side: float) -> NDArray[np.float64] | None:
        """Landmarks of a face between two frames on a square canvas.

        Parameters
        ----------
        first, last
            Frame indices; the first frame between them that has landmarks is taken.
        side
            Of the canvas, in its own unit.

        Returns
        -------
        shape (68, 2), float64, in units of `side`, or None
            Pixel centres of the crop are at half integers.
        """
        points = self.frames.landmarks_in(first, last)
        size = self._crop_size or next((face.shape[0] for face in self.prototypes.faces.values()), None)
        return None if points is None or not size else (points + 0.5) * side / size

    def panel(self, stage: Mapping[str, Any], side: int = FACE_PIXELS) -> StagePanel:
        """A stage as figures draw it; `side` is that of the picture where the face is drawn."""
        labels = self.labels(stage)
        crop = self.crop_of(stage, labels)
        face: NDArray[np.uint8] | None
        if crop is not None:
            face = self.prototypes.faces[crop]
        else:
            points = self.points_in(stage["first_frame"], stage["last_frame"], side)
            face = None if points is None else line_face(side, side, points - 0.5)
        return StagePanel(
            labels=labels,
            maps=tuple(self.prototypes.maps.get(label) for label in labels),
            first_frame=stage["first_frame"],
            last_frame=stage["last_frame"],
            n_frames=stage["n_frames"],
            n_missing_frames=stage["n_missing_frames"] or 0,
            face=face,
            seconds=self.frames.seconds(stage),
        )

    def decisions(self) -> Iterator[ClusterDecision]:
        """How the maps of each target were split."""
        by_target: dict[str, list[dict[str, Any]]] = {}
        for row in self.prototypes.rows:
            by_target.setdefault(row["target"], []).append(row)
        for target, rows in by_target.items():
            yield ClusterDecision(
                target=target,
                clusters=tuple(
                    ClusterMap(
                        row["cluster"] or "",
                        self.prototypes.maps.get(label_of(row)),
                        row["n_frames"] or 0,
                        self.prototypes.faces.get(row["exemplar_frame"]),
                    )
                    for row in rows
                ),
                eigenvalues=tuple(value for value in rows[0]["spectrum"] or () if value is not None),
                rule=rows[0]["rule"] or "",
                n_neighbors=rows[0]["n_neighbors"],
            )

    def timeline(self, threshold: float | None, truth: Mapping[str, NDArray[np.int64]]) -> Timeline:
        """Labels over frames, with where ground truth says that a target occurs.

        Parameters
        ----------
        threshold
            The probability from which on a target is active; None for a head that takes the largest.
        truth : of shape (n,), int64
            Frame indices in which each target occurs.
        """
        frames = self.frames
        columns = ("frame_index", "target", "probability", "active", "cluster")
        table = self.reader("detections", columns)
        names = pc.unique(table["target"]).to_pylist() if table.num_rows else []
        targets = sorted((name for name in names if name is not None), key=target_order)
        clusters: list[list[str | None]] = [[None] * len(frames.index) for _ in targets]
        probability = np.full((len(targets), len(frames.index)), np.nan)
        if targets and len(frames.index):
            row = pc.index_in(table["target"], pa.array(targets)).to_numpy()
            at = np.searchsorted(frames.index, table["frame_index"].to_numpy())
            inside = at < len(frames.index)
            inside[inside] = frames.index[at[inside]] == table["frame_index"].to_numpy()[inside]
            values = table["probability"].fill_null(np.nan).to_numpy()
            probability[row[inside], at[inside]] = values[inside]
            active = np.asarray(table["active"].fill_null(False).to_numpy(zero_copy_only=False), bool)
            chosen = np.flatnonzero(active & inside)
            letters = table["cluster"].take(pa.array(chosen)).to_pylist()
            for position, letter in zip(chosen, letters, strict=True):
                clusters[row[position]][at[position]] = letter or ""
        annotated = (
            np.stack([np.isin(frames.index, truth.get(name, ())) for name in targets]) if truth and targets else None
        )
        return Timeline(
            frames=frames.index,
            ok=frames.ok,
            targets=tuple(targets),
            clusters=tuple(map(tuple, clusters)),
            stage_starts=tuple(stage["first_frame"] for stage in self.stages),
            probability=probability if np.isfinite(probability).any() else None,
            threshold=threshold,
            fps=frames.fps,
            annotated=annotated,
        )
