"""`fer-batch run` of a job of kind study."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from fer_batch.cli.group import with_red

if TYPE_CHECKING:
    from fer_batch.config import Study
    from fer_batch.pipeline.study.run import StudyOutcome


def run_study_job(job: str, overrides: tuple[str, ...], output: str | None, dry_run: bool, as_json: bool) -> int:
    """Do a study, or say what it would do; its exit code.

    Parameters
    ----------
    job
        Path of its file.
    overrides, output
        Of the command line.
    dry_run
        Whether nothing is done.
    as_json
        Whether a script reads what is printed.
    """
    from fer_batch.config import read_study

    study = read_study(job, overrides, output)
    if dry_run:
        from fer_batch.pipeline.study.forecast import forecast

        click.echo(forecast(study))
        return 0
    from fer_batch.pipeline.study.run import run_study

    outcome = run_study(study)
    click.echo(json.dumps(_as_json(outcome)) if as_json else with_red(study_summary(study, outcome)))
    return outcome.exit_code


def _as_json(outcome: StudyOutcome) -> dict[str, object]:
    failures = [{"cell": cell.title, "reason": cell.reason} for cell in outcome.cells if cell.status == "failed"]
    failures += [{"part": one.title, "reason": one.reason} for one in outcome.lost]
    return {**outcome.counts, "already_done": outcome.n_done_before, "failures": failures, "page": outcome.page}


def study_summary(study: Study, outcome: StudyOutcome) -> str:
    """What a study ended with, and where to look."""
    counts, out = outcome.counts, shlex.quote(study.config.output)
    lines = [f"{counts['found']} cells: {counts['done']} done, {counts['failed']} failed"]
    lines += [f"  failed {one.title}: {one.reason}" for one in outcome.lost]
    lines += [f"  failed {cell.title}: {cell.reason}" for cell in outcome.cells if cell.status == "failed"]
    lines += [f"page    {outcome.page}", f'query   fer-batch query {out} "SELECT * FROM study_cells"']
    return "\n".join(lines)
