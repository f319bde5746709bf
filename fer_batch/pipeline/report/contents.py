"""What the index shows beside the rows of sequences: stills, colours, problems, figures of evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fer_batch.output.reader import ShardReader
from fer_batch.pipeline.partition.evaluation_classes import confusion_table
from fer_batch.pipeline.report.data import SequenceTables, label_of, target_order
from fer_batch.pipeline.report.index import COMMONEST, LETTERED, Overview, commonest, recent
from fer_batch.report.index import NO_FACE, IndexContents, Still, StillGroup
from fer_batch.report.page import DataTable, Picture
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.types import STATUSES
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.figure import png
from fer_batch.visualize.stages import StagePanel, panel_image

STILL_PIXELS = 224


def index_contents(
    store: Store, partition: Partition, palette: Palette, crop_size: int | None, overview: Overview
) -> IndexContents:
    """Everything of the index beside the rows of sequences."""
    colours = {}
    for label in sorted(overview.labels):
        match = LETTERED.fullmatch(label)
        style = palette.style(match[1], match[2]) if match else palette.style(label, "")
        colours[label] = (style.fill, style.edge, style.ink)
    shards = recent(store, partition)
    groups = [
        StillGroup(
            name,
            n,
            tuple(_still(shards(file), row, name, palette, crop_size) for file, row in overview.stills.get(name, ())),
        )
        for name, n in commonest(overview.classes, None)
    ]
    if overview.n_faceless:
        shown = tuple(Still(row["sequence_id"], None, row["emotion"]) for row in overview.faceless)
        groups.append(StillGroup(NO_FACE, overview.n_faceless, shown))
    return IndexContents(
        prototypes=tuple((text, n) for text, n in commonest(overview.texts, COMMONEST) if n > 1),
        colours=colours,
        stills=tuple(groups),
        problems=tuple(problem for status in STATUSES for problem in overview.problems.get(status, ())),
        n_problems=overview.n_problems,
        tables=tuple(_evaluation(store, partition)),
    )


def _still(shard: ShardReader, row: Mapping[str, Any], name: str, palette: Palette, crop_size: int | None) -> Still:
    reader = shard.of(row["sequence_id"])
    sequence = SequenceTables(reader, row, crop_size)
    found = reader("detections", ("target", "probability", "active")).to_pylist()
    probability = {one["target"]: one["probability"] for one in found if one["active"]}
    labels = tuple(label_of(one) for one in sequence.prototypes.rows if one["target"] == name)
    labels = labels or (((name, ""),) if name != "NONE" else ())
    every = [label_of(one) for one in sequence.prototypes.rows]
    plain = {"first_frame": 0, "last_frame": 0, "n_frames": 1, "n_missing_frames": 0, "labels": ()}
    crop = sequence.crop_of(plain, every)
    panel = StagePanel(
        labels=labels,
        maps=tuple(sequence.prototypes.maps.get(label) for label in labels),
        first_frame=0,
        last_frame=0,
        n_frames=1,
        face=sequence.prototypes.faces[crop] if crop is not None else sequence.panel(plain, STILL_PIXELS).face,
    )
    p = probability.get(name)
    picture = Picture(
        png(panel_image(panel, palette, STILL_PIXELS)),
        f"Top-{palette.maps.top_x:g} projection for {name} over the face of {row['sequence_id']}",
    )
    known = ("" if p is None else f"probability {p:.2f}", "active, not explained" if panel.unexplained else "")
    return Still(row["sequence_id"], picture, row["emotion"], ", ".join(filter(None, known)))


def _evaluation(store: Store, partition: Partition) -> Iterator[DataTable]:
    """Figures over the whole dataset, one table, targets down and metrics across."""
    columns = ["target", "metric", "value", "n", "baseline", "group", "layer", "split", "fold"]
    rows = read(store, "evaluation", **partition.key, columns=columns).to_pylist()
    plain = [
        row
        for row in rows
        if all(row[name] is None for name in ("group", "layer", "split", "fold"))
        and row["metric"] is not None
        and not row["metric"].startswith("heatmap_")  # they have a page
    ]
    if not plain:
        return
    shown = sorted(plain, key=lambda row: (row["metric"], *target_order(row["target"] or "")))
    yield DataTable(
        "Evaluation",
        ("Metric", "Target", "Value", "Chance level", "n"),
        tuple((row["metric"], row["target"], row["value"], row["baseline"], row["n"]) for row in shown[:500]),
        "Figures by group, layer or fold are in table evaluation. n counts the frames that are defined.",
    )
    confusion = confusion_table((row for row in rows if row["fold"] is None), "Confusion of classes")
    if confusion:
        yield DataTable(confusion.title, confusion.columns, confusion.rows, f"{confusion.caption}.")
