"""The commands. Exit code 0: all done; 1: an error in what was asked, in one line; 3: finished with failed inputs."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from fer_batch import __version__
from fer_batch.types import STATUSES, EnvironmentFault, InputError

EXAMPLES = {
    "demo": "fer-batch demo --output demo",
    "run": "fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out",
    "status": "fer-batch status out",
    "query": 'fer-batch query out "SELECT sequence_id, text FROM temporal_prototypes LIMIT 5"',
    "compare": 'fer-batch compare out S005/001 S010/002 "(NONE) -> (AU12_A)"',
    "report": "fer-batch report out",
    "evaluate": "fer-batch evaluate demo/out",
    "heatmaps": "fer-batch heatmaps --evaluate maps --masks masks --pretrained VGG16 --pretrained ResNet50",
    "train": "fer-batch train jobs/train_posed.yaml --output trained",
    "inspect": "fer-batch inspect my_videos",
    "export": "fer-batch export out --to openface-csv out_openface",
    "retry": "fer-batch retry out && fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out",
    "schemas": "fer-batch schemas --engine spark",
}

LEAVE = ("exit", "quit", "\\q")
RESUMABLE = ("run", "demo", "train")


class Command(click.Command):
    """A command whose help ends with an example."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it would be typed."""
        with formatter.section("Example"):
            # One line, however long: a wrapped command cannot be copied.
            formatter.write(f"{'':{formatter.current_indent}}{EXAMPLES[self.name or '']}\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fer-batch")
