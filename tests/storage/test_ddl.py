"""`schemas/` says what `storage.tables` says, and engines accept it."""

import re
from pathlib import Path

import duckdb
import pytest

from fer_batch import cli
from fer_batch.output.named_queries import rendered_queries
from fer_batch.storage.ddl import ENGINES, partition_sql, render_all, table_ddl
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS, comment
from fer_batch.types import InputError

SCHEMAS_FOLDER = Path(__file__).parents[2] / "schemas"


def test_schemas_folder_is_what_the_arrow_schemas_render_to():
    files = [path for path in SCHEMAS_FOLDER.rglob("*") if path.is_file()]
    on_disk = {path.relative_to(SCHEMAS_FOLDER).as_posix(): path.read_text() for path in files}
    assert on_disk == render_all() | rendered_queries("duckdb"), "run `make schemas`"


def test_duckdb_creates_every_table_with_its_columns():
    connection = duckdb.connect()
    for name, schema in SCHEMAS.items():
        connection.execute(table_ddl(name))
        columns = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
        assert columns[: len(schema.names)] == schema.names


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_engine_has_a_type_for_every_column(engine):
    for name, schema in SCHEMAS.items():
        ddl = table_ddl(name, engine, "s3://bucket/o")
        assert all(re.search(rf"^    .{field}. [A-Z]", ddl, re.MULTILINE) for field in schema.names)
        assert engine == "duckdb" or f"s3://bucket/o/tables/{name}" in ddl
        # Hive refuses a partition column that is also among the columns of the files.
        declared = re.findall(r"^    [`\"](\w+)|\b(\w+) STRING(?=[,)])", ddl, re.MULTILINE)
        assert sorted(map("".join, declared)) == sorted([*schema.names, *PARTITIONS[name]])


def test_an_unknown_engine_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'spark'"):
        table_ddl("frames", "sparc")


def test_views_of_duckdb_are_over_the_files(tmp_path):
    where = Partition("d", "007", "e-1")
    rows = rows_of("patterns", [{"group": "it's all", "pattern": "(NONE)", "length": 1}])
    Store(str(tmp_path)).put(f"{where.folder('patterns')}/a.parquet", encode(rows))
    connection = duckdb.connect()
    connection.execute(partition_sql("patterns", "duckdb", f"{tmp_path}/"))
    assert connection.execute('SELECT "group", model FROM patterns').fetchall() == [("it's all", "007")]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_table_has_what_its_partitions_need(engine, capsys):
    assert cli.main(["schemas", "--engine", engine, "--partitions"]) == 0
    printed = capsys.readouterr().out
    words = {"spark": "MSCK REPAIR TABLE {} SYNC", "athena": "MSCK REPAIR TABLE {};", "bigquery": "-- {}: nothing"}
    words |= {"trino": "table_name => '{}'", "duckdb": "VIEW {} AS"}
    assert all(words[engine].format(name) in printed for name in SCHEMAS)
    assert cli.main(["schemas", "--engine", "athene", "--partitions"]) == 1
    assert "did you mean 'athena'" in capsys.readouterr().err


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_what_is_printed_parses_in_the_dialect(engine):
    import sqlglot

    for name in SCHEMAS:
        (parsed,) = sqlglot.parse(table_ddl(name, engine), dialect=engine, error_level=sqlglot.ErrorLevel.RAISE)
        assert isinstance(parsed, sqlglot.exp.Create) or engine == "bigquery"  # sqlglot has no WITH PARTITION COLUMNS
    for sql in rendered_queries(engine).values():
        sqlglot.parse_one(sql, dialect=engine, error_level=sqlglot.ErrorLevel.RAISE)


def test_what_a_column_was_before_is_said_as_it_is_stored():
    assert comment(SCHEMAS["patterns"].field("mined")).endswith('since schema 5, before "sequences"')
    assert comment(SCHEMAS["patterns"].field("letters")).endswith("since schema 2, before TRUE")
