"""Compare two outputs table by table and column by column, whatever versions wrote them.

    python benchmarks/compare_outputs.py BEFORE AFTER [--atol 0] [--partitions]

Rows are paired by their keys, so file names and shards do not matter. What says who wrote a row when (`run_id`, `uri`,
table `runs`) is not compared; the partition columns are with `--partitions` only, because they hold digests of
options and weights. Exit code 0: the same; 1: something differs, which is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEYS = ("sequence_id", "frame_index", "group", "target", "metric", "split", "fold", "stage_index", "cluster")
MORE_KEYS = ("episode_index", "mined", "letters", "kind", "pattern", "layer", "trained_on")
WRITER = {"run_id", "uri"}
PARTITIONS = {"dataset", "model", "explain"}
NOT_COMPARED = {"runs"}


def table_names(output: Path) -> set[str]:
    """Tables with at least one file."""
    return {path.name for path in (output / "tables").iterdir() if any(path.rglob("*.parquet"))}


def rows(output: Path, table: str) -> pa.Table:
    """All rows of a table with its partition columns, in the order of their keys."""
    files = str(output / "tables" / table / "**" / "*.parquet").replace("'", "''")
    source = f"read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
    found = duckdb.sql(f"SELECT * FROM {source}").to_arrow_table()
    keys = [name for name in (*KEYS, *MORE_KEYS) if name in found.column_names]
    return found.sort_by([(name, "ascending") for name in keys])


def difference(left: pa.ChunkedArray, right: pa.ChunkedArray, atol: float) -> str | None:
    """How two columns differ; None where they do not."""
    if pa.types.is_list(left.type):
        lengths = pc.list_value_length(left).equals(pc.list_value_length(right))
        if not lengths:
            return "lists of other lengths"
        left, right = pc.list_flatten(left), pc.list_flatten(right)
    if left.null_count != right.null_count or not pc.is_null(left).equals(pc.is_null(right)):
        return f"{left.null_count} and {right.null_count} NULL, or at other places"
    if pa.types.is_floating(left.type):
        apart = np.abs(left.to_numpy().astype(np.float64) - right.to_numpy().astype(np.float64))
        largest = float(np.nanmax(apart, initial=0.0))
        return f"up to {largest:.3g} apart" if largest > atol else None
    unequal = pc.sum(pc.invert(pc.equal(left, right))).as_py() or 0
    return f"{unequal} of {len(left)} values differ" if unequal else None


def differences(before: Path, after: Path, atol: float, partitions: bool) -> Iterator[str]:
    """One line for everything that is not the same."""
    ours, theirs = table_names(before) - NOT_COMPARED, table_names(after) - NOT_COMPARED
    yield from (f"{name}: only in {before}" for name in sorted(ours - theirs))
    yield from (f"{name}: only in {after}" for name in sorted(theirs - ours))
    for name in sorted(ours & theirs):
        left, right = rows(before, name), rows(after, name)
        if left.num_rows != right.num_rows:
            yield f"{name}: {left.num_rows} rows and {right.num_rows}"
            continue
        columns = set(left.column_names) ^ set(right.column_names)
        yield from (f"{name}.{column}: in one of them only" for column in sorted(columns))
        passed_over = WRITER | (set() if partitions else PARTITIONS)
        for column in left.column_names:
            if column in right.column_names and column not in passed_over:
                found = difference(left[column], right[column].cast(left[column].type), atol)
                if found:
                    yield f"{name}.{column}: {found}"


def main(arguments: list[str] | None = None) -> int:
    """Print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--atol", type=float, default=0.0, help="floats may be this far apart")
    parser.add_argument("--partitions", action="store_true", help="compare the partition columns too")
    options = parser.parse_args(arguments)
    found = list(differences(options.before, options.after, options.atol, options.partitions))
    print("\n".join(found) if found else "the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
