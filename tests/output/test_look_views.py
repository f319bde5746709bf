"""Views that join looks to tables: what `tests/output/test_query.py` asks of an output, here of each view's SQL."""

import pytest

from fer_batch.output.look_views import LOOK_COLUMNS, with_looks
from fer_batch.storage.ddl import sql_type
from fer_batch.storage.tables import SCHEMAS


@pytest.mark.parametrize("table", LOOK_COLUMNS)
def test_a_view_without_looks_is_its_table_and_their_columns_without_a_join(table):
    sql = with_looks(table, "SELECT 1 AS one", published=False)
    assert "JOIN" not in sql
    for name, dtype in LOOK_COLUMNS[table]:
        assert f"CAST(NULL AS {dtype}) AS {name}" in sql
        assert name not in SCHEMAS[table].names, "what a shard writes is never hidden"


def test_the_columns_have_the_types_of_the_tables_they_come_from():
    types = dict(column for columns in LOOK_COLUMNS.values() for column in columns)
    for name, table, column in (
        ("look", "cluster_looks", "look"),
        ("look_distance", "cluster_looks", "distance"),
        ("look_text", "look_prototypes", "text"),
        ("look_id", "look_prototypes", "prototype_id"),
        ("looks", "stages", "labels"),
    ):
        assert types[name] == sql_type(SCHEMAS[table].field(column).type, "duckdb")
