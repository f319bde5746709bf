"""The page of one sequence: one file that holds its pictures and needs no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from fer_batch.report.chips import Chip, chip_styles
from fer_batch.report.episodes import Episode, episodes_table
from fer_batch.report.page import DataTable, Query, RunSummary, page
from fer_batch.report.stages import Stage, stages_table
from fer_batch.report.text import percent, slug

OPEN_STAGES = 18  # more lie folded behind their episodes


@dataclass(frozen=True)
class Cluster:
    """One cluster of a target, None where undefined.

    Attributes
    ----------
    label
        `AU02_A` in its colours.
    look
        What the cluster is called over all sequences.
    mean
        PNG of the mean map.
    top, top_less
        Numbers of the pictures of its projections.
    outline
        SVG elements of a face on a canvas of 100x100, for an exemplar without a crop.
    """

    target: str
    letter: str
    label: Chip
    n_frames: int | None
    first_frame: int | None
    exemplar_frame: int | None
    n_clusters: int | None = None
    rule: str | None = None
    n_neighbors: int | None = None
    eigengap: float | None = None
    silhouette: float | None = None
    mean: bytes | None = None
    top: int | None = None
    top_less: int | None = None
    outline: str = ""
    n_clustered: int | None = None
    p_split: float | None = None
    stability: float | None = None
    look: int | None = None

    @property
    def look_text(self) -> str:
        """`AU02@1`; empty without a look."""
        return "" if self.look is None else f"{self.target}@{self.look}"

    @property
    def look_link(self) -> str:
        """Where the look is shown, from the page of a sequence."""
        return "" if self.look is None else f"../looks.html#{look_anchor(self.target, self.look)}"


@dataclass(frozen=True)
class Target:
    """How the maps of one target were split: its clusters by number, the spectrum as SVG, and why there is none.

    `p_split` is the probability that drift and noise alone make so clear a step, where that was tested.
    """

    name: str
    meaning: str
    clusters: tuple[int, ...]
    spectrum: str = ""
    note: str = ""
    p_split: float | None = None


@dataclass(frozen=True)
class SequencePage:
    """One sequence.

    Attributes
    ----------
    text
        Temporal prototype with ASCII arrows.
    n_frames, n_missing_frames
        Ok frames (0: the page says that no face was found), and frames without a usable face.
    n_stages, n_distinct_stages, reduction
        As in table `temporal_prototypes`.
    facts
        Further (name, value) pairs for the head of the page.
    timeline
        SVG.
    layers
        PNG: projections on a transparent ground, of all labels of a stage or of one cluster.
    faces
        JPEG crops by frame.
    command
        Draws the same for print.
    partial
        Why less was read than is there; empty where all was.
    episodes
        None where they were not looked for.
    overview
        SVG: the episodes over the whole recording.
    """

    sequence_id: str
    text: str
    n_frames: int
    n_stages: int
    n_missing_frames: int = 0
    n_distinct_stages: int | None = None
    reduction: float | None = None
    subject_id: str | None = None
    emotion: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    stages: tuple[Stage, ...] = ()
    timeline: str = ""
    clusters: tuple[Cluster, ...] = ()
    targets: tuple[Target, ...] = ()
    layers: tuple[bytes, ...] = ()
    faces: Mapping[int, bytes] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()
    command: str = ""
    partial: str = ""
    episodes: tuple[Episode, ...] | None = None
    overview: str = ""

    @property
    def by_steps(self) -> bool:
        """Whether the clusters begin at steps, and not where the spectrum says."""
        return any(cluster.rule == "steps" for cluster in self.clusters)


def look_anchor(target: str, look: int) -> str:
    """Id of a look on the page of looks."""
    return f"{slug(target)}-{look}"


def sequence_path(sequence_id: str) -> str:
    """Where the page of a sequence lies in the report."""
    return f"sequences/{slug(sequence_id)}.html"


def sequence_page(summary: RunSummary, sequence: SequencePage) -> bytes:
    """The page; every picture is in it once, however many stages show it."""
    episodes = sequence.episodes or ()
    stages = (*sequence.stages, *(stage for episode in episodes for stage in episode.stages))
    labels = [label for stage in stages for label in stage.labels] + [cluster.label for cluster in sequence.clusters]
    labels += [target.label for episode in episodes for target in episode.targets]
    kinds, colours = chip_styles(labels)
    shown = {cluster.exemplar_frame for cluster in sequence.clusters} | {stage.face for stage in stages}
    pictures = [
        (f"m{number}", data_uri(cluster.mean))
        for number, cluster in enumerate(sequence.clusters)
        if cluster.mean is not None
    ]
    pictures += [(f"p{number}", data_uri(content)) for number, content in enumerate(sequence.layers)]
    faces = {frame: f"f{frame}" for frame in sorted(sequence.faces) if frame in shown}
    pictures += [(place, data_uri(sequence.faces[frame])) for frame, place in faces.items()]
    exemplars: dict[int, list[Cluster]] = {}
    for cluster in sequence.clusters:
        if cluster.exemplar_frame is not None and cluster.exemplar_frame in sequence.faces:
            exemplars.setdefault(cluster.exemplar_frame, []).append(cluster)
    return page(
        "sequence.html",
        sequence_path(sequence.sequence_id),
        summary,
        more_style=colours,
        sequence=sequence,
        kinds=kinds,
        facts=_facts(sequence),
        pictures=pictures,
        faces=faces,
        exemplars=sorted(exemplars.items()),
        looks={cluster.label: cluster for cluster in sequence.clusters if cluster.look is not None},
        timeline=Markup(sequence.timeline),
        overview=Markup(sequence.overview),
        stages_open=sequence.episodes is None or sequence.n_stages <= OPEN_STAGES,
        episodes_open=sum(len(episode.stages) for episode in episodes) <= OPEN_STAGES,
        episodes_table=episodes_table(episodes),
        stages_table=stages_table(sequence.stages),
        clusters_table=_clusters_table(sequence.clusters),
    )


def data_uri(content: bytes) -> Markup:
    """A PNG or JPEG as a link that holds it."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")


