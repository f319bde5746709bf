"""SQL at a terminal: statements as they are typed or piped in, and answers as they are printed."""

from __future__ import annotations

import base64
import csv
import json
import sys
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from fer_batch.output.named_queries import QUERIES
from fer_batch.output.query import answer, resolve_query, said_by, statements
from fer_batch.storage.tables import SCHEMAS


def print_answer(connection: duckdb.DuckDBPyConnection, text: str, form: str) -> None:
    """Print what every statement of a text, or the query it names, gives.

    Parameters
    ----------
    connection
        See `query.connect`.
    text
        SQL, or the name of a query.
    form
        `table`, `csv` or `json`.

    Raises
    ------
    InputError
        With DuckDB's own words.
    """
    for statement in statements(connection, resolve_query(connection, text)):
        try:
            _print_relation(answer(connection, statement), form)
        except duckdb.Error as error:  # one that shows only as the rows are computed
            raise said_by(error) from error


def view_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables that can be asked."""
    rows = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def typed_statements(leave: Collection[str]) -> Iterator[str]:
    """What is typed or piped in: SQL up to a line that ends with ';', or names on a line of their own.

    Parameters
    ----------
    leave
        Words that stand on a line of their own beside names of queries and tables, and `help`.
    """
    names = {*QUERIES, *SCHEMAS, *leave, "help"}
    pending: list[str] = []
    while True:
        try:
            line = input(("sql> " if not pending else "...> ") if sys.stdin.isatty() else "")
        except EOFError:
            break
        pieces = [piece.strip() for piece in line.split(";") if piece.strip()]
        if not pending and names.issuperset(pieces):
            yield from pieces
            continue
        pending.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(pending)
            pending = []
    if any(line.strip() for line in pending):
        yield "\n".join(pending)


def _print_relation(relation: duckdb.DuckDBPyRelation | None, form: str) -> None:
    if relation is None:
        return
    if form == "table":
        if sys.stdout.isatty():
            relation.show(max_rows=200)
        else:
            relation.show(max_rows=200, max_width=200)
        return
    table = relation.to_arrow_table()
    if form == "json":
        print(json.dumps(table.to_pylist(), default=_plain))
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(_plain(value) if isinstance(value, bytes) else value for value in row.values())


def _plain(value: Any) -> str:
    """Text of a value that JSON and CSV do not know; pictures as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
