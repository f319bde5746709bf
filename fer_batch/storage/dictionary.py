"""The data dictionary: every table with its columns in Markdown, rendered from `storage.tables`."""

from __future__ import annotations

import pyarrow as pa

from fer_batch.storage.tables import PARTITIONS, SCHEMAS, comment


def data_dictionary() -> str:
    """Markdown of every table: what a row is, its columns, their Arrow types, which are never NULL."""
    contents = "\n".join(f"- [{name}](#{name}): {_about(schema)}" for name, schema in SCHEMAS.items())
    parts = [
        "# Tables",
        "Rendered from `fer_batch/storage/tables.py` by `fer-batch schemas --write schemas`. How engines read "
        "them, and the questions in [queries/](queries): [docs/sql.md](../docs/sql.md).",
        contents,
    ]
    for name, schema in SCHEMAS.items():
        rows = [_row(field) for field in schema]
        rows += [f"| `{key}` | string, never NULL | partition: a folder `{key}=...` |" for key in PARTITIONS[name]]
        parts.append(f"## {name}\n\n{_about(schema)}")
        parts.append("\n".join(["| column | type | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _about(schema: pa.Schema) -> str:
    return (schema.metadata or {})[b"comment"].decode()


def _row(field: pa.Field) -> str:
    dtype = f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)
    note = comment(field).replace("|", "\\|")
    return f"| `{field.name}` | {dtype}{'' if field.nullable else ', never NULL'} | {note} |"
