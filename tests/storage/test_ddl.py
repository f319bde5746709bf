"""`schemas/` says what `storage.tables` says, and engines accept it."""

from pathlib import Path

import duckdb
import pytest

from fer_batch.storage.ddl import ENGINES, render_all, table_ddl
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import InputError

SCHEMAS_FOLDER = Path(__file__).parents[2] / "schemas"


def test_schemas_folder_is_what_the_arrow_schemas_render_to():
    on_disk = {path.name: path.read_text() for path in SCHEMAS_FOLDER.iterdir()}
    assert on_disk == render_all(), "run `make schemas`"


def test_duckdb_creates_every_table_with_its_columns():
    connection = duckdb.connect()
    for name, schema in SCHEMAS.items():
        connection.execute(table_ddl(name))
        columns = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
        assert columns[: len(schema.names)] == schema.names


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_engine_has_a_type_for_every_column(engine):
    assert all(f"CREATE TABLE {name}" in table_ddl(name, engine) for name in SCHEMAS)


def test_an_unknown_engine_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'spark'"):
        table_ddl("frames", "sparc")