def _facts(sequence: SequencePage) -> list[tuple[str, str]]:
    different = "" if sequence.n_distinct_stages is None else f", {sequence.n_distinct_stages} different"
    facts = [
        ("Emotion", sequence.emotion),
        ("Subject", sequence.subject_id),
        ("Frames with a face", str(sequence.n_frames)),
        ("Frames without a usable face", str(sequence.n_missing_frames) if sequence.n_missing_frames else None),
        ("Episodes", None if sequence.episodes is None else str(len(sequence.episodes))),
        ("Stages", f"{sequence.n_stages}" + different),
        (
            "Reduction in description length",
            None if sequence.reduction is None else f"{percent(sequence.reduction)} (1 − stages / frames)",
        ),
    ]
    return [(name, value) for name, value in facts if value is not None] + list(sequence.facts)


def _clusters_table(clusters: Sequence[Cluster]) -> DataTable | None:
    if not clusters:
        return None
    columns = (
        "Target", "Cluster", "Look", "Frames", "First frame", "Exemplar frame", "Clusters", "Frames clustered", "Rule",
        "k", "Eigengap", "Silhouette", "p of the split", "Stability",
    )  # fmt: skip
    rows = tuple(
        (
            c.target, c.letter, c.look_text or None, c.n_frames, c.first_frame, c.exemplar_frame, c.n_clusters,
            c.n_clustered, c.rule, c.n_neighbors, c.eigengap, c.silhouette, c.p_split, c.stability,
        )
        for c in clusters
    )  # fmt: skip
    caption = (
        "Frames clustered: of the target; of a long sequence a sample, which the others then join. k: neighbours in "
        "the graph; eigengap: distance to the next eigenvalue; silhouette: −1 mixed to 1 well apart. p of the split: "
        "probability that drift and noise alone make a step as clear as the clearest one of the target; stability: "
        "share of a cluster that is found again when frames are left out."
    )
    return DataTable("Clusters", columns, rows, caption)
