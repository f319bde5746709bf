"""Published tables in the formats of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType

from fer_batch.output.reader import partitions
from fer_batch.pipeline.export.openface import to_openface
from fer_batch.pipeline.export.virelay import to_virelay
from fer_batch.registry import nearest
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError

FORMATS: MappingProxyType[str, Callable[[Store, list[Partition], Store], list[str]]] = MappingProxyType(
    {"openface-csv": to_openface, "virelay": to_virelay}
)
MARKER = "fer_batch_export.json"  # says that a folder is ours to write into again


def export_output(out: str, to: str, folder: str) -> list[str]:
    """Write what an output holds into a folder.

    Parameters
    ----------
    out
        The output.
    to
        A name of `FORMATS`.
    folder
        Empty, absent, or an earlier export of the same kind, whose files are overwritten and never removed.

    Returns
    -------
    list of str
        What was written, a line for each part.

    Raises
    ------
    InputError
        If the format is unknown, the output has nothing to export, or the folder holds anything else.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to!r} is unknown; {nearest(to, FORMATS)}")
    store, target = Store(out), Store(folder)
    everything = partitions(store)
    found = [partition for partition in everything if partition.explain != "none"]  # a training has no frames
    if everything and not found:
        raise InputError(f"{out!r} holds a training: there are no frames or maps in it to export")
    if not found:
        raise InputError(f"{out!r} has no published tables yet; run the job first")
    _claim(target, to)
    return FORMATS[to](store, found, target)


def _claim(target: Store, to: str) -> None:
    """Mark a folder as an export; refuse one that holds anything else."""
    if target.exists(MARKER):
        earlier = json.loads(target.read_bytes(MARKER)).get("to")
        if earlier != to:
            raise InputError(f"{target.uri!r} holds an export to {earlier}; name another folder for {to}")
        return
    folders, files = target.children()
    if folders or files:
        raise InputError(f"{target.uri!r} is neither empty nor an earlier export; name a new folder")
    target.check_writable()
    target.put(MARKER, json.dumps({"to": to}).encode())