def cli() -> None:
    """Explain facial-expression and Action-Unit networks over whole collections of face media.

    Start with `fer-batch demo`, then `fer-batch run jobs/clips.yaml --set source.uri=DIR --output OUT`.
    """


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
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def run(job: str, output: str | None, overrides: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Run a job: explain what is new, find the temporal prototypes, write tables and report."""
    from fer_batch.config import read_job
    from fer_batch.pipeline.run import run as run_job

    config = read_job(job, overrides, output)
    outcome = run_job(config, dry_run=dry_run)
    if as_json:
        named = {"failures": outcome.failures, "partials": outcome.partials}
        lists = {key: [{"sequence_id": i, "reason": reason} for i, reason in pairs] for key, pairs in named.items()}
        click.echo(json.dumps({**outcome.counts(), **lists, "report": outcome.report}))
    elif not dry_run:
        click.echo(_with_red(summary(outcome, config.output, _telling_query(config))))
    sys.exit(outcome.exit_code)


def _telling_query(config: Any) -> str:
    """Name of the ready-made query that tells most: a still has no story."""
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


def summary(outcome: Any, output: str, telling: str = "temporal_prototypes") -> str:
    """What a run ended with, and where to look."""
    from fer_batch.pipeline.progress import counted

    out = shlex.quote(output)
    lines = [counted(outcome.counts())]
    for status, named in (("failed", outcome.failures), ("partial", outcome.partials)):
        lines += [f"  {status} {name}: {reason}" for name, reason in named[:20]]
        if len(named) > 20:
            lines.append(f"  ... and {len(named) - 20} more: fer-batch query {out} failed")
    if outcome.report:
        lines.append(f"report  {outcome.report}")
    lines.append(f"query   fer-batch query {out} {telling}")
    return "\n".join(lines)


def _with_red(text: str) -> str:
    """The same with inputs that lack something in red, which `click.echo` leaves out where it writes to no terminal."""
    named = tuple(f"{indent}{status} " for indent in ("  ", "    ") for status in ("failed", "partial"))
    return "\n".join(click.style(line, fg="red") if line.startswith(named) else line for line in text.splitlines())


@cli.command(cls=Command)
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(out: str, as_json: bool) -> None:
    """What an output holds, what failed and why, and what is still to come."""
    from fer_batch.output.status import status as read_status
    from fer_batch.output.status import status_text
    from fer_batch.storage.store import Store

    found = read_status(Store(out))
    click.echo(json.dumps(found, indent=1) if as_json else _with_red(status_text(found)))


@cli.command(cls=Command)
@click.argument("out")
@click.argument("sql", required=False)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def query(out: str, sql: str | None, form: str) -> None:
    """Ask an output in SQL (DuckDB): every table is a view. Without SQL, a prompt.

    SQL may also be the name of a query: temporal_prototypes, localisation, patterns, active, clusters, classes, failed,
    frames, runs.
    """
    from fer_batch.output.query import QUERIES, connect
    from fer_batch.output.query_prompt import print_answer, typed_statements, view_names
    from fer_batch.storage.store import Store

    connection = connect(Store(out))
    if sql is not None:
        print_answer(connection, sql, form)
        return
    names = ", ".join(f"{name} ({query.about})" for name, query in QUERIES.items())
    tables = ", ".join(view_names(connection))
    about = f"Tables: {tables}\nQueries: {names}\nEnd a statement with ';', leave with ^D or exit."
    if sys.stdin.isatty():
        import readline  # noqa: F401  (gives input() history and editing)

        click.echo(about)
    any_failed = False
    for text in typed_statements(LEAVE):
        if text in LEAVE:
            break
        if text == "help":
            click.echo(about)
            continue
        try:
            print_answer(connection, text, form)
        except InputError as error:
            any_failed = True
            click.echo(f"error: {error}", err=True)
    if any_failed and not sys.stdin.isatty():
        sys.exit(1)


@cli.command(cls=Command)
@click.argument("out")
@click.argument("prototypes", metavar="SEQUENCE...", nargs=-1, required=True)
@click.option("--letters/--no-letters", default=True, show_default=True, help="Compare letters of clusters too.")
@click.option("--relation", default="equal", show_default=True, help="Of common stages: equal, or subset.")
@click.option("--none-loose", is_flag=True, help="NONE is part of every stage, not of NONE alone.")
@click.option("--support", type=click.IntRange(1), help="How many must share a pattern; all where not given.")
@click.option("--dataset", help="Of the sequences, where a name is in several.")
@click.option("--model", help="Likewise.")
@click.option("--explain", help="Likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(
    out: str,
    prototypes: tuple[str, ...],
    letters: bool,
    relation: str,
    none_loose: bool,
    support: int | None,
    as_json: bool,
    **where: str | None,
) -> None:
    """Compare temporal prototypes: which is part of which, and what they have in common.

    Two or more of: a sequence of OUT, or a prototype as text, such as "(NONE) -> (AU12_A)". Says for every two whether
    one is included in the other (stage by stage, in neighbouring stages, as a sub-sequence) and how long their longest
    common sub-sequence is, and lists the maximal patterns that all of them share.
    """
    from fer_batch.output.compare import ComparisonOptions, comparison_json, comparison_text, named_prototypes
    from fer_batch.storage.store import Store

    if len(prototypes) < 2:
        raise InputError(f"name two prototypes or more to compare, got {len(prototypes)}")
    options = ComparisonOptions(letters, relation, not none_loose, support)
    if support is not None and support > len(prototypes):
        raise InputError(f"--support {support}: a pattern is shared by at most the {len(prototypes)} that are compared")
    chosen = {key: value for key, value in where.items() if value is not None}
    found = named_prototypes(Store(out), prototypes, chosen, letters)
    click.echo(json.dumps(comparison_json(found, options)) if as_json else comparison_text(found, options))


@cli.command(cls=Command)
@click.argument("out")
@click.option("--figures", multiple=True, metavar="SEQUENCE", help="Only draw this sequence's figures, for print.")
@click.option("--normalise", help="one_sided, or two_sided: positive and negative relevance each to its own maximum.")
@click.option("--colours", help="bwr, or jet from a map's lowest value to its highest.")
@click.option("--top-x", type=float, metavar="PERCENT", help="Of the positive relevance in Top-X projections.")
def report(out: str, figures: tuple[str, ...], **look: str | float | None) -> None:
    """Draw the report pages again from the tables, where these changed.

    Maps look as section `report` of the job says (one_sided, bwr, 25) unless an option says otherwise.
    """
    from fer_batch.output.status import status as read_status
    from fer_batch.pipeline.report.write import processes, write_figures
    from fer_batch.pipeline.stages import draw_report
    from fer_batch.storage.store import Store
    from fer_batch.types import MapStyle

    store = Store(out)
    given = {name: value for name, value in look.items() if value is not None}
    maps = MapStyle(**given) if given else None  # type: ignore[arg-type]
    # nothing can be drawn of a training, nor of a run that did not get as far as its tables
    everything = read_status(store)["partitions"]
    parts = [part for part in everything if part["explain"] != "none"]
    drawn = [part for part in parts if sum(part[status] for status in STATUSES)]
    if not drawn:
        if everything and not parts:
            raise InputError(
                f"{out!r} holds a training, which has no pages; its figures: fer-batch evaluate {shlex.quote(out)}"
            )
        raise InputError(f"{out!r} has no published tables yet; run the job first")
    if figures:
        click.echo("\n".join(write_figures(store, figures, maps)))
        return
    for part in drawn:
        where = part["dataset"], part["model"], part["explain"]
        click.echo(draw_report(store, *where, compute=processes(), maps=maps))


@cli.command(cls=Command)
@click.argument("out")
@click.option("--published", is_flag=True, help="Set every published figure beside, whatever the data set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(out: str, published: bool, as_json: bool) -> None:
    """Compare detections with annotations, and relevance with regions; writes table `evaluation` and the verdicts."""
    from fer_batch.pipeline.partition.evaluation import evaluate_output
    from fer_batch.pipeline.partition.evaluation_text import evaluation_json, evaluation_text
    from fer_batch.pipeline.report.write import VERDICT, write_page
    from fer_batch.storage.store import Store

    store = Store(out)
    results = evaluate_output(store)
    pages = [write_page(store, result.partition, VERDICT) for result in results]
    if as_json:
        click.echo(json.dumps(evaluation_json(results, pages, published)))
        return
    click.echo(evaluation_text(results, published))
    for page in filter(None, pages):
        click.echo(f"verdict {page}")


@cli.command(cls=Command)
@click.option("--evaluate", "maps", required=True, metavar="FOLDER", help="Grey PNG heatmaps on the standard face.")
@click.option("--masks", required=True, metavar="FOLDER", help="Black and white PNG masks, named by expression.")
@click.option("--pretrained", multiple=True, metavar="NETWORK", help="A network that was pretrained; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which has every correlation.")
def heatmaps(maps: str, masks: str, pretrained: tuple[str, ...], as_json: bool) -> None:
    """Compare heatmaps of several networks with masks and among each other.

    Masks are named by expression: anger.png. The path of a heatmap holds the expression and the network:
    anger/ResNet50.png, ResNet50/anger.png or ResNet50_Anger_heatmap.png; words that all files share (heatmap) do not
    count. Prints intersection over union, precision, recall and F1 of the maps above their Otsu threshold, and for each
    expression the average-linkage dendrogram of the networks.
    """
    from fer_batch.pipeline.partition.heatmap_files import read_heatmaps
    from fer_batch.pipeline.partition.heatmap_scores import heatmap_json, heatmap_scores, heatmap_text

    found = heatmap_scores(read_heatmaps(maps, masks), pretrained)
    click.echo(json.dumps(heatmap_json(found)) if as_json else heatmap_text(found))


@cli.command(cls=Command)
@click.argument("job")
@click.option("--output", help="Folder or URL of the results; overrides the job's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a dotted key of the job.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def train(job: str, output: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train a network fold by fold, by subject, and say how good it is on those it never saw."""
    from fer_batch.config import read_train_job
    from fer_batch.pipeline.training.train import outcome_text
    from fer_batch.pipeline.training.train import train as train_job

    config = read_train_job(job, overrides, output)
    outcome = train_job(config)
    click.echo(json.dumps(outcome.as_json()) if as_json else outcome_text(outcome, config.output))
    sys.exit(outcome.exit_code)


@cli.command(cls=Command)
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(uri: str, as_json: bool) -> None:
    """Say what a folder of media, a manifest, a checkpoint or an output is, without running anything."""
    from fer_batch.pipeline.inspect.uri import inspect_text, inspect_uri

    found = inspect_uri(uri)
    click.echo(json.dumps(found, indent=1) if as_json else inspect_text(found))


@cli.command(cls=Command)
@click.argument("out")
@click.option("--to", required=True, metavar="FORMAT", help="openface-csv or virelay.")
@click.argument("folder", metavar="DIR")
def export(out: str, to: str, folder: str) -> None:
    """Write an output in the format of another tool into DIR.

    openface-csv: one CSV a sequence, with OpenFace 2's names for every column that has a source. virelay: projects
    that ViRelAy opens, of the prototypes and their maps.
    """
    from fer_batch.pipeline.export.write import export_output

    click.echo("\n".join(export_output(out, to, folder)))


@cli.command(cls=Command)
@click.argument("out")
def retry(out: str) -> None:
    """Forget the failed and partial inputs of an output, so that the next run tries them again."""
    from fer_batch.output.retry import forget_failed
    from fer_batch.storage.store import Store

    n_units = forget_failed(Store(out))
    click.echo(f"{n_units} units with failed or partial inputs will be tried again by the next run of their job")


@cli.command(cls=Command)
@click.option("--engine", default="duckdb", show_default=True, help="duckdb, spark or trino.")
@click.option("--write", "folder", type=click.Path(file_okay=False), help="Write one file a table into this folder.")
def schemas(engine: str, folder: str | None) -> None:
    """Print the tables as SQL."""
    from fer_batch.storage.ddl import render_all

    rendered = render_all(engine)
    if folder is None:
        click.echo("\n".join(text for name, text in rendered.items() if name.endswith(".sql")))
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in rendered.items():
        (Path(folder) / name).write_text(text, "utf-8")


def main(argv: list[str] | None = None) -> int:
    """Entry point: turns what went wrong into one line and an exit code."""
    resumable = any(word in RESUMABLE for word in (sys.argv[1:] if argv is None else argv)[:1])
    try:
        cli.main(args=argv, prog_name="fer-batch", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except SystemExit as stop:
        return int(stop.code or 0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped" + ("; run the same command again to go on where it was" if resumable else ""), err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 1
    except InputError as error:
        # One that was raised in a Ray task carries the task's traceback; its cause is what was said.
        click.echo(f"error: {getattr(error, 'cause', None) or error}", err=True)
        return 1
    except EnvironmentFault as error:
        if os.environ.get("FER_BATCH_TRACEBACK"):
            raise
        kept = "; what was finished is kept: run the same command again" if resumable else ""
        click.echo(f"error: {error}{kept}", err=True)
        return 1
    except Exception as error:
        if os.environ.get("FER_BATCH_TRACEBACK"):
            raise
        cause = getattr(error, "cause", None) or error
        text = " ".join(str(cause).split()) or type(cause).__name__
        click.echo(f"error: {type(cause).__name__}: {text[:500]}", err=True)
        kept = "What was finished is kept; run the same command again. " if resumable else ""
        click.echo(f"{kept}FER_BATCH_TRACEBACK=1 shows where.", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
