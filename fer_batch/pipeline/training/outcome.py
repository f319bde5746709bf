"""How a training ended, and what is said of it before and after."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from fer_batch.config import TrainConfig
from fer_batch.media.settings import FaceSettings
from fer_batch.pipeline.progress import counted, say
from fer_batch.pipeline.training.folds import Parts, left_out
from fer_batch.pipeline.training.listing import Source
from fer_batch.pipeline.training.marker import FoldJob, FoldMarker
from fer_batch.pipeline.training.shards import Crops
from fer_batch.training.splits import Fold


@dataclass
class TrainOutcome:
    """How a training ended.

    Attributes
    ----------
    counts
        Inputs by status: `found = done + partial + failed + skipped`.
    failures
        `(sequence_id, reason)` of failed inputs.
    folds
        Markers of the folds, in order.
    jobs
        The same folds with their files, crops and job (`results.fold_results`).
    parts
        Which parts the figures are of and the epoch was chosen by.
    targets
        Of the outputs.
    n_done_before
        Folds that an earlier run had finished.
    model
        `<name>-<id>`, the value of the `model` partition.
    checkpoint
        The network of the best fold.
    table
        F1 in the layout of Rieger et al. 2020, Table 1, with notes.
    frames
        Of the sources by status; empty where crops of an earlier version are used.
    use
        The command that runs the network on a folder, with faces cut as in training.
    """

    counts: dict[str, int]
    failures: list[tuple[str, str]]
    targets: tuple[str, ...]
    model: str
    folds: list[FoldMarker] = field(default_factory=list)
    n_done_before: int = 0
    checkpoint: str = ""
    figure: str = ""
    table: str = ""
    frames: dict[str, int] = field(default_factory=dict)
    use: str = ""
    parts: Parts | None = None
    jobs: tuple[FoldJob, ...] = ()

    @property
    def crops(self) -> Crops:
        """The crops that the training read; it must be done."""
        return self.jobs[0].crops

    @property
    def folder(self) -> str:
        """Where the training keeps samples and folds, below its output; it must be done."""
        return self.jobs[0].folder

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where inputs failed or were read in part."""
        return 3 if self.counts["failed"] or self.counts["partial"] else 0

    def as_json(self) -> Mapping[str, object]:
        """For a script."""
        plain = ("counts", "frames", "targets", "model", "n_done_before", "checkpoint", "figure")
        folds = [{k: v for k, v in fold.items() if k not in ("history", "subjects")} for fold in self.folds]
        parts = asdict(self.parts) if self.parts else {}
        return {**{name: getattr(self, name) for name in plain}, **parts, "folds": folds, "failures": self.failures}


def announce(config: TrainConfig, samples: pa.Table, folds: Sequence[Fold], outcome: TrainOutcome) -> None:
    """Say what will be trained, and on what.

    Parameters
    ----------
    config
        The job.
    samples
        The labelled crops: columns `dataset` and `subject_id`.
    folds
        Of the job.
    outcome
        What is known before the training.
    """
    datasets = dict(zip(*np.unique(samples["dataset"].to_pylist(), return_counts=True), strict=True))
    people = len(set(samples["subject_id"].to_pylist()))
    earlier = f", {outcome.n_done_before} done earlier" if outcome.n_done_before else ""
    say(
        f"{config.name}: {samples.num_rows} crops of {people} subjects "
        f"({', '.join(f'{name} {n}' for name, n in datasets.items())}), {len(outcome.targets)} targets; "
        f"recipe {config.recipe_name}, {len(folds)} fold{'s'[: len(folds) > 1]} ({config.split.kind}){earlier}"
    )
    if unusable := {status: n for status, n in outcome.frames.items() if status != "ok"}:
        shown = ", ".join(f"{status} {n}" for status, n in unusable.items())
        say(f"{sum(unusable.values())} of {sum(outcome.frames.values())} frames show no usable face ({shown})")
    if sentence := left_out(config, folds, samples.num_rows):
        say(sentence)
    if config.recipe.selection == "best_test":
        say("selection best_test: epochs are chosen by the test part, so its figures are better than new data would be")


def outcome_text(outcome: TrainOutcome, output: str) -> str:
    """What a training ended with, and where to look."""
    counts, out = outcome.counts, shlex.quote(output)
    lines = [
        counted(counts),
        *(f"  failed {name}: {reason}" for name, reason in outcome.failures[:20]),
        "",
        outcome.table,
        "",
        f"network {outcome.checkpoint}",
        f"picture {outcome.figure}",
        f'query   fer-batch query {out} "SELECT * FROM training"',
        f"use it  {outcome.use}",
    ]
    return "\n".join(lines)


def use_line(config: TrainConfig, sources: Sequence[Source], checkpoint: str) -> str:
    """The command that runs a network on a folder of what it was trained on, with faces cut as they were then.

    Parameters
    ----------
    config
        The job of the training.
    sources
        As they were listed.
    checkpoint
        URI of the network.
    """
    kinds = {ref.kind for source in sources for ref in source.refs}
    usual, faces = FaceSettings(), config.faces
    changed = [name for name in ("align", "margin", "choose") if getattr(faces, name) != getattr(usual, name)]
    changed += ["size"] if faces.size not in (None, config.network.preprocessing.size) else []
    # whether landmarks come with the data is a matter of the data
    changed += ["detector"] if faces.detector not in (usual.detector, "dataset") else []
    settings = [
        f"model.checkpoint={shlex.quote(checkpoint)}",
        *(["source.format=image_sequences"] if kinds == {"image_sequence"} else []),
        *(f"faces.{name}={getattr(faces, name)}" for name in changed),
        "source.uri=DIR",
    ]
    job = "stills" if kinds == {"still"} else "clips"
    return f"fer-batch run jobs/{job}.yaml {' '.join(f'--set {setting}' for setting in settings)} --output OUT"
