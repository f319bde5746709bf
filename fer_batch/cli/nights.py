"""Commands for an output that is added to night after night."""

from __future__ import annotations

import json

import click

from fer_batch.cli.group import Command, cli
from fer_batch.types import InputError

DRIFTED = 4  # exit code of --fail-on-drift


@cli.command(cls=Command)
@click.argument("out")
@click.option(
    "--reference",
    default="10",
    show_default=True,
    help="First nights, or dates in UTC: 2026-01-01..2026-01-14, both in it.",
)
@click.option("--fail-on-drift", is_flag=True, help=f"Exit code {DRIFTED} where the latest night has an alarm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def nightly(context: click.Context, out: str, reference: str, fail_on_drift: bool, as_json: bool) -> None:
    """What changed from night to night: figures beyond control limits, new looks, failures; page and table drift.

    A night is a run with inputs. Each figure (mu over chance, F1, confidence, frames active, looks, faces, failures)
    is compared with the nights of the reference. Where mu falls while F1, or confidence, holds, the network looks
    elsewhere while it stays sure: that comes first. The exit code is 0 whatever is found, unless --fail-on-drift.
    """
    from fer_batch.output.query import connect
    from fer_batch.pipeline.partition.drift import drift_of, publish_drift
    from fer_batch.pipeline.partition.drift_text import drift_json, drift_text
    from fer_batch.pipeline.report.navigation import NIGHTS, matching
    from fer_batch.pipeline.report.write import write_page
    from fer_batch.storage.store import Store

    store = Store(out)
    connection, shown, any_alarm = connect(store), [], False
    for partition in matching(store, None, None, None):
        if partition.explain == "none":  # of a training
            continue
        found = drift_of(store, partition, reference, connection)
        if found.nights and not found.reference.any():
            name = "/".join(partition.key.values())
            raise InputError(f"no night of {name} started in the reference window {reference} (dates are UTC)")
        page = None
        if found.nights:
            publish_drift(store, found)
            page = write_page(store, partition, NIGHTS)
        shown.append(drift_json(found, page) if as_json else drift_text(found, out, page))
        any_alarm |= bool(found.latest)
    if not shown:
        raise InputError(f"{out!r} holds a training, which has no nights")
    click.echo(json.dumps(shown) if as_json else "\n".join(map(str, shown)))
    context.exit(DRIFTED if fail_on_drift and any_alarm else 0)


@cli.command(cls=Command)
@click.argument("out")
@click.option("--yes", is_flag=True, help="Take them out; without it, only say which they are.")
@click.option("--dry-run", is_flag=True, help="Only say which they are: what is done without --yes.")
@click.option("--source", metavar="URI", help="Where the source is now, if not where the latest run found it.")
@click.option(
    "--at-most", default=0.2, show_default=True, type=click.FloatRange(0, 1), help="Share of the inputs that may go."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prune(out: str, yes: bool, dry_run: bool, source: str | None, at_most: float, as_json: bool) -> None:
    """Take inputs out of an output that are gone from its source: rows of every table, annotations, pages, markers.

    Gone is what the job of the latest run would not find any more. Refused where the source is empty or not there,
    where more than --at-most of the inputs are gone, and while a run goes on in OUT. Killed, the same command goes on.
    """
    from fer_batch.pipeline import prune as pruning
    from fer_batch.storage.store import Store

    if yes and dry_run:
        raise click.UsageError("--yes takes inputs out, and --dry-run does not; give one of them")
    store = Store(out)
    gone, begun = pruning.find_gone(store, source), pruning.is_begun(store)
    if yes:
        pruning.prune(store, gone, at_most)
    if as_json:
        rows = [
            {**one.partition.key, "source": one.source, "inputs": one.n_inputs, "gone": one.inputs, "files": one.there}
            for one in gone
        ]
        click.echo(json.dumps({"pruned": yes, "begun": begun, "partitions": rows}))
        return
    click.echo(pruning.gone_text(gone, yes, out, begun))
