"""Commands that answer questions about an output, a file or the tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_batch.cli.group import Command, cli, with_red
from fer_batch.types import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEAVE = ("exit", "quit", "\\q")


@cli.command(cls=Command)
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(out: str, as_json: bool) -> None:
    """What an output holds, what failed and why, and what is still to come."""
    from fer_batch.output.status import status as read_status
    from fer_batch.output.status import status_text
    from fer_batch.storage.store import Store

    found = read_status(Store(out))
    click.echo(json.dumps(found, indent=1) if as_json else with_red(status_text(found)))


@cli.command(cls=Command)
@click.argument("out")
@click.argument("sql", required=False)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def query(out: str, sql: str | None, form: str) -> None:
    """Ask an output in SQL (DuckDB): every table is a view. Without SQL, a prompt.

    SQL may also be the name of a query: active, classes, clusters, cooccurrence, drift, episodes, episodes_by_emotion,
    failed, failures, frames, localisation, looks, looks_by_emotion, nights, outliers, patterns, review, runs,
    stage_durations, subjects, temporal_prototypes, temporal_prototypes_by_emotion, transitions.
    """
    from fer_batch.output.query import connect
    from fer_batch.output.query_prompt import print_answer
    from fer_batch.storage.store import Store

    connection = connect(Store(out))
    if sql is not None:
        print_answer(connection, sql, form)
        return
    _prompt(connection, form)


def _prompt(connection: DuckDBPyConnection, form: str) -> None:
    """Answer typed or piped statements; one that failed among piped ones makes the exit code 1."""
    from fer_batch.output.named_queries import QUERIES
    from fer_batch.output.query_prompt import print_answer, typed_statements, view_names

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
@click.argument("uri", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--au-map", "landmarks", metavar="LANDMARKS", help="Draw where a face should be looked at: 68 points.")
@click.option("--expression", help="Of that face, such as fear.")
@click.option("--codebook", default="martinez", show_default=True, help="martinez, emfacs_sh or emfacs_pd.")
@click.option("--disgust-release", is_flag=True, help="AU05 for AU10 in disgust, as SA's released code.")
@click.option("--size", type=click.IntRange(8, 4096), default=224, show_default=True, help="Side of the image, pixels.")
@click.option("--output", type=click.Path(dir_okay=False), help="The picture [default: au_map_EXPRESSION.png].")
def inspect(uri: str | None, as_json: bool, landmarks: str | None, expression: str | None, **drawn: Any) -> None:
    """Say what a folder of media, a manifest, a checkpoint, an output or a study's job is, without running anything."""
    if landmarks is not None:
        _draw_au_map(landmarks, expression, **drawn)
        return
    from fer_batch.config.reading import kind_of
    from fer_batch.pipeline.inspect.uri import inspect_text, inspect_uri

    if uri is None:
        raise click.UsageError("name what to inspect, or --au-map LANDMARKS --expression EXPRESSION")
    if uri.lower().endswith((".yaml", ".yml")) and kind_of(uri) == "study":
        from fer_batch.pipeline.study.describe import study_facts, study_text

        job = study_facts(uri)
        click.echo(json.dumps(job, indent=1) if as_json else study_text(job))
        return
    found = inspect_uri(uri)
    click.echo(json.dumps(found, indent=1) if as_json else inspect_text(found))


def _draw_au_map(landmarks: str, expression: str | None, output: str | None, **how: Any) -> None:
    from fer_batch.pipeline.inspect.au_map import AuMap, au_map_picture

    if expression is None:
        raise click.UsageError("--au-map needs --expression, such as fear")
    picture, sentence = au_map_picture(AuMap(landmarks, expression, **how))
    path = output or f"au_map_{expression}.png"
    picture.save(path, "png")
    click.echo(f"{path}: {sentence}")


@cli.command(cls=Command)
@click.option("--engine", default="duckdb", show_default=True, help="duckdb, spark, trino, athena or bigquery.")
@click.option(
    "--location", default="OUT", show_default=True, help="The output, as the engine calls it: s3://bucket/out"
)
@click.option("--partitions", is_flag=True, help="Print what tells the engine of new partitions instead (docs/sql.md).")
@click.option("--write", "folder", type=click.Path(file_okay=False), help="Write tables, dictionary and queries there.")
def schemas(engine: str, location: str, partitions: bool, folder: str | None) -> None:
    """Print the tables as SQL."""
    from fer_batch.output.named_queries import rendered_queries
    from fer_batch.storage.ddl import partition_sql, render_all
    from fer_batch.storage.tables import SCHEMAS

    if partitions and folder is not None:
        raise click.UsageError("--partitions is printed; it does not go with --write")
    if partitions:
        click.echo("".join(partition_sql(name, engine, location) for name in SCHEMAS), nl=False)
        return
    rendered = render_all(engine, location)
    if folder is None:
        click.echo("\n".join(text for name, text in rendered.items() if name.endswith(".sql")))
        return
    (Path(folder) / "queries").mkdir(parents=True, exist_ok=True)
    for name, text in (rendered | rendered_queries(engine)).items():
        (Path(folder) / name).write_text(text, "utf-8")
