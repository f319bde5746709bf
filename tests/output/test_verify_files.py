"""Which columns a file of a table may have."""

import pyarrow as pa
import pytest

from fer_batch.output.verify_files import schema_fault
from fer_batch.storage.tables import SCHEMAS


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_files_of_every_version_have_no_fault(table):
    schema = SCHEMAS[table]
    assert schema_fault(table, schema) is None
    first = pa.schema([field for field in schema if b"since" not in (field.metadata or {})])
    assert schema_fault(table, first) is None, "later columns may be missing"


def test_columns_that_are_missing_unknown_or_of_another_type_are_named():
    schema = SCHEMAS["stages"]
    assert schema_fault("stages", schema.remove(0)) == "lacks the column sequence_id of table stages"
    assert "has the column more" in (schema_fault("stages", schema.append(pa.field("more", pa.int8()))) or "")
    other = schema.set(1, pa.field("stage_index", pa.string()))
    assert "has string in column stage_index, and table stages has int32" in (schema_fault("stages", other) or "")
