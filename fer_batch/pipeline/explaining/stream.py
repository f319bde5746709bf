"""Phase 1 on Ray Data: units in, stage files and commit markers out.

    unit -> decode_unit (CPU tasks) -> ExplainStage (model actors) -> write_chunk (CPU tasks) -> markers (driver)

Decode uses `flat_map` and the actors ask for no CPU, so that Ray fuses nothing and cannot deadlock on a laptop.
"""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fer_batch.pipeline.explaining.chunk import SequenceRow
from fer_batch.pipeline.explaining.dataset import pipelines
from fer_batch.pipeline.explaining.decode import MANY_ABSENT, absent_text
from fer_batch.pipeline.explaining.sink import patiently_put
from fer_batch.pipeline.explaining.units import ExplanationRefused, Unit
from fer_batch.pipeline.metrics import count
from fer_batch.pipeline.progress import event, note_error
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.truth import truth_record
from fer_batch.storage.manifest import COMMITS, STAGE
from fer_batch.storage.markers import Commit, ExplainCost
from fer_batch.storage.packed import Written
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import READ, EnvironmentFault

MANY_FAULTS = 64  # in a row, after which a run does not try the rest of a collection


class Bookkeeping:
    """Chunks of one explanation that have arrived; a unit is committed when all of them are in."""

    def __init__(self, store: Store, partition: Partition, run_id: str, units: Iterable[Unit]) -> None:
        self.store, self.partition, self.run_id = store, partition, run_id
        self.units = {unit.unit_id: unit for unit in units}
        self.seen: dict[str, set[int]] = {}
        self.final: dict[str, tuple[int, int, list[SequenceRow]]] = {}
        self.costs: dict[str, dict[int, ExplainCost]] = {}  # by unit and chunk
        self.faults: list[str] = []
        self.changed: list[str] = []
        self._absent: dict[str, list[SequenceRow]] = {}  # by unit, since the last one that was read
        self._n_faults_in_a_row = 0
        self._written = Written(store, COMMITS)

    def add(self, row: Mapping[str, Any]) -> list[SequenceRow] | None:
        """Take one row of `write_chunk`; the rows of table `sequences` if that completed and committed the unit."""
        unit_id, index = row["unit_id"], int(row["index"])
        if unit_id not in self.units:
            return None  # a retried task sent again what is committed already
        self.seen.setdefault(unit_id, set()).add(index)
        self.costs.setdefault(unit_id, {})[index] = ExplainCost.model_validate_json(row["cost"])
        if row["last"] and not self._take_last(row):
            return None
        if unit_id not in self.final:
            return None
        last, n_files, sequences = self.final[unit_id]
        return self._close(unit_id, n_files, sequences) if self.seen[unit_id] == set(range(last + 1)) else None

    def _take_last(self, row: Mapping[str, Any]) -> bool:
        """Remember what the last chunk of a unit says; False where the unit could not be read."""
        unit_id = row["unit_id"]
        if row["fault"]:
            self._fault(row["fault"])
            self.seen.pop(unit_id)
            return False
        self.changed += pickle.loads(row["changed"])
        n_files = int(row["index"]) + bool(row["n_frames"])  # a chunk without frames has no stage file
        self.final[unit_id] = (int(row["index"]), n_files, pickle.loads(row["sequences"]))
        return True

    def _close(self, unit_id: str, n_files: int, sequences: list[SequenceRow]) -> list[SequenceRow] | None:
        """Commit a unit of which every chunk is in, or hold it where all of its inputs are gone."""
        if not sequences:  # all of it changed; what it is now is a new unit
            self.units.pop(unit_id)
            self.store.delete(f"{STAGE}/{unit_id}")
            return None
        if all(sequence.get("absent") for sequence in sequences):
            self._hold(unit_id, sequences)
            return None
        if not any(sequence["status"] in READ for sequence in sequences):  # says nothing of the source
            return self._commit(unit_id, n_files, sequences)
        self._n_faults_in_a_row = 0
        return [*self.settle(), *self._commit(unit_id, n_files, sequences)]

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)
        self._n_faults_in_a_row += 1
        if self._n_faults_in_a_row == MANY_FAULTS:
            raise EnvironmentFault(f"nothing could be read {MANY_FAULTS} times in a row: {fault}")

    def _hold(self, unit_id: str, sequences: list[SequenceRow]) -> None:
        """Wait with inputs that are gone: the next that is read shows that the source is there."""
        self._absent[unit_id] = sequences
        n = sum(map(len, self._absent.values()))
        if n >= MANY_ABSENT:
            raise StoreFault(f"{absent_text(n, sequences[-1]['uri'])}; see that the source is mounted")

    def settle(self) -> list[SequenceRow]:
        """Commit inputs that are gone as failed; their rows, as of `add`."""
        held, self._absent = self._absent, {}
        return [row for unit_id, sequences in held.items() for row in self._commit(unit_id, 0, sequences)]

    def _commit(self, unit_id: str, n_files: int, sequences: list[SequenceRow]) -> list[SequenceRow]:
        unit = self.units.pop(unit_id)
        # An input of which several people are followed has a row for each, all under its identity.
        identities = {ref.sequence_id: own for ref, own in zip(unit.members, unit.identities, strict=True)}
        rows: list[SequenceRow] = []
        for row in sequences:
            source = row.get("input", row["sequence_id"])
            rows.append(
                {**row, "input": source, "unit_id": unit_id, "run_id": self.run_id, "identity": identities[source]}
            )
        read = {row["input"] for row in rows}  # a still of a pack that changed is not among them
        commit = Commit(
            unit_id=unit_id,
            partition=self.partition,
            n_files=n_files,
            sequences=tuple(rows),
            sources=tuple(truth_record(ref) for ref in unit.members if ref.sequence_id in read),
            explain_cost=sum(self.costs.pop(unit_id, {}).values(), ExplainCost()),
        )
        text = commit.to_json()
        patiently_put(self.store, f"{COMMITS}/{unit_id}.json", text)
        for path, segment in self._written.add(unit_id, text):
            patiently_put(self.store, path, segment)
        return rows


