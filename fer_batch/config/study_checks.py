"""What no study could do or would do in vain, refused when its job is read, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fer_batch.config.run import RunConfig
from fer_batch.explain.methods import METHODS
from fer_batch.registry import nearest
from fer_batch.types import InputError

if TYPE_CHECKING:
    from fer_batch.config.study import Study

VARIES = ("explain", "explain.method", "explain.options", "explain.targets")  # what tells cells apart
FILLED = ("source", "model", "output", "kind", "name")  # of a run
OF_TRAININGS = ("faces", "labels", "seed")  # sections of a run or of a study that belong to trainings.vary


def check_study(study: Study, where: str) -> None:
    """Refuse a study of which a part would be ignored, or that cannot be done.

    Parameters
    ----------
    study
        As it was read.
    where
        Its job file, for the error.

    Raises
    ------
    InputError
        One sentence that names the key.
    """
    _check_trainings(study, where)
    _check_base(study, where)
    _check_keys(study, where)
    jobs = list(grid_jobs(study))
    _check_runs(jobs, where)
    if len(jobs) * (len(study.config.networks) or len(study.trainings) * _folds(study)) == 1:
        raise InputError(f"{where}: the grid has one cell, which compares nothing; vary something, or use kind: run")
    check_targets(study, where)


def grid_jobs(study: Study) -> Iterator[tuple[dict[str, object], RunConfig]]:
    """What varies in each run of a network, and its job, before there is a network.

    Parameters
    ----------
    study
        As it was read.
    """
    source = study.config.runs.base.get("source", {"format": "crops", "uri": "crops"})
    filled = {"name": study.config.name, "source": source, "output": study.config.output, "model": {"checkpoint": "m"}}
    yield from study.run_jobs(filled)


def _check_trainings(study: Study, where: str) -> None:
    seen: dict[str, Mapping[str, object]] = {}
    for varied, job in study.trainings:
        key = job.model_dump_json(exclude={"resources", "name", "tensorboard"})
        _check_new(f"{where}: trainings.vary", varied, seen.setdefault(key, varied))


def _check_new(where: str, varied: Mapping[str, object], first: Mapping[str, object]) -> None:
    """Refuse a cell that is the same as the one that was first."""
    if varied is first:
        return
    key = next((name for name in varied if varied[name] != first.get(name)), "")
    if not key:
        raise InputError(f"{where}: the cell {varied!r} is listed twice")
    raise InputError(
        f"{where}: {key} changes nothing: its values {first.get(key)!r} and {varied[key]!r} are the same cell"
    )


def _check_base(study: Study, where: str) -> None:
    """Refuse sections of runs.base that the networks of trainings would not read."""
    base = study.config.runs.base
    if isinstance(base.get("explain"), list):
        raise InputError(
            f"{where}: runs.base.explain is a list; several explanations are runs.vary: {{explain: [...]}}"
        )
    if not study.trainings:
        return
    if "source" in base:
        raise InputError(f"{where}: runs.base.source is of networks that are given: the networks of trainings explain "
                         "their own test people; remove it")  # fmt: skip
    faces = base.get("faces") or {}
    for key in faces if isinstance(faces, Mapping) else ():
        if key != "store":
            raise InputError(f"{where}: runs.base.faces.{key} changes nothing: crops are the training's own; "
                             f"set it by trainings.set: {{faces.{key}: ...}}")  # fmt: skip


def _check_keys(study: Study, where: str) -> None:
    """Refuse what varies in runs and is no part of an explanation: its cells would share their rows."""
    for varied in study.config.runs.combinations():
        for key in varied:
            if key.partition(".")[0] != "explain":
                raise InputError(f"{where}: runs.vary: {key} makes no cell of its own: a cell is a network under one "
                                 f"explanation; {_instead(study, key)}")  # fmt: skip


def _instead(study: Study, key: str) -> str:
    """What to do with a key that does not vary in runs."""
    section = key.partition(".")[0]
    if study.trainings and section in OF_TRAININGS:
        return f"vary {key} in trainings.vary, or one of {', '.join(VARIES)}"
    if section in FILLED and not (section == "source" and study.config.networks):
        return f"the study fills {section} in; vary one of {', '.join(VARIES)}"
    if section in RunConfig.model_fields:
        return f"give {section} once, in runs.base, and vary one of {', '.join(VARIES)}"
    return nearest(key, VARIES)


def _check_runs(jobs: list[tuple[dict[str, object], RunConfig]], where: str) -> None:
    """Refuse explanations that there are not, and two that are one."""
    seen: dict[str, Mapping[str, object]] = {}
    for varied, job in jobs:
        explain = job.explain.model_dump(mode="json", exclude={"batch_size"})
        if job.explain.method not in METHODS:
            raise InputError(f"{where}: explain.method: unknown explanation method {job.explain.method!r}; "
                             f"{nearest(job.explain.method, METHODS)}")  # fmt: skip
        vain = METHODS[job.explain.method].resources
        explain["options"] = {name: value for name, value in explain["options"].items() if name not in vain}
        key = json.dumps(explain, sort_keys=True, default=str)
        _check_new(f"{where}: runs.vary", varied, seen.setdefault(key, varied))


def check_targets(study: Study, where: str) -> None:
    """Refuse comparisons of maps of several targets where an explanation makes one map of an image.

    Parameters
    ----------
    study
        As it was read.
    where
        Its job file, for the error.

    Raises
    ------
    InputError
        If `class_discrimination` is compared and an explanation is not of all targets.
    """
    if "class_discrimination" not in study.config.compare:
        return
    for _, job in grid_jobs(study):
        targets = job.explain.targets
        if targets != "all":
            shown = targets if isinstance(targets, str) else list(targets)
            raise InputError(f"{where}: compare: class_discrimination needs the maps of all classes of an image; "
                             f"give runs.base.explain.targets: all; {job.explain.method} has {shown!r}")  # fmt: skip


def _folds(study: Study) -> int:
    """Folds of a training as far as its job says so: 2 stands for some."""
    split = study.trainings[0][1].split
    return {"folds": split.k, "leave_one_subject_out": 2}.get(split.kind, 1)
