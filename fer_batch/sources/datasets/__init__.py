"""Adapters of annotated datasets, a module each: listing, readers of ground truth, and the record that joins them.

Every module here is imported with this package. A new dataset is a module here and a job in `jobs/`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from fer_batch.sources.dataset import DATASETS


def import_adapters(path: Iterable[str], package: str) -> list[str]:
    """Import every module of a package, each of which registers a dataset; gives their names.

    Raises
    ------
    ImportError
        If one registers no dataset with a listing of its own.
    """
    names = [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]
    for name in names:
        importlib.import_module(name)
        if not any(record.listing.__module__ == name for record in DATASETS.values()):
            raise ImportError(f"{name} registers no dataset; expected a fer_batch.sources.dataset.Dataset of its own")
    return names


import_adapters(__path__, __name__)
