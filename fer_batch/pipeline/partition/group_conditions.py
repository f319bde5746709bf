"""Which maps of an output are in a group: conditions in SQL over what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from fer_batch.facs import EXPRESSIONS
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.accumulators import STANDARD_MAX
from fer_batch.pipeline.analysis.sums import has_all_maps, has_current, sums_path
from fer_batch.pipeline.partition.people_columns import people_known, people_view
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError

_EXPRESSIONS = ", ".join(f"'{name}'" for name in EXPRESSIONS)
_KEY = "dataset, model, explain, sequence_id, target"
# A row for each map. Of sequences whose sums are kept there is one for each frame in which the target is found, whether
# or not table relevance still has its map, and the number of these frames.
EXPLAINED = f"""
CREATE VIEW explained AS
SELECT dataset, model, explain, sequence_id, frame_index, target, true AS kept, NULL::BIGINT AS n_found
FROM relevance ANTI JOIN summed USING ({_KEY})
UNION ALL
SELECT d.dataset, d.model, d.explain, d.sequence_id, d.frame_index, d.target, r.kept IS NOT NULL AS kept,
       count(*) OVER (PARTITION BY d.dataset, d.model, d.explain, d.sequence_id, d.target) AS n_found
FROM detections d JOIN summed USING ({_KEY})
LEFT JOIN (SELECT {_KEY}, frame_index, true AS kept FROM relevance) r USING ({_KEY}, frame_index)
WHERE d.active
"""
# A row for each map of a class or Action Unit that its network finds, with what groups can be told by.
MAPS = f"""
CREATE VIEW found_maps AS
SELECT r.dataset, r.model, r.explain, r.sequence_id, r.frame_index, r.target,
       coalesce(s.subject_id, s.sequence_id) AS subject_id, s.emotion, s.kind, s.split, d.probability,
       coalesce(a.occurrence, CASE WHEN r.target IN ({_EXPRESSIONS}) THEN s.emotion = r.target END) AS correct,
       c.network, c.fold, c.method, c.variant, s.run_id, r.kept, r.n_found, strftime(n.started_at, '%Y-%m-%d') AS night,
       CASE WHEN contains(s.subject_id, ':') THEN split_part(s.subject_id, ':', 1) ELSE r.dataset END AS collection
FROM explained r
JOIN sequences s USING (dataset, model, explain, sequence_id)
JOIN detections d USING (dataset, model, explain, sequence_id, frame_index, target)
LEFT JOIN (SELECT dataset, sequence_id, frame_index, target, bool_or(occurrence) AS occurrence
           FROM annotations GROUP BY ALL) a
    ON (a.dataset, a.sequence_id, a.frame_index, a.target)
     = (r.dataset, r.sequence_id, r.frame_index, r.target)
LEFT JOIN (SELECT dataset, model, explain, any_value(network) AS network, any_value(fold) AS fold,
                  any_value(method) AS method, any_value(variant) AS variant
           FROM study_cells GROUP BY ALL) c
    ON (c.dataset, c.model, c.explain) = (r.dataset, r.model, r.explain)
LEFT JOIN (SELECT run_id, min(started_at) AS started_at FROM runs GROUP BY ALL) n ON n.run_id = s.run_id
WHERE d.active
"""
# A subject of a study has the collection before its name; people may be named without.
WITH_PEOPLE = """
CREATE VIEW maps AS
SELECT m.*, p.* EXCLUDE (subject_id) FROM found_maps m LEFT JOIN people p ON p.subject_id = CASE
    WHEN m.subject_id IN (SELECT subject_id FROM people) THEN m.subject_id
    ELSE nullif(split_part(m.subject_id, ':', 2), '') END
"""
COLUMNS = (
    "dataset, model, explain, sequence_id, frame_index, target, subject_id, emotion, kind, split, probability, "
    "correct, network, fold, method, variant, run_id, night, collection"
)

# Equal names in two collections are of two people.
PERSON = "CASE WHEN starts_with(subject_id, collection || ':') THEN '' ELSE collection || ':' END || subject_id"


def make_views(connection: duckdb.DuckDBPyConnection, store: Store, people: str | None = None) -> str:
    """Make the view `maps`; its columns in words.

    Parameters
    ----------
    connection
        With the views of the output.
    store
        The output.
    people
        CSV or Parquet file of people, in the place of manifests.

    Raises
    ------
    InputError
        If `people` is no such file.
    """
    connection.register("summed", _summed(connection, store))
    connection.execute(EXPLAINED)
    connection.execute(MAPS)
    names = people_view(connection, people_known(connection, people), {*COLUMNS.split(", "), "kept", "n_found"})
    connection.execute(WITH_PEOPLE)
    return ", ".join([COLUMNS, *names])


def _summed(connection: duckdb.DuckDBPyConnection, store: Store) -> pa.Table:
    """Sequences and targets whose sums are kept because table `relevance` has not all their maps."""
    names = ["dataset", "model", "explain", "sequence_id", "target"]
    found = [pa.table({name: pa.array([], pa.string()) for name in names})]
    for key in connection.execute("SELECT DISTINCT dataset, model, explain FROM sequences").fetchall():
        partition = Partition(*key)
        for rows in _kept_sums(store, partition):
            constant = [pa.array([value] * rows.num_rows, pa.string()) for value in key]
            found.append(pa.table([*constant, rows["sequence_id"], rows["target"]], names))
    return pa.concat_tables(found).group_by(names).aggregate([])


def _kept_sums(store: Store, partition: Partition) -> Iterator[pa.Table]:
    for shard in PartitionReader(store, partition).shards():
        name = shard.file.removesuffix(".parquet")
        if has_all_maps(store, partition, name) or not has_current(store, name, STANDARD_MAX.name):
            continue
        sums = pads.dataset(store.path(sums_path(name)), format="parquet", filesystem=store.fs)
        own = (pads.field("accumulator") == STANDARD_MAX.name) & ~pads.field("whole")
        yield sums.to_table(columns=["sequence_id", "target"], filter=own)


def find_maps(
    connection: duckdb.DuckDBPyConnection, condition: str, within: str, columns: str
) -> Sequence[tuple[Any, ...]]:
    """Which maps are in a group.

    Parameters
    ----------
    connection
        With the view `maps`.
    condition
        In SQL.
    within
        Another, which holds for every group.
    columns
        Of the view, in words.

    Returns
    -------
    rows of dataset, model, explain, sequence, frame, target, person, whether table `relevance` has its map, and of how
    many frames the sums of its sequence are (None where all its maps are kept)

    Raises
    ------
    InputError
        If it is no condition, or holds for no map.
    """
    known = f"dataset, model, explain, sequence_id, frame_index, target, {PERSON}, kept, n_found"
    try:
        rows = connection.execute(f"SELECT {known} FROM maps WHERE ({within}) AND ({condition})").fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise InputError(f"--compare {condition!r} is no condition over the columns {columns}: {said}") from None
    if not rows:
        kept = connection.execute("SELECT count(*) FROM explained").fetchone()
        why = "" if kept and kept[0] else "; table relevance is empty, and no sums of its maps are kept: run with "
        why += "keep_relevance: all" if why else ""
        raise InputError(f"--compare {condition!r}: no map of a class that is found is in this group{why}")
    return rows
