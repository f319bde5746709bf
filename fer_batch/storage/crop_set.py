"""A set of face crops that was cut once: shards `<name>.npy` of pixels, `<name>.parquet` of rows, and `crops.json`.

A training cuts them for every epoch to read, a study for every cell to explain. Any crop can be read by its number, so
nothing is decoded a second time.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.storage.manifest import json_of
from fer_batch.storage.parquet import decode
from fer_batch.storage.store import Store
from fer_batch.types import InputError

_HEADER = 256  # bytes that hold the header of a .npy file of a few axes


class CropSet:
    """A folder of crops.

    Parameters
    ----------
    uri
        Local path or URL of the folder.

    Raises
    ------
    InputError
        If it is no finished crop set.
    """

    def __init__(self, uri: str) -> None:
        self.store = Store(uri)
        if not self.store.exists("crops.json"):
            raise InputError(f"{uri!r} is no crop set: it has no file 'crops.json'; a training or study writes one")
        found = json_of(self.store, "crops.json", ("shards", "size"))
        self.shards: tuple[str, ...] = tuple(found["shards"])
        self.size: int = found["size"]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Number of the first crop of every shard, and of all crops, shape (shards + 1,), int64."""
        counts = [self._layouts[name][1] for name in self.shards]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)

    def table(self) -> pa.Table:
        """Rows of all crops, in their order."""
        return pa.concat_tables([self.shard_rows(name) for name in self.shards], promote_options="default")

    def inputs(self) -> pa.Table:
        """Rows of table `sequences` of the inputs, with `dataset`."""
        return decode(self.store.read_bytes("inputs.parquet"))

    def shard_rows(self, name: str) -> pa.Table:
        """Rows of the crops of one shard."""
        return decode(self.store.read_bytes(f"{name}.parquet"))

    def place(self, number: int) -> tuple[str, int]:
        """Shard of a crop, and its row there.

        Raises
        ------
        ValueError
            If there is no such crop.
        """
        if not 0 <= number < self.starts[-1]:
            raise ValueError(f"the crop set {self.store.uri} has crops 0 to {self.starts[-1] - 1}, got {number}")
        shard = int(np.searchsorted(self.starts, number, "right")) - 1
        return self.shards[shard], int(number - self.starts[shard])

    def images(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Pixels of some crops, shape (n, size, size, 3), uint8, RGB; neighbours are read together."""
        found = np.empty((len(numbers), self.size, self.size, 3), np.uint8)
        places = [self.place(number) for number in numbers]
        start = 0
        for end in range(1, len(places) + 1):
            name, row = places[start]
            if end < len(places) and places[end] == (name, row + end - start):
                continue
            found[start:end] = self._read(name, row, end - start)
            start = end
        return found

    def _read(self, name: str, row: int, n: int) -> NDArray[np.uint8]:
        """Crops of one shard, from a row on."""
        n_bytes = self.size * self.size * 3
        begin = self._layouts[name][0] + row * n_bytes
        data = self.store.fs.cat_file(self.store.path(f"{name}.npy"), begin, begin + n * n_bytes)
        return np.frombuffer(data, np.uint8).reshape(n, self.size, self.size, 3)

    @cached_property
    def _layouts(self) -> dict[str, tuple[int, int]]:
        """First byte of the pixels of every shard, and how many crops it holds."""
        return {name: self._layout(name) for name in self.shards}

    def _layout(self, name: str) -> tuple[int, int]:
        head = io.BytesIO(self.store.fs.cat_file(self.store.path(f"{name}.npy"), 0, _HEADER))
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, _ = read(head)
        return head.tell(), int(shape[0])


@lru_cache(maxsize=4)
def open_crops(uri: str) -> CropSet:
    """The crop set of a folder, opened once a process."""
    return CropSet(uri)


@lru_cache(maxsize=2)
def shard_table(uri: str, name: str) -> pa.Table:
    """Rows of a shard of a crop set, read once while a worker goes through it."""
    return open_crops(uri).shard_rows(name)
