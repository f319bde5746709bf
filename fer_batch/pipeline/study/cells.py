"""The cells of a study: a network under one explanation, keyed by what it is made of, so that studies share them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fer_batch.config import RunConfig, Study
from fer_batch.pipeline.explaining.units import partition_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

PATH = "tables/study_cells"


@dataclass(frozen=True)
class Cell:
    """One network under one explanation.

    Attributes
    ----------
    network
        Who explains.
    varied
        What varies in its run, dotted key to value.
    job
        The run; None where the network had nothing to explain.
    variant
        What its explanation is called over all networks: the method, and what else varies.
    status
        `done`, `failed`, or `waiting`.
    reason
        Why it failed, or what to know of it.
    seconds, n_images
        That the explanation itself took, and the images that it explained; None where it was not measured.
    rate
        Seconds an image, without the first call of each process where there are others.
    """

    network: StudyNetwork
    varied: Mapping[str, object]
    variant: str
    job: RunConfig | None = None
    status: str = "waiting"
    reason: str | None = None
    seconds: float | None = None
    n_images: int | None = None
    rate: float | None = None

    @property
    def partition(self) -> Partition:
        """Where its rows are.

        Raises
        ------
        ValueError
            If it has no run.
        """
        if self.job is None:
            raise ValueError(f"cell {self.title} has no run")
        return partition_of(self.job, self.network.model)

    @property
    def key(self) -> str:
        """What it is known by: the same in every study whose network explains the same in the same way."""
        if self.job is None:
            return digest([self.network.model.digest, self.network.fold, dict(self.varied)])
        return digest(self.partition.key)

    @property
    def method(self) -> str:
        """The explanation method."""
        return self.job.explain.method if self.job else self.variant

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.network.title}, {self.variant}"

    def failed(self, reason: str) -> Cell:
        """The same cell, failed."""
        return replace(self, status="failed", reason=reason)


@dataclass(frozen=True)
class Lost:
    """A part of a study that could not be made.

    Attributes
    ----------
    title
        A training, or the name of a comparison.
    reason
        Why.
    varied
        What distinguishes the training, dotted key to value; None of a comparison.
    """

    title: str
    reason: str
    varied: Mapping[str, object] | None = None


def variants(varied: Sequence[Mapping[str, object]], methods: Sequence[str]) -> list[str]:
    """What the explanations of a study are called: by method where that is enough, else by what varies.

    Parameters
    ----------
    varied
        What varies in each, dotted key to value.
    methods
        Of each.
    """
    if len(set(methods)) == len(methods):
        return list(methods)
    named = []
    for cell, method in zip(varied, methods, strict=True):
        rest = {key: value for key, value in cell.items() if key not in ("explain.method", "explain")}
        if isinstance(section := cell.get("explain"), Mapping):
            rest |= {key: value for key, value in section.items() if key != "method"}
        words = {key.removeprefix("explain.").removeprefix("options."): _plain(value) for key, value in rest.items()}
        short = ", ".join(f"{key}={value}" for key, value in words.items())
        named.append(f"{method} ({short})" if short else method)
    return named


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, separators=(",", ":"))


def write_cells(store: Store, study: Study, cells: Sequence[Cell], lost: Sequence[Lost] = ()) -> None:
    """Write table `study_cells` of a study.

    Parameters
    ----------
    store
        The output.
    study
        What was asked.
    cells
        As far as they are.
    lost
        Trainings that could not be done, of which there are no cells.
    """
    rows: list[dict[str, object]] = [
        {
            "cell": cell.key,
            "network": cell.network.name,
            "fold": cell.network.fold,
            "method": cell.method,
            "variant": cell.variant,
            "varied": json.dumps({**cell.network.varied, **cell.varied}, default=str),
            "status": cell.status,
            "n_images": cell.n_images,
            "seconds": cell.seconds,
            "seconds_per_image": cell.rate,
            "reason": cell.reason,
            **({} if cell.job is None else cell.partition.key),
        }
        for cell in cells
    ]
    rows += [
        {"network": one.title, "varied": json.dumps(one.varied, default=str), "status": "failed", "reason": one.reason}
        for one in lost
        if one.varied is not None
    ]
    put_table(store, f"{PATH}/study={study.config.name}/cells.parquet", rows_of("study_cells", rows))


def read_cells(store: Store) -> list[dict[str, object]]:
    """Rows of table `study_cells` of every study of an output, with `study`."""
    return read(store, "study_cells").to_pylist()
