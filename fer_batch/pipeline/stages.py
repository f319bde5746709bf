"""The analyses over a partition, in order: another one is a module with a function of `StageWork`, and an entry here.

Nothing here imports PyTorch, Ray or Dask, so that a run with nothing to do answers in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fer_batch.config import RunConfig
from fer_batch.pipeline.analysis.key import analysis_key
from fer_batch.pipeline.partition.stage import Options, PartitionStage, PublishedStages, StageWork
from fer_batch.pipeline.progress import progress
from fer_batch.pipeline.report import DRAWING
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store


def _heatmaps(work: StageWork) -> None:
    from fer_batch.pipeline.partition.heatmaps import publish_heatmaps

    publish_heatmaps(work)


def _class_prototypes(work: StageWork) -> None:
    from fer_batch.pipeline.partition.class_prototypes import publish_class_prototypes

    publish_class_prototypes(work)


def _looks(work: StageWork) -> None:
    from fer_batch.pipeline.partition.looks import publish_looks

    publish_looks(work)


def _episodes(work: StageWork) -> None:
    from fer_batch.pipeline.partition.episodes import publish_episodes

    publish_episodes(work)


def _patterns(work: StageWork) -> None:
    from fer_batch.pipeline.partition.patterns import PatternSearch, publish_patterns

    stages = work.config.temporal_prototypes
    search = PatternSearch(stages.max_pattern, stages.relation)
    publish_patterns(work.store, work.partition, work.metadata, search)


def _evaluation(work: StageWork) -> None:
    from fer_batch.pipeline.partition.evaluation import evaluate_partition

    evaluate_partition(work.store, work.partition)


def _report(work: StageWork) -> None:
    where = work.partition
    with progress("report", work.n_inputs, "input") as advance:
        draw_report(
            work.store,
            where.dataset,
            where.model,
            where.explain,
            advance,
            compute=work.compute,
            maps=work.config.report,
        )


def _no_options(_: RunConfig) -> Options:
    return {}


def _class_options(config: RunConfig) -> Options:
    return {"analysis_id": analysis_key(config)}


def _looks_options(config: RunConfig) -> Options:
    return config.looks.model_dump(mode="json")


def _episode_options(config: RunConfig) -> Options:
    return {"rule": digest(asdict(config.episodes)), "threshold": config.model.threshold}


def _pattern_options(config: RunConfig) -> Options:
    return {"max_length": config.temporal_prototypes.max_pattern, "relation": config.temporal_prototypes.relation}


def _evaluation_options(config: RunConfig) -> Options:
    return asdict(config.labels)


def _report_options(config: RunConfig) -> Options:
    return asdict(config.report)


_LOOKS = ("looks", "cluster_looks", "look_prototypes")
_REPORTED = ("heatmaps", "class_prototypes", "looks", "episodes", "patterns", "evaluation")
STAGES: tuple[PartitionStage, ...] = (
    PartitionStage("heatmaps", ("heatmaps",), 2, _no_options, _heatmaps, "prototypes"),
    PartitionStage("class_prototypes", ("class_prototypes",), 1, _class_options, _class_prototypes, "prototypes"),
    PartitionStage("looks", _LOOKS, 1, _looks_options, _looks, "prototypes"),
    PartitionStage("episodes", ("episodes",), 1, _episode_options, _episodes, "prototypes", reads=("looks",)),
    PartitionStage(
        "patterns", ("patterns",), 4, _pattern_options, _patterns, "prototypes", reads=("looks", "episodes")
    ),
    PartitionStage("evaluation", ("evaluation",), 3, _evaluation_options, _evaluation, "report", reads=("heatmaps",)),
    PartitionStage(  # a new version has the pages of unchanged sequences drawn again too
        "report", (), DRAWING, _report_options, _report, "report", reads=_REPORTED
    ),
)


def stage_named(name: str) -> PartitionStage:
    """An entry of `STAGES`."""
    return next(stage for stage in STAGES if stage.name == name)


def refresh_patterns(store: Store, partition: Partition) -> None:
    """Publish table `patterns` where it is not current, with the options that it was published with last.

    A report is drawn from any output, and one of an earlier version has no such table.
    """
    from fer_batch.pipeline.partition.patterns import looked_for, publish_patterns

    published, stage, search = PublishedStages(store, partition), stage_named("patterns"), looked_for(store, partition)
    if not published.is_current(stage, asdict(search)):
        publish_patterns(store, partition, search=search)
        published.mark(stage, asdict(search))


def draw_report(
    store: Store,
    dataset: str | None = None,
    model: str | None = None,
    explain: str | None = None,
    progress: Callable[[int], None] | None = None,
    **how: Any,
) -> str:
    """Draw the report of every matching partition, from tables that are current: `report.write.write_report`.

    Parameters
    ----------
    store
        The output, with published tables.
    dataset, model, explain
        Partition values; None takes all.
    progress
        Told how many more inputs are done.
    how
        As `write_report` takes it.

    Returns
    -------
    str
        Where the index page is.

    Raises
    ------
    InputError
        If no published table matches.
    """
    from fer_batch.pipeline.report.navigation import matching
    from fer_batch.pipeline.report.write import write_report

    for partition in matching(store, dataset, model, explain):
        refresh_patterns(store, partition)
    return write_report(store, dataset, model, explain, progress, **how)
