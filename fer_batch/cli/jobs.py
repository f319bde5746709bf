"""Commands that do a job or undo a part of one."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fer_batch.cli.group import Command, cli, with_red
from fer_batch.registry import SAFE
from fer_batch.types import InputError

if TYPE_CHECKING:
    from fer_batch.config import RunConfig
    from fer_batch.pipeline.run import Outcome

LISTED = 20  # failed inputs that are printed
SAFE_HELP = f"Run no code that the job names (factories, detectors); as {SAFE}=1."


@cli.command(cls=Command)
@click.option("--output", default="demo", show_default=True, help="Folder for the clips and the results.")
@click.option("--clips", default=24, show_default=True, type=click.IntRange(1), help="Posed clips, each of a person.")
@click.option("--seed", default=0, show_default=True, help="Seed of faces and expressions.")
def demo(output: str, clips: int, seed: int) -> None:
    """Make a small collection of posed face clips and run the main job on it."""
    from fer_batch.pipeline.demo import run_demo

    sys.exit(run_demo(output, clips, seed))


@cli.command(cls=Command)
@click.argument("job")
@click.option("--output", help="Folder or URL of the results; overrides the job's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a dotted key of the job.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it would take.")
@click.option("--safe", is_flag=True, help=SAFE_HELP)
@click.option("--log-json", is_flag=True, help="Print progress as JSON lines on stderr, one for each unit.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def run(
    job: str,
    output: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    safe: bool,
    log_json: bool,
    as_json: bool,
) -> None:
    """Run a job: explain what is new, find the temporal prototypes, write tables and report.

    A job of kind study trains and explains every cell of its grid, and compares them.
    """
    from fer_batch.config import read_jobs
    from fer_batch.config.reading import kind_of
    from fer_batch.pipeline import progress
    from fer_batch.pipeline.run import run_all

    _forbid_own_code(safe)
    progress.log_json(log_json)
    if kind_of(job) == "study":
        from fer_batch.cli.studies import run_study_job

        sys.exit(run_study_job(job, overrides, output, dry_run, as_json))
    config, *_ = configs = read_jobs(job, overrides, output)
    outcome = run_all(configs, dry_run=dry_run)
    if as_json:
        named = {"failures": outcome.failures, "partials": outcome.partials}
        lists = {key: [{"sequence_id": i, "reason": reason} for i, reason in pairs] for key, pairs in named.items()}
        several = {"reports": outcome.reports} if len(configs) > 1 else {}
        estimate = {"estimate": asdict(outcome.estimate)} if outcome.estimate else {}
        click.echo(json.dumps({**outcome.counts(), **lists, "report": outcome.report, **several, **estimate}))
    elif not dry_run:
        click.echo(with_red(summary(outcome, config.output, _first_query(config))))
    sys.exit(outcome.exit_code)


def _forbid_own_code(safe: bool) -> None:
    """Let nothing that the job names by an import path be run; workers of this process inherit it."""
    if safe:
        os.environ[SAFE] = "1"


def _first_query(config: RunConfig) -> str:
    """Name of the ready-made query to begin with: a still has no temporal prototype."""
    from fer_batch.output.query import connect
    from fer_batch.storage.store import Store

    if config.source.format in ("videos", "image_sequences", "images"):
        return "active" if config.source.format == "images" else "temporal_prototypes"
    try:  # a manifest may name videos and stills, and datasets have either
        found = connect(Store(config.output)).execute(
            "SELECT count(*) FROM sequences WHERE dataset = ? AND kind <> 'still'", [config.name]
        )
    except InputError:
        return "active"
    return "temporal_prototypes" if found.fetchall()[0][0] else "active"


def summary(outcome: Outcome, output: str, query: str = "temporal_prototypes") -> str:
    """What a run ended with, and where to look.

    Parameters
    ----------
    outcome
        Of the run.
    output
        Folder or URL of the results.
    query
        Name of the ready-made query to begin with.
    """
    from fer_batch.pipeline.progress import counted

    out = shlex.quote(output)
    lines = [counted(outcome.counts())]
    for status, named in (("failed", outcome.failures), ("partial", outcome.partials)):
        lines += [f"  {status} {name}: {reason}" for name, reason in named[:LISTED]]
        if len(named) > LISTED:
            lines.append(f"  ... and {len(named) - LISTED} more: fer-batch query {out} failed")
    lines += [f"report  {page}" for page in outcome.reports]
    lines.append(f"query   fer-batch query {out} {query}")
    return "\n".join(lines)


@cli.command(cls=Command)
@click.argument("job")
@click.option("--output", help="Folder or URL of the results; overrides the job's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a dotted key of the job.")
@click.option("--safe", is_flag=True, help=SAFE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def train(job: str, output: str | None, overrides: tuple[str, ...], safe: bool, as_json: bool) -> None:
    """Train a network fold by fold, by subject, and say how good it is on those it never saw."""
    from fer_batch.config import read_train_job
    from fer_batch.pipeline.training.outcome import outcome_text
    from fer_batch.pipeline.training.train import train as train_job

    _forbid_own_code(safe)
    config = read_train_job(job, overrides, output)
    outcome = train_job(config)
    click.echo(json.dumps(outcome.as_json()) if as_json else outcome_text(outcome, config.output))
    sys.exit(outcome.exit_code)


@cli.command(cls=Command)
@click.argument("out")
def retry(out: str) -> None:
    """Forget the failed and partial inputs of an output, so that the next run tries them again."""
    from fer_batch.output.retry import forget_failed
    from fer_batch.storage.store import Store

    n_units = forget_failed(Store(out))
    click.echo(f"{n_units} units with failed or partial inputs will be tried again by the next run of their job")
