"""Questions that are asked often, in SQL that every engine understands: one file each in the folder `queries`.

The files keep to what DuckDB, Spark, Trino, Athena, BigQuery, DataFusion and Polars have in common (docs/sql.md): no
QUALIFY, no FILTER, joins with ON, figures made double by `1e0 *`, and no element of an array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class NamedQuery:
    """A question that is asked often.

    Attributes
    ----------
    about
        What it answers: the comment on the first line of its file.
    sql
        The text of the file. Its first columns are the partition columns, so that nothing is pooled over datasets,
        models or explanations.
    """

    about: str
    sql: str


def _read() -> Mapping[str, NamedQuery]:
    files = resources.files(__package__).joinpath("queries").iterdir()
    texts = {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files if file.name.endswith(".sql")}
    return {name: NamedQuery(texts[name].partition("\n")[0].removeprefix("-- "), texts[name]) for name in sorted(texts)}


QUERIES = MappingProxyType(_read())


def rendered_queries(engine: str) -> dict[str, str]:
    """File name to text of every query, with names quoted as an engine does."""
    quote = "`" if engine in {"spark", "bigquery"} else '"'  # Athena's queries are Trino's
    return {f"queries/{name}.sql": query.sql.replace('"', quote) for name, query in QUERIES.items()}
