"""What tables refer to exists, in every table that has such columns."""

import pytest

from fer_batch.output.verify_rows import KEYS, REFERENCES
from fer_batch.storage.manifest import SHARD_TABLES
from fer_batch.storage.tables import SCHEMAS


@pytest.mark.parametrize(("table", "columns", "other"), REFERENCES)
def test_both_tables_have_the_columns_of_a_reference(table, columns, other):
    assert set(columns) <= set(SCHEMAS[table].names) & set(SCHEMAS[other].names)


def test_every_table_of_a_shard_refers_to_its_sequences_by_some_way():
    reached = {"sequences"}
    while more := {table for table, _, other in REFERENCES if other in reached} - reached:
        reached |= more
    assert set(SHARD_TABLES) <= reached
    assert all(set(columns) <= set(SCHEMAS[table].names) for table, columns in KEYS.items())