class JointBookkeeping:
    """The books of every explanation of a job; an input is finished when the last that lacked it has it.

    Parameters
    ----------
    books
        Of each explanation.
    names
        Place of each in the job, and what an error calls it; empty for the only one.

    Attributes
    ----------
    faults
        Why a unit could not be read, by its first input.
    """

    def __init__(self, books: Sequence[Bookkeeping], names: Sequence[tuple[int, str]]) -> None:
        self.books, self.names = tuple(books), tuple(names)
        self.faults: dict[str, str] = {}
        self._lacking = Counter(ref.sequence_id for own in books for unit in own.units.values() for ref in unit.members)

    @property
    def changed(self) -> list[str]:
        """Inputs that changed while they were read."""
        return sorted({name for own in self.books for name in own.changed})

    def add(self, row: Mapping[str, Any]) -> int:
        """Take one row of `write_chunk`; the number of inputs that are finished by it.

        Raises
        ------
        ExplanationRefused
            If its explanation cannot be made.
        """
        k = int(row["explanation"])
        if row["problem"]:
            place, name = self.names[k]
            raise ExplanationRefused(place, f"{name}: {row['problem']}" if name else row["problem"])
        own = self.books[k]
        unit = own.units.get(row["unit_id"])
        if row["fault"] and unit is not None:
            self.faults[unit.members[0].sequence_id] = row["fault"]
            count("fer_batch_faults", 1)
            note_error(f"{unit.members[0].sequence_id}: {row['fault']}")
        return self._finished(own.add(row) or (), own.partition)

    def settle(self) -> int:
        """Commit inputs that are gone as failed; the number of inputs that are finished by it."""
        return sum(self._finished(own.settle(), own.partition) for own in self.books)

    def _finished(self, rows: Sequence[SequenceRow], partition: Partition) -> int:
        _tell(rows, partition)
        inputs = {row["input"] for row in rows}
        self._lacking.subtract(inputs)
        return sum(self._lacking[name] == 0 for name in inputs)


def _tell(rows: Sequence[SequenceRow], partition: Partition) -> None:
    """A line for machines of each unit that was committed, and its inputs by status for the exporter."""
    for unit_id, own in itertools.groupby(rows, key=lambda row: row["unit_id"]):
        members = [row for row in own if row["input"] == row["sequence_id"]]  # not people beside the first
        statuses = Counter(row["status"] for row in members)
        for status, n in statuses.items():
            count("fer_batch_inputs", n, status=status)
        for row in members:
            if row["status"] == "failed":
                note_error(f"{row['sequence_id']}: {row.get('reason')}")
        first = members[0]
        event(
            "unit",
            unit_id=unit_id,
            **partition.key,
            input=first["sequence_id"],
            kind=first.get("kind"),
            n_inputs=len(members),
            statuses=statuses,
            n_frames=sum(row.get("n_frames") or 0 for row in members),
            reasons={row["sequence_id"]: row["reason"] for row in members if row.get("reason")},
        )


def explain_units(
    units: Sequence[Unit],
    books: JointBookkeeping,
    make_dataset: Callable[[Sequence[Unit]], Any],
    window: int | None,
    progress: Callable[[int, int], None],
) -> None:
    """Run phase 1 over all units and commit each as soon as it is whole.

    Parameters
    ----------
    units
        Of `joint_units`.
    books
        Of the explanations.
    make_dataset
        `dataset.dataset_of` the units of a pipeline.
    window
        Units of a pipeline, at most.
    progress
        Told how many more inputs are finished, and how many frames were explained.

    Raises
    ------
    ExplanationRefused
        If the model or a method cannot do what the job asks.
    EnvironmentFault
        If the store or the machine failed for some inputs; they are not committed and the next run takes them up.
    """
    for own in pipelines(units, window):
        for batch in make_dataset(own).iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
            for index in range(len(batch["unit_id"])):
                row = {key: values[index] for key, values in batch.items()}
                progress(books.add(row), int(row["n_frames"]))
    progress(books.settle(), 0)
    if books.faults:
        first = next(iter(books.faults.values()))
        raise EnvironmentFault(
            f"{len(books.faults)} units could not be read and will be tried again by the next run: {first}"
        )
    lost = [unit_id for own in books.books for unit_id in own.units]
    if lost:
        raise RuntimeError(f"{len(lost)} units did not come back from phase 1, such as {lost[0]}")
