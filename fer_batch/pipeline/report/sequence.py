"""The pages of the sequences of one shard, and the figures of one sequence for print."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.facs import OccurrenceRule
from fer_batch.pipeline.report.data import SequenceTables, label_of
from fer_batch.pipeline.report.episodes import episodes_of, steady_timeline
from fer_batch.pipeline.report.queries import queries
from fer_batch.report import sequence as pages
from fer_batch.report.chips import Chip
from fer_batch.report.page import RunSummary
from fer_batch.report.text import slug
from fer_batch.storage.parquet import Partition
from fer_batch.visualize.clusters import cluster_figure, has_spectrum, projection_figure, without_spectrum
from fer_batch.visualize.colours import Label, Palette, label_text
from fer_batch.visualize.figure import save
from fer_batch.visualize.hatches import TILES, texture
from fer_batch.visualize.heatmap import projection_on
from fer_batch.visualize.raster import SIDE, map_png, projection_png
from fer_batch.visualize.stages import stage_strips, thumbnail_strip
from fer_batch.visualize.standard_face import line_face_svg
from fer_batch.visualize.tags import tags
from fer_batch.visualize.timeline import timeline
from fer_batch.visualize.vector_spectrum import spectrum_svg
from fer_batch.visualize.vector_timeline import timeline_svg

THUMBNAIL_SIDE, THUMBNAIL_STAGES = 48, 5
MAX_CROP_BYTES = 40_000
TAG_EM = 0.08  # of the side of a panel, as `style.css` has it


@dataclass(frozen=True)
class PageOptions:
    """What the pages of sequences need beside their tables.

    Attributes
    ----------
    folder
        Of the report, in the output.
    summary
        The same for every run of this partition, so that an unchanged sequence has an unchanged page.
    targets
        That share the colours.
    threshold
        The probability from which on a target is active; None for a head that takes the largest.
    crop_size
        Pixels of the face crops, where known.
    rule
        When annotations count as present.
    """

    partition: Partition
    folder: str
    summary: RunSummary
    targets: tuple[str, ...]
    threshold: float | None
    crop_size: int | None
    rule: OccurrenceRule


def thumbnail_path(sequence_id: str) -> str:
    """Where the small strip of a sequence lies in the report."""
    return f"thumbnails/{slug(sequence_id)}.jpg"


def sequence_files(
    sequence: SequenceTables, palette: Palette, options: PageOptions, truth: Mapping[str, NDArray[np.int64]]
) -> Iterator[tuple[str, bytes]]:
    """The page of a sequence, and its thumbnail where it has stages.

    Parameters
    ----------
    sequence
        Its tables.
    palette
        Colours of the targets.
    options
        What is the same for all sequences of the partition.
    truth : of shape (n,), int64
        Frame indices in which each target occurs.
    """
    yield (
        pages.sequence_path(sequence.sequence_id),
        pages.sequence_page(options.summary, _page(sequence, palette, options, truth)),
    )
    first = sequence.stages[: THUMBNAIL_STAGES + 1]
    if first:
        panels = [sequence.panel(stage, THUMBNAIL_SIDE) for stage in first]
        strip = thumbnail_strip(panels, palette, side=THUMBNAIL_SIDE, limit=THUMBNAIL_STAGES)
        yield thumbnail_path(sequence.sequence_id), _jpeg(strip)


def _page(
    sequence: SequenceTables, palette: Palette, options: PageOptions, truth: Mapping[str, NDArray[np.int64]]
) -> pages.SequencePage:
    text, row, prototypes, frames = sequence.temporal_prototype, sequence.row, sequence.prototypes, sequence.frames
    numbers = {label_of(cluster): number for number, cluster in enumerate(prototypes.rows)}
    layers = _Layers(prototypes.maps, palette)
    stages = tuple(_stage(sequence, stage, palette, layers) for stage in sequence.stages)
    episodes = episodes_of(
        sequence,
        lambda stage: _stage(sequence, stage, palette, layers),
        lambda target: replace(chip((target, "A"), palette), text=target),
    )
    clusters = tuple(_cluster(sequence, cluster, palette, layers) for cluster in prototypes.rows)
    data = sequence.timeline(options.threshold, truth)
    facts = [("Kind", row["kind"].replace("_", " "))]
    if frames.fps:
        facts.append(("Frame rate", f"{frames.fps:.4g} Hz"))
    if row["n_decoded"] is not None:
        facts.append(("Frames decoded", str(row["n_decoded"])))
    words = f"Timeline of {len(data.frames)} frames with one row for each target that is ever active"
    return pages.SequencePage(
        sequence_id=sequence.sequence_id,
        text=text.get("text") or "",
        n_frames=text.get("n_frames") or 0,
        n_stages=text.get("n_stages") or 0,
        n_missing_frames=text.get("n_missing_frames") or 0,
        n_distinct_stages=text.get("n_distinct_stages"),
        reduction=text.get("reduction"),
        subject_id=row["subject_id"],
        emotion=row["emotion"],
        facts=tuple(facts),
        stages=stages,
        timeline=timeline_svg(data, palette, words),
        clusters=clusters,
        targets=tuple(_targets(sequence, numbers)),
        layers=tuple(layers.pictures),
        faces={frame: _small(crop) for frame, crop in prototypes.crops.items()},
        queries=queries(sequence.sequence_id, options.partition),
        command=f"fer-batch report OUT --figures {shlex.quote(sequence.sequence_id)}",
        partial=(row["reason"] or "") if row["status"] == "partial" else "",
        episodes=episodes,
        overview=_overview(sequence, palette) if episodes else "",
    )


def _overview(sequence: SequenceTables, palette: Palette) -> str:
    n = len(sequence.episodes)
    words = f"The recording with its {n} {'episode' if n == 1 else 'episodes'}, one row for each target of them"
    return timeline_svg(steady_timeline(sequence), palette, words)


class _Layers:
    """Projections of sets of labels, each drawn once however many stages show it."""

    def __init__(self, maps: Mapping[Label, NDArray[np.float32]], palette: Palette) -> None:
        self.maps, self.palette = maps, palette
        self.pictures: list[bytes] = []
        self._numbers: dict[tuple[tuple[Label, ...], float], int] = {}
        self._shown: dict[tuple[Label, float], NDArray[np.float64]] = {}

    def number(self, labels: Sequence[Label], share: float | None = None) -> int | None:
        """Number of the picture; None where no label has a map. `share` is that of the report where not given."""
        share = self.palette.maps.top_x if share is None else share
        key = (tuple(label for label in labels if label in self.maps), share)
        if not key[0]:
            return None
        if key not in self._numbers:
            self._numbers[key] = len(self.pictures)
            colours = ((label, texture(self.palette.style(*label), SIDE, SIDE)) for label in key[0])
            self.pictures.append(projection_png([(self._projection(label, share), one) for label, one in colours]))
        return self._numbers[key]

    def tags(self, labels: Sequence[Label]) -> tuple[tuple[float, float, str], ...]:
        """Short names on the projections of several labels."""
        known = [label for label in labels if label in self.maps]
        if len(known) < 2:
            return ()
        found = tags(known, [self._projection(label, self.palette.maps.top_x) for label in known], TAG_EM)
        return tuple((100 * x, 100 * y, text) for x, y, text in found)

    def _projection(self, label: Label, share: float) -> NDArray[np.float64]:
        if (label, share) not in self._shown:
            self._shown[label, share] = projection_on(self.maps[label], SIDE, SIDE, share, "all")
        return self._shown[label, share]


def _stage(sequence: SequenceTables, stage: Mapping[str, Any], palette: Palette, layers: _Layers) -> pages.Stage:
    labels = sequence.labels(stage)
    crop = sequence.crop_of(stage, labels)
    maps = sequence.prototypes.maps
    return pages.Stage(
        text=stage["text"],
        first_frame=stage["first_frame"],
        last_frame=stage["last_frame"],
        n_frames=stage["n_frames"],
        labels=tuple(chip(label, palette) for label in labels),
        n_missing_frames=stage["n_missing_frames"] or 0,
        seconds=sequence.frames.seconds(stage),
        face=crop,
        outline="" if crop is not None else _outline(sequence, stage["first_frame"], stage["last_frame"]),
        layer=layers.number(labels),
        tags=layers.tags(labels),
        unexplained=bool(labels) and all(not label[1] and label not in maps for label in labels),
    )


def _outline(sequence: SequenceTables, first: int, last: int) -> str:
    return line_face_svg(sequence.points_in(first, last, 100.0))


def chip(label: Label, palette: Palette) -> Chip:
    """A label as pages show it."""
    style = palette.style(*label)
    return Chip(label_text(*label), style.fill, style.edge, style.ink, TILES.get(style.hatch, ""))


def _cluster(sequence: SequenceTables, row: Mapping[str, Any], palette: Palette, layers: _Layers) -> pages.Cluster:
    label = label_of(row)
    mean = sequence.prototypes.maps.get(label)
    exemplar = row["exemplar_frame"]
    drawn = exemplar is not None and exemplar not in sequence.prototypes.crops
    return pages.Cluster(
        target=row["target"],
        letter=row["cluster"] or "",
        label=chip(label, palette),
        look=sequence.looks.get(label),
        n_frames=row["n_frames"],
        first_frame=row["first_frame"],
        exemplar_frame=exemplar,
        n_clusters=row["n_clusters"],
        n_clustered=row["n_clustered"],
        rule=row["rule"],
        n_neighbors=row["n_neighbors"],
        eigengap=row["eigengap"],
        silhouette=row["silhouette"],
        p_split=row["p_split"],
        stability=row["stability"],
        mean=None if mean is None else map_png(mean, palette.maps),
        top=layers.number((label,)),
        top_less=layers.number((label,), palette.maps.shares[1]),
        outline=_outline(sequence, exemplar, exemplar) if drawn else line_face_svg() if exemplar is None else "",
    )


def _targets(sequence: SequenceTables, numbers: Mapping[Label, int]) -> Iterator[pages.Target]:
    p_split = {row["target"]: row["p_split"] for row in sequence.prototypes.rows}
    for decision in sequence.decisions():
        k = len(decision.clusters)
        words = f"The smallest eigenvalues of {decision.target}: {k} {'cluster' if k == 1 else 'clusters'}"
        yield pages.Target(
            name=decision.target,
            meaning=facs.AU_NAMES.get(facs.au_id(decision.target) or 0, ""),
            clusters=tuple(numbers[(decision.target, cluster.letter)] for cluster in decision.clusters),
            spectrum=spectrum_svg(decision, words) if has_spectrum(decision) else "",
            note=without_spectrum(decision),
            p_split=p_split.get(decision.target),
        )


def _small(crop: bytes) -> bytes:
    """A crop as it is stored, or smaller where it is large: a page holds several."""
    if len(crop) <= MAX_CROP_BYTES:
        return crop
    image = Image.open(io.BytesIO(crop)).convert("RGB")
    image.thumbnail((224, 224), Image.Resampling.LANCZOS)
    return _jpeg(np.asarray(image))


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def figures(
    sequence: SequenceTables, palette: Palette, options: PageOptions, truth: Mapping[str, NDArray[np.int64]]
) -> Iterator[tuple[str, bytes]]:
    """(name, PNG) of a sequence's figures for print: strip, timeline, and per target its clusters and projections.

    Parameters
    ----------
    sequence
        Its tables.
    palette
        Colours of the targets.
    options
        What is the same for all sequences of the partition.
    truth : of shape (n,), int64
        Frame indices in which each target occurs.
    """
    panels = [sequence.panel(stage) for stage in sequence.stages]
    strips = stage_strips(panels, palette) if panels else []
    for number, strip in enumerate(strips, 1):
        yield "stages.png" if len(strips) == 1 else f"stages-{number:02d}.png", save(strip)
    yield "timeline.png", save(timeline(sequence.timeline(options.threshold, truth), palette))
    for decision in sequence.decisions():
        yield f"clusters-{slug(decision.target)}.png", save(cluster_figure(decision, palette))
        for cluster in decision.clusters:
            if cluster.relevance is not None:
                name = f"projections-{slug(label_text(decision.target, cluster.letter))}.png"
                style = palette.style(decision.target, cluster.letter)
                yield name, save(projection_figure(cluster.relevance, cluster.face, style=style, maps=palette.maps))
