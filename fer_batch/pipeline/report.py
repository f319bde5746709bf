"""Phase 3: from the published tables to pictures and pages under `report/`, one sequence at a time."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.pipeline.latest_run import card_of, crop_size_of, latest_run, summary_of, threshold_of
from fer_batch.pipeline.shard_rows import WHOLE_TABLE_ROWS, Reader, partitions, published_shards
from fer_batch.pipeline.verdict import has_verdict, verdict_page
from fer_batch.report.page import (
    MAX_PROBLEMS,
    NO_FACE,
    ClusterRow,
    DataTable,
    IndexContents,
    Picture,
    Problem,
    PrototypeCount,
    Query,
    Report,
    RunSummary,
    SequenceStory,
    StageRow,
    Still,
    StillGroup,
    contents_page,
)
from fer_batch.report.verdict import FILE as VERDICT
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.types import InputError
from fer_batch.visualize.clusters import (
    ClusterDecision,
    ClusterMap,
    CommonPrototype,
    cluster_figure,
    has_spectrum,
    prototype_gallery,
)
from fer_batch.visualize.colours import Label, Palette, label_text
from fer_batch.visualize.figure import png, save
from fer_batch.visualize.stages import StagePanel, panel_image, stage_strip, thumbnail_strip
from fer_batch.visualize.standard_face import line_face
from fer_batch.visualize.timeline import Timeline, timeline

FOLDER = "report"
MAX_PAGES = 500  # sequences with pictures; a second of work and about 0.5 MB each
STILLS_PER_CLASS = 24
COMMONEST = 50  # rows of the prototype table
GALLERY_ROWS, GALLERIES = 3, 9
FACE_PIXELS = 224


def write_report(
    store: Store,
    dataset: str | None = None,
    model: str | None = None,
    explain: str | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    card: Mapping[str, Any] | None = None,
    max_pages: int = MAX_PAGES,
) -> str:
    """Draw the report of every matching partition.

    Parameters
    ----------
    store
        The output, with published tables.
    dataset, model, explain
        Partition values; None takes all.
    progress
        Told how many more sequences are done.
    card
        The model card; by default the one beside the checkpoint that the latest run names.
    max_pages
        Sequences per partition that get pictures; the others have their row in the index.

    Returns
    -------
    str
        Where the index page is: the partition's own, or the list of reports where there are several.

    Raises
    ------
    InputError
        If no published table matches.
    """
    chosen = [
        partition
        for partition in partitions(store)
        if dataset in (None, partition.dataset)
        and model in (None, partition.model)
        and explain in (None, partition.explain)
    ]
    if not chosen:
        asked = ", ".join(
            f"{k}={v}" for k, v in (("dataset", dataset), ("model", model), ("explain", explain)) if v is not None
        )
        raise InputError(f"{store.uri!r} has no published tables{' of ' + asked if asked else ''}: nothing to report")
    for partition in chosen:
        folder = _folder(partition)
        written = set()
        for path, content in _files(store, partition, progress or (lambda _: None), card, max_pages):
            store.put(f"{folder}/{path}", content)
            written.add(path)
        for entry in list(store.walk(folder)):
            # Pages of sequences that are gone must not stay reachable from old bookmarks: they may show faces.
            if entry.path not in written:
                store.delete(f"{folder}/{entry.path}")
    reports = [
        (p.dataset, p.model, p.explain, quote(f"{p.dataset}/{p.model}/{p.explain}/index.html"))
        for p in partitions(store)
        if store.exists(f"{_folder(p)}/index.html")
    ]
    store.put(f"{FOLDER}/index.html", contents_page(reports))
    return store.url(f"{_folder(chosen[0])}/index.html" if len(chosen) == 1 else f"{FOLDER}/index.html")


def _folder(partition: Partition) -> str:
    return f"{FOLDER}/{partition.dataset}/{partition.model}/{partition.explain}"


def _files(
    store: Store,
    partition: Partition,
    progress: Callable[[int], None],
    card: Mapping[str, Any] | None,
    max_pages: int,
) -> Iterator[tuple[str, bytes]]:
    run = latest_run(store, partition)
    known = dict(card) if card is not None else card_of(run)
    crop_size = crop_size_of(run, known)
    collected = _Collected(partition, _overview(store, partition), _Annotations(store, partition), crop_size)
    palette = Palette(known.get("targets") or _targets(store, partition))
    threshold = threshold_of(run, known)
    further, pages = _navigation(store, partition)
    summary = replace(summary_of(partition, run, known), pages=pages)
    report = Report(summary)
    for page in further:
        yield from page.files(store, partition, summary)
    n_pages = 0
    for shard in published_shards(store, partition):
        for row in shard.sequences:
            if row["status"] != "done":
                collected.problem(row)
            elif row["kind"] == "still":
                _still(shard.of(row["sequence_id"]), row, palette, collected)
            else:
                full = n_pages < max_pages
                n_pages += full
                story = _story(shard.of(row["sequence_id"]), row, palette, threshold, collected, full)
                yield from report.sequence(story)
            progress(1)
    yield from report.index(collected.contents(store, partition, palette))


@dataclass(frozen=True)
class FurtherPage:
    """A page beside those of sequences and patterns.

    Attributes
    ----------
    file, name
        Its path in the report, and what the navigation calls it.
    exists
        Whether a partition has what it shows.
    files
        (path, content) of the page, made with `fer_batch.report.page.page`, and of its pictures.
    """

    file: str
    name: str
    exists: Callable[[Store, Partition], bool]
    files: Callable[[Store, Partition, RunSummary], Iterable[tuple[str, bytes]]]


FURTHER_PAGES: tuple[FurtherPage, ...] = (FurtherPage(VERDICT, "Verdict", has_verdict, verdict_page),)


def _navigation(store: Store, partition: Partition) -> tuple[list[FurtherPage], tuple[tuple[str, str], ...]]:
    further = [page for page in FURTHER_PAGES if page.exists(store, partition)]
    return further, (("index.html", "Sequences"), *((page.file, page.name) for page in further))


def write_page(store: Store, partition: Partition, file: str) -> str | None:
    """Draw one further page again, for figures that changed after the report was drawn.

    Returns
    -------
    str or None
        Where it is; None where the partition has nothing to show on it.
    """
    further, pages = _navigation(store, partition)
    folder, run = _folder(partition), latest_run(store, partition)
    if not store.exists(f"{folder}/index.html"):
        pages = ()  # a page by itself has nothing to link to
    summary = replace(summary_of(partition, run, card_of(run)), pages=pages)
    for page in further:
        if page.file == file:
            for path, content in page.files(store, partition, summary):
                store.put(f"{folder}/{path}", content)
            return store.url(f"{folder}/{file}")
    return None


@dataclass
class _Overview:
    """Counts over all stories of a partition, known before the first picture."""

    texts: Counter[str] = field(default_factory=Counter)
    emotions: dict[str, Counter[str]] = field(default_factory=dict)  # of each text
    by_group: dict[str, Counter[str]] = field(default_factory=dict)  # texts of each emotion


def _overview(store: Store, partition: Partition) -> _Overview:
    overview = _Overview()
    rows = _read(store, "temporal_prototypes", partition, ["text", "emotion", "n_frames"])
    # A sequence without a face has a row and no story.
    rows = rows.filter(pc.greater(rows["n_frames"], 0))
    for text, emotion in zip(rows["text"].to_pylist(), rows["emotion"].to_pylist(), strict=True):
        overview.texts[text] += 1
        if emotion is not None:
            overview.emotions.setdefault(text, Counter())[emotion] += 1
            overview.by_group.setdefault(emotion, Counter())[text] += 1
    return overview


class _Annotations:
    """Ground truth of the dataset; its files are not cut like those of a partition, so it is read once."""

    def __init__(self, store: Store, partition: Partition) -> None:
        # Occurrence, or an intensity where only that is given (methods: 0 is absent).
        occurs = pads.field("occurrence") | (pads.field("occurrence").is_null() & (pads.field("intensity") > 0))
        table = read(
            store,
            "annotations",
            dataset=partition.dataset,
            columns=["sequence_id", "frame_index", "target"],
            filters=occurs,
        )
        self._rows = table if table.num_rows <= WHOLE_TABLE_ROWS else table.slice(0, 0)

    def of(self, sequence_id: str) -> dict[str, NDArray[np.int64]]:
        """Frames in which each target occurs."""
        rows = self._rows.filter(pc.equal(self._rows["sequence_id"], sequence_id))
        frames, names = rows["frame_index"].to_numpy(), np.asarray(rows["target"].to_pylist(), dtype=object)
        return {name: frames[names == name] for name in dict.fromkeys(names)}


class _Collected:
    """What the index needs of the sequences that have passed."""

    def __init__(
        self, partition: Partition, overview: _Overview, annotations: _Annotations, crop_size: int | None
    ) -> None:
        self.partition, self.overview, self.annotations, self.crop_size = partition, overview, annotations, crop_size
        groups = [("All sequences", overview.texts)]
        groups += [(name, overview.by_group[name]) for name in sorted(overview.by_group)][: GALLERIES - 1]
        self.groups = groups
        self.wanted = {
            (name, text): n for name, texts in groups for text, n in _commonest(texts, GALLERY_ROWS) if len(texts)
        }
        self.examples: dict[tuple[str, str], CommonPrototype] = {}
        self.problems: dict[str, list[Problem]] = {}
        self.n_problems = 0
        self.classes: Counter[str] = Counter()
        self.stills: dict[str, list[Still]] = {}
        self.faceless: list[Still] = []
        self.n_faceless = 0

    def problem(self, row: Mapping[str, Any]) -> None:
        """A failed or skipped input; of each kind no more are kept than a page can show."""
        self.n_problems += 1
        same = self.problems.setdefault(row["status"], [])
        if len(same) < MAX_PROBLEMS:
            same.append(Problem(row["sequence_id"], row["status"], row["reason"]))

    def example(self, text: str, emotion: str | None, panels: tuple[StagePanel, ...]) -> None:
        """The first sequence with a wanted story stands for it."""
        for group in ("All sequences", emotion):
            key = (group or "", text)
            if key in self.wanted and key not in self.examples:
                self.examples[key] = CommonPrototype(self.wanted[key], panels)

    def contents(self, store: Store, partition: Partition, palette: Palette) -> IndexContents:
        """Everything of the index beside the sequences."""
        texts = self.overview.texts
        return IndexContents(
            prototypes=tuple(
                PrototypeCount(text, n, tuple(_commonest(self.overview.emotions.get(text, Counter()), None)))
                for text, n in _commonest(texts, COMMONEST)
            ),
            n_distinct_prototypes=len(texts),
            n_stories=sum(texts.values()),
            galleries=tuple(self._galleries(palette)),
            stills=tuple(
                StillGroup(name, n, tuple(self.stills.get(name, ()))) for name, n in _commonest(self.classes, None)
            )
            + ((StillGroup(NO_FACE, self.n_faceless, tuple(self.faceless)),) if self.n_faceless else ()),
            problems=tuple(problem for status in sorted(self.problems) for problem in self.problems[status]),
            n_problems=self.n_problems,
            tables=tuple(_evaluation(store, partition)),
        )

    def _galleries(self, palette: Palette) -> Iterator[tuple[str, Picture]]:
        for name, texts in self.groups:
            keys = [(name, text) for text, _ in _commonest(texts, GALLERY_ROWS)]
            items = [self.examples[key] for key in keys if key in self.examples]
            total = sum(texts.values())
            # One sequence by itself is on its own page already.
            if not items or total < 2:
                continue
            alt = f"The {len(items)} commonest temporal prototypes of {name}: " + "; ".join(
                f"{item.n_sequences} sequences with {len(item.panels)} stages" for item in items
            )
            yield name, Picture(save(prototype_gallery(items, total, palette)), alt)


_PROJECTION = (
    "Colour: the fewest pixels that hold 25 percent of the positive relevance of each target (Top-25 projection of its "
    "cluster’s mean map)."
)


@dataclass(frozen=True)
class _Prototypes:
    """Rows of table `prototypes` of one sequence."""

    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, reader: Reader) -> _Prototypes:
        columns = (
            "target", "cluster", "n_frames", "first_frame", "exemplar_frame", "exemplar_jpeg", "height", "width",
            "scale", "relevance", "n_clusters", "spectrum", "rule", "n_neighbors", "eigengap", "silhouette",
        )  # fmt: skip
        rows = reader("prototypes", columns).to_pylist()
        return cls(sorted(rows, key=lambda row: (row["target"], len(row["cluster"] or ""), row["cluster"] or "")))

    @cached_property
    def maps(self) -> dict[Label, NDArray[np.float32]]:
        """Mean map of each cluster that has one."""
        return {_label(row): found for row in self.rows if (found := _map(row)) is not None}

    @cached_property
    def faces(self) -> dict[int, NDArray[np.uint8]]:
        """Exemplar crops by their frame, where they were stored."""
        found = {}
        for row in self.rows:
            if row["exemplar_jpeg"] is not None and row["exemplar_frame"] not in found:
                found[row["exemplar_frame"]] = np.asarray(Image.open(io.BytesIO(row["exemplar_jpeg"])).convert("RGB"))
        return found


def _label(row: Mapping[str, Any]) -> Label:
    return row["target"], row["cluster"] or ""


def _map(row: Mapping[str, Any]) -> NDArray[np.float32] | None:
    if row["relevance"] is None or row["height"] is None or row["width"] is None:
        return None
    values = np.asarray(row["relevance"], np.float32).reshape(row["height"], row["width"])
    return values * np.float32(1.0 if row["scale"] is None else row["scale"])


def _story(
    reader: Reader,
    row: Mapping[str, Any],
    palette: Palette,
    threshold: float | None,
    collected: _Collected,
    full: bool,
) -> SequenceStory:
    """One sequence with its figures, or with its row of the index alone where `full` is False."""
    sequence_id = row["sequence_id"]
    found = reader(
        "temporal_prototypes",
        ("text", "emotion", "subject_id", "n_frames", "n_stages", "n_distinct_stages", "reduction", "n_missing_frames"),
    ).to_pylist()
    told = found[0] if found else {}
    plain: dict[str, Any] = {
        "sequence_id": sequence_id,
        "text": told.get("text") or "",
        "n_frames": told.get("n_frames") or 0,
        "n_stages": told.get("n_stages") or 0,
        "n_missing_frames": told.get("n_missing_frames") or 0,
        "n_distinct_stages": told.get("n_distinct_stages"),
        "reduction": told.get("reduction"),
        "subject_id": row["subject_id"],
        "emotion": row["emotion"],
    }
    if not full:
        return SequenceStory(**plain)
    frames = _Frames.read(reader, row["fps"])
    prototypes = _Prototypes.read(reader)
    columns = ("stage_index", "first_frame", "last_frame", "n_frames", "n_missing_frames", "labels", "text")
    stages = sorted(reader("stages", columns).to_pylist(), key=lambda stage: stage["stage_index"])
    panels = tuple(_panel(stage, frames, prototypes, collected.crop_size) for stage in stages)
    if plain["n_frames"]:
        collected.example(plain["text"], plain["emotion"], panels)
    unexplained = any(panel.unexplained for panel in panels)
    data = _timeline(reader, frames, stages, threshold, collected.annotations.of(sequence_id))
    facts = [("Kind", row["kind"].replace("_", " "))]
    if frames.fps:
        facts.append(("Frame rate", f"{frames.fps:.4g} Hz"))
    if row["n_decoded"] is not None:
        facts.append(("Frames decoded", str(row["n_decoded"])))
    return SequenceStory(
        **plain,
        facts=tuple(facts),
        thumbnail=Picture(png(thumbnail_strip(panels, palette, side=72, limit=5)), "", "") if panels else None,
        strip=Picture(
            save(stage_strip(panels, palette)),
            f"{len(panels)} stages: " + "; ".join(stage["text"] for stage in stages),
            f"One panel per stage, read like text. {_PROJECTION} A pale face: no target is active. Below each panel "
            "its frames, first to last, and how long it lasts."
            + (" A label without a letter: active, not explained, so there is no map of it." if unexplained else ""),
        )
        if panels
        else None,
        timeline=Picture(
            save(timeline(data, palette)),
            f"Timeline of {len(data.frames)} frames with one row for each target that is ever active",
            "One row for each target that is ever active or annotated, one colour and letter for each cluster of its "
            "maps. Dashed lines are the bounds of stages. Below, the probability of each target in each frame.",
        ),
        spectra=tuple(_spectra(prototypes, palette)),
        stages=tuple(
            StageRow(
                stage["text"],
                stage["first_frame"],
                stage["last_frame"],
                stage["n_frames"],
                stage["n_missing_frames"] or 0,
                frames.seconds(stage),
            )
            for stage in stages
        ),
        clusters=tuple(
            ClusterRow(**{name: row[name] for name in ClusterRow.__dataclass_fields__}) for row in prototypes.rows
        ),
        queries=_queries(sequence_id, collected.partition),
    )


@dataclass(frozen=True)
class _Frames:
    """Rows of table `frames` of one sequence, in order."""

    index: NDArray[np.int64]
    ok: NDArray[np.bool_]
    landmarks: pa.ChunkedArray
    fps: float | None

    @classmethod
    def read(cls, reader: Reader, fps: float | None) -> _Frames:
        table = reader("frames", ("frame_index", "status", "timestamp_ns", "landmarks"))
        if not table.num_rows:
            return cls(np.zeros(0, np.int64), np.zeros(0, bool), table["landmarks"], fps)
        table = table.sort_by("frame_index")
        # Several faces of a picture are several sequences, so a frame index occurs once.
        return cls(
            table["frame_index"].to_numpy().astype(np.int64),
            np.asarray(pc.equal(table["status"], "ok").to_numpy(zero_copy_only=False), bool),
            table["landmarks"],
            fps if fps and np.isfinite(fps) else None,
        )

    @cached_property
    def step(self) -> float:
        """Frames of the source from one sampled frame to the next."""
        return float(np.median(np.diff(self.index))) if len(self.index) > 1 else 1.0

    def seconds(self, stage: Mapping[str, Any]) -> float | None:
        """Duration of a stage, its last sampled frame included."""
        if not self.fps:
            return None
        return (stage["last_frame"] - stage["first_frame"] + self.step) / self.fps

    def landmarks_in(self, first: int, last: int) -> NDArray[np.float64] | None:
        """Points of the first frame from `first` to `last` that has them."""
        for position in np.flatnonzero((self.index >= first) & (self.index <= last) & self.ok):
            value = self.landmarks[int(position)].as_py()
            if value is not None and len(value) == 136 and None not in value:
                return np.asarray(value, np.float64).reshape(68, 2)
        return None


def _panel(stage: Mapping[str, Any], frames: _Frames, prototypes: _Prototypes, crop_size: int | None) -> StagePanel:
    labels = tuple(_split(text, prototypes) for text in stage["labels"] or ())
    return StagePanel(
        labels=labels,
        maps=tuple(prototypes.maps.get(label) for label in labels),
        first_frame=stage["first_frame"],
        last_frame=stage["last_frame"],
        n_frames=stage["n_frames"],
        n_missing_frames=stage["n_missing_frames"] or 0,
        face=_face(stage, labels, frames, prototypes, crop_size),
        seconds=frames.seconds(stage),
    )


def _split(text: str, prototypes: _Prototypes) -> Label:
    """`AU02_A` into target and letter; a target may hold an underscore itself and have no letter."""
    known = {label_text(*_label(row)): _label(row) for row in prototypes.rows}
    return known.get(text, (text, ""))


def _face(
    stage: Mapping[str, Any],
    labels: Sequence[Label],
    frames: _Frames,
    prototypes: _Prototypes,
    crop_size: int | None,
) -> NDArray[np.uint8] | None:
    """The exemplar crop nearest to the stage, else a drawing of a face of the stage.

    A stage without labels is never shown with an exemplar, which would wear the expression of another stage.
    """
    own = [row["exemplar_frame"] for row in prototypes.rows if _label(row) in labels]
    shown = [frame for frame in own if frame in prototypes.faces]
    if shown:
        first, last = stage["first_frame"], stage["last_frame"]
        return prototypes.faces[min(shown, key=lambda frame: (max(first - frame, frame - last, 0), frame))]
    points = frames.landmarks_in(stage["first_frame"], stage["last_frame"])
    size = next((face.shape[0] for face in prototypes.faces.values()), crop_size)
    if points is None or not size:
        return None
    # Pixel centres at integers on both grids.
    return line_face(FACE_PIXELS, FACE_PIXELS, (points + 0.5) * FACE_PIXELS / size - 0.5)


def _timeline(
    reader: Reader,
    frames: _Frames,
    stages: Sequence[Mapping[str, Any]],
    threshold: float | None,
    truth: Mapping[str, NDArray[np.int64]],
) -> Timeline:
    table = reader("detections", ("frame_index", "target", "probability", "active", "cluster"))
    targets = sorted(set(table["target"].to_pylist()), key=lambda name: (facs.au_id(name) or 1000, name))
    clusters: list[list[str | None]] = [[None] * len(frames.index) for _ in targets]
    probability = np.full((len(targets), len(frames.index)), np.nan)
    if table.num_rows and len(frames.index):
        row = pc.index_in(table["target"], pa.array(targets)).to_numpy()
        at = np.searchsorted(frames.index, table["frame_index"].to_numpy())
        inside = at < len(frames.index)
        inside[inside] = frames.index[at[inside]] == table["frame_index"].to_numpy()[inside]
        values = table["probability"].fill_null(np.nan).to_numpy()
        probability[row[inside], at[inside]] = values[inside]
        active = np.asarray(table["active"].fill_null(False).to_numpy(zero_copy_only=False), bool)
        letters = table["cluster"].to_pylist()
        for position in np.flatnonzero(active & inside):
            clusters[row[position]][at[position]] = letters[position] or ""
    return Timeline(
        frames=frames.index,
        ok=frames.ok,
        targets=tuple(targets),
        clusters=tuple(map(tuple, clusters)),
        stage_starts=tuple(stage["first_frame"] for stage in stages),
        probability=probability if np.isfinite(probability).any() else None,
        threshold=threshold,
        fps=frames.fps,
        annotated=np.stack([np.isin(frames.index, truth.get(name, ())) for name in targets])
        if truth and targets
        else None,
    )


def _spectra(prototypes: _Prototypes, palette: Palette) -> Iterator[Picture]:
    by_target: dict[str, list[dict[str, Any]]] = {}
    for row in prototypes.rows:
        by_target.setdefault(row["target"], []).append(row)
    for target in sorted(by_target, key=lambda name: (facs.au_id(name) or 1000, name)):
        rows = by_target[target]
        decision = ClusterDecision(
            target=target,
            clusters=tuple(
                ClusterMap(
                    row["cluster"] or "",
                    prototypes.maps.get(_label(row)),
                    row["n_frames"] or 0,
                    prototypes.faces.get(row["exemplar_frame"]),
                )
                for row in rows
            ),
            eigenvalues=tuple(value for value in rows[0]["spectrum"] or () if value is not None),
            rule=rows[0]["rule"] or "",
            n_neighbors=rows[0]["n_neighbors"],
        )
        name = facs.AU_NAMES.get(facs.au_id(target) or 0)
        meaning = f" ({name})" if name else ""
        noun = "cluster" if len(rows) == 1 else "clusters"
        spectrum = "eigenvalues and " if has_spectrum(decision) else ""
        yield Picture(
            save(cluster_figure(decision, palette)),
            f"{target}: {spectrum}the mean relevance maps of {len(rows)} {noun}",
            f"{target}{meaning}",
        )


def _queries(sequence_id: str, partition: Partition) -> tuple[Query, ...]:
    columns = {
        "sequence_id": sequence_id,
        "dataset": partition.dataset,
        "model": partition.model,
        "explain": partition.explain,
    }
    # One output may hold the same sequence under several models and explanations.
    here = "\n  AND ".join(f"{name} = {_literal(value)}" for name, value in columns.items())
    return (
        Query(
            "Stages",
            "SELECT stage_index, first_frame, last_frame, n_frames, n_missing_frames, text\n"
            f"FROM stages\nWHERE {here}\nORDER BY stage_index",
        ),
        Query(
            "What is active when",
            "SELECT frame_index, target, cluster, probability, mu\n"
            f"FROM detections\nWHERE {here}\n  AND active\nORDER BY frame_index, target",
        ),
        Query(
            "Cluster maps",
            "SELECT target, cluster, n_frames, exemplar_frame, height, width, scale, relevance\n"
            f"FROM prototypes\nWHERE {here}\nORDER BY target, cluster",
        ),
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _still(reader: Reader, row: Mapping[str, Any], palette: Palette, collected: _Collected) -> None:
    """Count a still under each of its active targets, and keep its picture where there is room."""
    frames = _Frames.read(reader, None)
    if not frames.ok.any():
        collected.n_faceless += 1
        if len(collected.faceless) < STILLS_PER_CLASS:
            collected.faceless.append(Still(row["sequence_id"], None, row["emotion"]))
        return
    found = reader("detections", ("target", "probability", "active")).to_pylist()
    active = [one for one in found if one["active"]]
    names = [one["target"] for one in active] or ["NONE"]
    collected.classes.update(names)
    roomy = [name for name in names if len(collected.stills.get(name, ())) < STILLS_PER_CLASS]
    if not roomy:
        return
    prototypes = _Prototypes.read(reader)
    stage = {"first_frame": 0, "last_frame": 0}
    probability = {one["target"]: one["probability"] for one in active}
    for name in roomy:
        labels = tuple(_label(one) for one in prototypes.rows if one["target"] == name)
        every = tuple(_label(one) for one in prototypes.rows)
        panel = StagePanel(
            labels=labels or ((name, ""),) if name != "NONE" else (),
            maps=tuple(prototypes.maps.get(label) for label in labels) or ((None,) if name != "NONE" else ()),
            first_frame=0,
            last_frame=0,
            n_frames=1,
            face=_face(stage, every, frames, prototypes, collected.crop_size),
        )
        p = probability.get(name)
        picture = Picture(
            png(panel_image(panel, palette, FACE_PIXELS)),
            f"Top-25 projection for {name} over the face of {row['sequence_id']}",
        )
        known = ("" if p is None else f"probability {p:.2f}", "active, not explained" if panel.unexplained else "")
        detail = ", ".join(filter(None, known))
        collected.stills.setdefault(name, []).append(Still(row["sequence_id"], picture, row["emotion"], detail))


def _evaluation(store: Store, partition: Partition) -> Iterator[DataTable]:
    """Figures over the whole dataset, one table, targets down and metrics across."""
    columns = ["target", "metric", "value", "n", "baseline", "group", "layer", "split", "fold"]
    rows = _read(store, "evaluation", partition, columns).to_pylist()
    plain = [
        row
        for row in rows
        if all(row[name] is None for name in ("group", "layer", "split", "fold")) and row["metric"] is not None
    ]
    if not plain:
        return
    shown = sorted(plain, key=lambda row: (row["metric"], facs.au_id(row["target"] or "") or 1000, row["target"] or ""))
    yield DataTable(
        "Evaluation",
        ("Metric", "Target", "Value", "Chance level", "n"),
        tuple((row["metric"], row["target"], row["value"], row["baseline"], row["n"]) for row in shown[:500]),
        "Figures by group, layer or fold are in table evaluation. n counts the frames that are defined.",
    )


def _read(store: Store, table: str, partition: Partition, columns: list[str]) -> pa.Table:
    return read(
        store, table, dataset=partition.dataset, model=partition.model, explain=partition.explain, columns=columns
    )


def _targets(store: Store, partition: Partition) -> Iterable[str]:
    rows = _read(store, "prototypes", partition, ["target"])
    return [name for name in pc.unique(rows["target"]).to_pylist() if name is not None]


def _commonest(counts: Counter[str], limit: int | None) -> list[tuple[str, int]]:
    """Most frequent first, equals by name, so that two reports of the same tables are the same."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
