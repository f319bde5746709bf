"""Looks as columns of the tables that shards wrote before there were any: views, so that no shard is ever rewritten."""

from __future__ import annotations

from fer_batch.storage.tables import PARTITIONS

_KEYS = ", ".join((*PARTITIONS["cluster_looks"], "sequence_id"))
# What `stages.labels` calls a cluster, and what it is called in looks.
_BY_SEQUENCE = (
    f"SELECT {_KEYS}, map(list(target || '_' || cluster), list(target || coalesce('@' || look, ''))) AS named "
    f"FROM cluster_looks GROUP BY {_KEYS}"
)
LOOK_COLUMNS = {
    "prototypes": (("look", "INTEGER"), ("look_distance", "DOUBLE")),
    "detections": (("look", "INTEGER"),),
    "stages": (("looks", "VARCHAR[]"),),
    "temporal_prototypes": (("look_text", "VARCHAR"), ("look_id", "VARCHAR")),
}
"""Columns that a view has beside those of its files, with their types."""


def with_looks(table: str, source: str, published: bool) -> str:
    """SQL of a table's rows with its columns of looks, which are NULL where no looks are published.

    Parameters
    ----------
    table
        One of `LOOK_COLUMNS`.
    source
        SQL of its rows.
    published
        Whether the output has looks: only then the rows are joined with them.
    """
    if not published:
        empty = ", ".join(f"CAST(NULL AS {dtype}) AS {name}" for name, dtype in LOOK_COLUMNS[table])
        return f"SELECT *, {empty} FROM ({source})"
    if table == "stages":
        looks = "[coalesce(map_extract(named, label)[1], label) FOR label IN labels]"
        return f"SELECT own.*, {looks} AS looks FROM ({source}) own LEFT JOIN ({_BY_SEQUENCE}) USING ({_KEYS})"
    if table == "temporal_prototypes":
        other = f"SELECT {_KEYS}, text AS look_text, prototype_id AS look_id FROM look_prototypes"
        return f"SELECT * FROM ({source}) LEFT JOIN ({other}) USING ({_KEYS})"
    names = "look, distance AS look_distance" if table == "prototypes" else "look"
    other = f"SELECT {_KEYS}, target, cluster, {names} FROM cluster_looks"
    return f"SELECT * FROM ({source}) LEFT JOIN ({other}) USING ({_KEYS}, target, cluster)"
