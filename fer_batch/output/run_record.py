"""The row of table `runs`: what was asked, what computed it, and how it ended."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import platform
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow.compute as pc
from pydantic import BaseModel

from fer_batch import __version__
from fer_batch.storage.parquet import Partition, read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

# Whatever a result can depend on; the test of this module compares them with what the package imports.
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "ray",
    "dask",
    "zennit",
    "av",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "pyarrow",
    "opencv-python-headless",
    "pillow",
)


class RunRecord:
    """One row; without an end while the run goes on, and for ever if it was killed.

    Parameters
    ----------
    store, where
        The output, and the partition that the run is of.
    config
        The job.
    known
        Further columns.
    """

    def __init__(self, store: Store, where: Partition, config: BaseModel, **known: Any) -> None:
        self.store, self.where, self.config, self.known = store, where, config, known
        self.started = dt.datetime.now(dt.UTC)
        self.run_id = self.started.strftime("%Y%m%dT%H%M%S-") + uuid.uuid4().hex[:6]

    def write(self, counts: dict[str, int] | None) -> None:
        """Write or replace it; `counts` where the run has ended."""
        row = {
            "run_id": self.run_id,
            "started_at": self.started,
            "finished_at": dt.datetime.now(dt.UTC) if counts else None,
            "config": self.config.model_dump_json(),
            "versions": json.dumps(versions()),
            "counts": json.dumps(counts) if counts else None,
            **self.known,
        }
        put_table(self.store, f"{self.where.folder('runs')}/{self.run_id}.parquet", rows_of("runs", [row]))

    def count(self) -> None:
        """Take down how many inputs and frames of table `sequences` this run did, and how fast it explained them."""
        own = pc.field("run_id") == self.run_id
        found = read(self.store, "sequences", **self.where.key, columns=["sequence_id", "uri", "n_frames"], filters=own)
        # People of one input are rows of the same file.
        n_inputs = len(set(pc.coalesce(found["uri"], found["sequence_id"]).to_pylist()))
        n_frames = pc.sum(found["n_frames"]).as_py() or 0
        self.known |= {"n_inputs": n_inputs, "n_frames": n_frames}
        if seconds := self.known.get("explain_seconds"):
            self.known["frames_per_second"] = n_frames / seconds


@contextmanager
def timed(records: Sequence[RunRecord], phase: str) -> Iterator[None]:
    """Take down in some records what the block takes, as `<phase>_seconds`."""
    start = time.monotonic()
    yield
    for record in records:
        record.known[f"{phase}_seconds"] = time.monotonic() - start


def versions() -> dict[str, str]:
    """What computes the results, by package."""
    versions = {"fer_batch": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
