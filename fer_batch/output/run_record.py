"""The row of table `runs`: what was asked, what computed it, and how it ended."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import platform
import uuid
from typing import Any

from pydantic import BaseModel

from fer_batch import __version__
from fer_batch.storage.parquet import Partition, rows_of
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


def versions() -> dict[str, str]:
    """What computes the results, by package."""
    versions = {"fer_batch": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
