"""What comparisons stand on: the cells of a study with their rows, maps and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.config import Study, TrainConfig
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.training.outcome import TrainOutcome
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.parquet import unpack_maps
from fer_batch.storage.store import Store

_MAP = ("frame_index", "target", "height", "width", "scale", "relevance")


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Attributes
    ----------
    varied
        What distinguishes it, dotted key to value.
    config, outcome
        Its job, and how it ended.
    networks
        One a fold.
    """

    varied: Mapping[str, object]
    config: TrainConfig
    outcome: TrainOutcome
    networks: tuple[StudyNetwork, ...]

    @property
    def title(self) -> str:
        """In words: the name of its job, and what varies."""
        return training_title(self.config, self.varied)


def training_title(config: TrainConfig, varied: Mapping[str, object]) -> str:
    """A training in words: the name of its job, and what varies."""
    shown = ", ".join(f"{key}={value}" for key, value in varied.items())
    return f"{config.name} ({shown})" if shown else config.name


@dataclass(frozen=True)
class Image:
    """One image with its maps.

    Attributes
    ----------
    sequence_id, frame_index, subject_id
        What it is of.
    maps
        By target, each of shape (h, w), float32, logit units.
    """

    sequence_id: str
    frame_index: int
    subject_id: str | None
    maps: Mapping[str, NDArray[np.float32]]

    @property
    def key(self) -> tuple[str, int]:
        """What it is known by."""
        return self.sequence_id, self.frame_index


@dataclass(frozen=True)
class StudyWork:
    """A study whose cells have run.

    Attributes
    ----------
    store, study
        The output, and what was asked.
    trainings
        Empty where networks were given.
    cells, panel
        All cells, and those over the stills of another dataset.
    start
        Starts Ray where it does not run yet; gives the number of CPUs.
    """

    store: Store
    study: Study
    trainings: tuple[Training, ...]
    cells: tuple[Cell, ...]
    panel: tuple[Cell, ...] = ()
    start: Callable[[], int] = field(default=lambda: 1, repr=False)

    @property
    def done(self) -> list[Cell]:
        """Cells that have maps."""
        return [cell for cell in self.cells if cell.status == "done"]

    @property
    def variants(self) -> list[str]:
        """Explanations that any cell has, in their order."""
        return list(dict.fromkeys(cell.variant for cell in self.done))

    def of_variant(self, variant: str) -> list[Cell]:
        """Cells of one explanation, by network."""
        return [cell for cell in self.done if cell.variant == variant]

    def shown(self) -> list[StudyNetwork]:
        """The networks whose pictures are shown: the best fold of each training, and each that was given."""
        found = {cell.network.title: cell.network for cell in self.done if cell.network.best}
        return list(found.values())

    def of_network(self, network: StudyNetwork, cells: Sequence[Cell] | None = None) -> dict[str, Cell]:
        """Cells of one network, by explanation."""
        among = self.done if cells is None else cells
        return {cell.variant: cell for cell in among if cell.network.title == network.title}

    def images(self, cell: Cell, wanted: set[tuple[str, int]] | None = None) -> Iterator[Image]:
        """The images of a cell with their maps, sequence by sequence; those that are wanted, where that is said."""
        sequences = None if wanted is None else {sequence for sequence, _ in wanted}
        for shard in PartitionReader(self.store, cell.partition).shards():
            for row in shard.sequences:
                if sequences is not None and row["sequence_id"] not in sequences:
                    continue
                rows = shard.of(row["sequence_id"])("relevance", _MAP)
                for frame in sorted(set(rows["frame_index"].to_pylist())):
                    if wanted is not None and (row["sequence_id"], frame) not in wanted:
                        continue
                    own = rows.filter(pc.equal(rows["frame_index"], frame))
                    maps = dict(zip(own["target"].to_pylist(), unpack_maps(own), strict=True))
                    yield Image(row["sequence_id"], frame, row["subject_id"], maps)

    def explained(self, network: StudyNetwork) -> NDArray[np.int64]:
        """Rows of a network's samples that were explained, ascending."""
        from fer_batch.pipeline.study.choose import chosen

        return chosen(network, self.study.config.runs.choose)


def faces(network: StudyNetwork, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Crops of some of a network's samples, shape (n, size, size, 3), uint8, RGB."""
    numbers = network.samples["row"].to_numpy()[np.asarray(rows, np.int64)]
    return open_crops(network.crops).images(numbers.tolist())
