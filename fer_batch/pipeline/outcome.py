"""How a run ended: its inputs by status, counted in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.plans import owners
from fer_batch.pipeline.explaining.units import NO_FACE, NO_FRAME
from fer_batch.pipeline.plan import Plan, waiting_inputs
from fer_batch.pipeline.progress import say
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import STATUSES, input_id

if TYPE_CHECKING:
    from fer_batch.pipeline.estimate import Estimate

PLAIN: Row = {"status": "done", "reason": None}
BEST_FIRST = ("done", "skipped", "partial", "failed")


@dataclass
class Outcome:
    """How a run ended, or one of its explanations.

    Attributes
    ----------
    found, done, partial, failed, skipped
        Inputs of the listing by their status: found = done + partial + failed + skipped. Of several explanations, an
        input has the worst of its statuses.
    already_done
        Inputs that earlier runs had finished for every explanation, of any status.
    failures, partials
        `(sequence_id, reason)` of failed and of partial inputs.
    n_changed
        Inputs that changed while they were read; they have no new rows, and the next run does them.
    n_faceless
        Inputs that are done and show no face.
    n_outside
        Inputs that are done and have no frame in the sampling window.
    partitions
        Where the rows of each explanation are.
    reports
        URL of the report page of each, where there is one.
    estimate
        Of a dry run, where something waits that can be read.
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
    partitions: tuple[Partition, ...] = ()
    reports: list[str] = field(default_factory=list)
    estimate: Estimate | None = None

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where inputs failed, were read in part or changed while they were read."""
        return 3 if self.failed or self.partial or self.n_changed else 0

    @property
    def partition(self) -> Partition | None:
        """Where the rows of the first explanation are."""
        return self.partitions[0] if self.partitions else None

    @property
    def report(self) -> str | None:
        """The report page of the first explanation."""
        return self.reports[0] if self.reports else None

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> Outcome:
        """Of explanations that have just begun."""
        found = len(plans[0].refs)
        already_done = found - len(waiting_inputs(plans))
        return cls(found=found, already_done=already_done, partitions=tuple(plan.partition for plan in plans))

    def counts(self) -> dict[str, int]:
        """The counts as table `runs` has them."""
        return {name: getattr(self, name) for name in ("found", *STATUSES, "already_done")}


def count(outcome: Outcome, store: Store, plans: Sequence[Plan], ledger: Ledger | None = None) -> list[Outcome]:
    """Count every input of the listing by its status, as the markers of shards say it and commits that wait for theirs.

    Parameters
    ----------
    outcome
        Whose counts are set; `found` falls to the inputs with a status where others wait for phase 1.
    store, plans
        Of the run.
    ledger
        Of the output as it is now, where it is read already.

    Returns
    -------
    list of Outcome
        Of each explanation by itself.
    """
    now = ledger or Ledger(store)
    tables = [_rows_of_inputs(store, plan, now) for plan in plans]
    n_waiting = _tally(outcome, _worst(tables))
    if n_waiting > outcome.n_changed:
        say(f"{n_waiting - outcome.n_changed} inputs wait for a run whose phases include explain")
    own = [Outcome.of([plan]) for plan in plans]
    for one, rows in zip(own, tables, strict=True):
        _tally(one, rows)
    return own


def _worst(tables: Sequence[Mapping[str, Row]]) -> Mapping[str, Row]:
    """Of each input that every explanation has a row of, the row with the worst status."""
    if len(tables) == 1:
        return tables[0]
    known = set(tables[0]).intersection(*tables[1:])
    return {name: max((rows[name] for rows in tables), key=_badness) for name in known}


def _badness(row: Row) -> int:
    return BEST_FIRST.index(row["status"])


def _tally(outcome: Outcome, rows: Mapping[str, Row]) -> int:
    """Set the counts of an outcome from the rows of its inputs; how many inputs have none."""
    outcome.done = outcome.partial = outcome.failed = outcome.skipped = 0
    outcome.failures, outcome.partials, outcome.n_faceless, outcome.n_outside = [], [], 0, 0
    for sequence_id in sorted(rows):
        _count_input(outcome, sequence_id, rows[sequence_id])
    n_waiting, outcome.found = outcome.found - len(rows), len(rows)
    return n_waiting


def _rows_of_inputs(store: Store, plan: Plan, ledger: Ledger) -> Mapping[str, Row]:
    """The row that says how an input of the listing ended, by input."""
    inputs = {ref.sequence_id for ref in plan.refs}
    rows = published_rows(store, plan.partition, ledger)
    for _, commit in ledger.each_commit(ledger.waiting):
        rows.update({row["sequence_id"]: row for row in commit.sequences if row["identity"] in plan.listed})
    for sequence_id, row in list(rows.items()):
        if row["status"] == "failed":  # an input has failed where one of its people has
            rows[input_id(sequence_id, inputs)] = row
    for name in rows.keys() - inputs:
        del rows[name]
    return rows


def published_rows(store: Store, partition: Partition, ledger: Ledger) -> dict[str, Row]:
    """Status and reason of every published sequence; tables are opened only where an earlier version wrote a marker.

    Parameters
    ----------
    store, partition
        Of the sequences.
    ledger
        Of the output.
    """
    shards = {name: marker for name, marker in ledger.shards.items() if marker.partition == partition}
    if any(marker.notable is None for marker in shards.values()):
        table = PartitionReader(store, partition).table("sequences", ["sequence_id", "status", "reason"])
        return {row["sequence_id"]: row for row in table.to_pylist()}
    rows: dict[str, Row] = {}
    for sequence, shard in owners(ledger, partition).items():
        notable = shards[shard].notable if shard in shards else None
        if notable is None:  # not published yet
            continue
        status, reason = notable.get(sequence, ("done", None))
        if status:
            rows[sequence] = {"status": status, "reason": reason} if sequence in notable else PLAIN
    return rows


def _count_input(outcome: Outcome, sequence_id: str, row: Row) -> None:
    status, reason = row["status"], row.get("reason")
    setattr(outcome, status, getattr(outcome, status) + 1)
    outcome.n_faceless += status == "done" and reason == NO_FACE
    outcome.n_outside += status == "done" and reason == NO_FRAME
    if status in ("failed", "partial"):
        named = outcome.failures if status == "failed" else outcome.partials
        named.append((sequence_id, reason or "no reason was recorded"))
