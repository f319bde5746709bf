"""The data dictionary has every column of every table; that the file is current is checked in `test_ddl`."""

import re

from fer_batch.storage.dictionary import data_dictionary
from fer_batch.storage.tables import PARTITIONS, SCHEMAS


def test_every_table_lists_its_columns_and_keys():
    text = data_dictionary()
    sections = dict(
        zip(re.findall(r"^## (\w+)$", text, re.MULTILINE), re.split(r"^## ", text, flags=re.MULTILINE)[1:], strict=True)
    )
    assert list(sections) == list(SCHEMAS)
    for name, schema in SCHEMAS.items():
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", sections[name], re.MULTILINE)
        assert [column for column, _ in rows] == [*schema.names, *PARTITIONS[name]]
        never = {column for column, dtype in rows if dtype.endswith("never NULL")}
        assert never == {field.name for field in schema if not field.nullable} | set(PARTITIONS[name])
        assert f"- [{name}](#{name}): " in text


def test_a_bar_in_a_comment_does_not_end_a_cell():
    rows = [line for line in data_dictionary().splitlines() if line.startswith("| `")]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in rows)
    assert any(r"\|" in line for line in rows), "max |R|, of relevance.scale"
