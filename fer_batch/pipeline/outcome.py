"""How a run ended: its inputs by status, counted in the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.explaining.units import NO_FACE, NO_FRAME
from fer_batch.pipeline.plan import Plan
from fer_batch.pipeline.progress import say
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import STATUSES, input_id


@dataclass
class Outcome:
    """How a run ended.

    Attributes
    ----------
    found, done, partial, failed, skipped
        Inputs of the listing by their status: found = done + partial + failed + skipped.
    already_done
        Inputs that an earlier run had finished, of any status.
    failures, partials
        `(sequence_id, reason)` of failed and of partial inputs.
    n_changed
        Inputs that changed while they were read; they have no new rows, and the next run does them.
    n_faceless
        Inputs that are done and show no face.
    n_outside
        Inputs that are done and have no frame in the sampling window.
    report
        Path of the report page, where one was written.
    """

    found: int = 0
    done: int = 0
    partial: int = 0
    failed: int = 0
    skipped: int = 0
    already_done: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    partials: list[tuple[str, str]] = field(default_factory=list)
    n_changed: int = 0
    n_faceless: int = 0
    n_outside: int = 0
    partition: Partition | None = None
    report: str | None = None

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where inputs failed, were read in part or changed while they were read."""
        return 3 if self.failed or self.partial or self.n_changed else 0

    @classmethod
    def of(cls, plan: Plan) -> Outcome:
        """Of a run that has just begun."""
        return cls(found=len(plan.refs), already_done=plan.already_done, partition=plan.partition)

    def counts(self) -> dict[str, int]:
        """The counts as table `runs` has them."""
        return {name: getattr(self, name) for name in ("found", *STATUSES, "already_done")}


def count(outcome: Outcome, store: Store, plan: Plan) -> None:
    """Count every input of the listing by its status, in the published table and in commits that wait for theirs.

    Parameters
    ----------
    outcome
        Whose counts are set; `found` falls to the inputs with a status where others wait for phase 1.
    store, plan
        Of the run.
    """
    inputs = {ref.sequence_id for ref in plan.refs}
    rows = _rows_of_inputs(store, plan, inputs)
    outcome.done = outcome.partial = outcome.failed = outcome.skipped = 0
    outcome.failures, outcome.partials, outcome.n_faceless, outcome.n_outside = [], [], 0, 0
    for sequence_id in sorted(inputs & set(rows)):
        _count_input(outcome, sequence_id, rows[sequence_id])
    known = outcome.done + outcome.partial + outcome.failed + outcome.skipped
    if known < outcome.found:
        if outcome.found - known > outcome.n_changed:
            say(f"{outcome.found - known - outcome.n_changed} inputs wait for a run whose phases include explain")
        outcome.found = known


def _rows_of_inputs(store: Store, plan: Plan, inputs: set[str]) -> Mapping[str, Row]:
    """The row of table `sequences` that says how an input ended, by input."""
    table = PartitionReader(store, plan.partition).table("sequences", ["sequence_id", "status", "reason"])
    rows: dict[str, Row] = {row["sequence_id"]: row for row in table.to_pylist()}
    ledger = Ledger(store)
    published = {unit_id for shard in ledger.shards.values() for unit_id in shard.units}
    for commit in ledger.commits(ledger.committed - published).values():
        rows.update({row["sequence_id"]: row for row in commit.sequences if row["identity"] in plan.listed})
    for sequence_id, row in list(rows.items()):
        if row["status"] == "failed":  # an input has failed where one of its people has
            rows[input_id(sequence_id, inputs)] = row
    return rows


def _count_input(outcome: Outcome, sequence_id: str, row: Row) -> None:
    status, reason = row["status"], row.get("reason")
    setattr(outcome, status, getattr(outcome, status) + 1)
    outcome.n_faceless += status == "done" and reason == NO_FACE
    outcome.n_outside += status == "done" and reason == NO_FRAME
    if status in ("failed", "partial"):
        named = outcome.failures if status == "failed" else outcome.partials
        named.append((sequence_id, reason or "no reason was recorded"))
