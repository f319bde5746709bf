"""What an output holds and what is still to come, from its markers and small tables."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from fer_batch.storage.heartbeat import Sign, Work, read_signs, sign_lines
from fer_batch.storage.manifest import STAGE, Ledger, is_begun
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store
from fer_batch.types import STATUSES, InputError, input_id

SHOWN_FAILURES = 20


def status(store: Store) -> dict[str, Any]:
    """Partitions with their inputs by status, failures with reasons, unpublished work, and runs.

    Raises
    ------
    InputError
        If there is no output.
    """
    signs = read_signs(store)
    if not signs and not store.exists("tables") and not is_begun(store):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has neither 'tables' nor '_commits'")
    ledger = Ledger(store)
    keys = ["dataset", "model", "explain"]
    sequences = read(store, "sequences", columns=["sequence_id", "status", "reason", "n_frames", *keys]).to_pylist()
    runs = read(store, "runs", columns=["run_id", "started_at", "finished_at", "counts", *keys]).to_pylist()
    partitions = sorted({tuple(row[key] for key in keys) for row in sequences + runs})
    found = []
    for partition in partitions:
        own = [row for row in sequences if tuple(row[key] for key in keys) == partition]
        ids = {row["sequence_id"] for row in own}
        # People beside the first are sequences, not inputs; one that failed has failed its input.
        inputs = {row["sequence_id"]: row for row in own if input_id(row["sequence_id"], ids) == row["sequence_id"]}
        inputs |= {input_id(row["sequence_id"], ids): row for row in own if row["status"] == "failed"}
        counts = Counter(row["status"] for row in inputs.values())
        last = max(
            (row for row in runs if tuple(row[key] for key in keys) == partition),
            key=lambda row: row["started_at"],
            default=None,
        )
        found.append(
            {
                **dict(zip(keys, partition, strict=True)),
                **{status: counts[status] for status in STATUSES},
                "n_sequences": len(own),
                "n_frames": sum(row["n_frames"] or 0 for row in own),
                "failures": {row["sequence_id"]: row["reason"] for row in own if row["status"] == "failed"},
                "partials": {
                    row["sequence_id"]: row["reason"] for row in inputs.values() if row["status"] == "partial"
                },
                "last_run": last
                and {
                    "run_id": last["run_id"],
                    "started_at": last["started_at"].isoformat(timespec="seconds"),
                    "finished_at": last["finished_at"] and last["finished_at"].isoformat(timespec="seconds"),
                    "counts": last["counts"] and json.loads(last["counts"]),
                },
            }
        )
    return {
        "output": store.uri,
        "runs": [{**asdict(sign), "state": sign.state} for sign in signs],
        "partitions": found,
        "studies": _studies(store),
        "units_committed_not_published": len(ledger.waiting - ledger.planned_units())
        + sum(len(plan.units) for name, plan in ledger.plans.items() if name not in ledger.shards),
        "units_begun": len(set(store.names(STAGE)) - ledger.committed),
    }


def _studies(store: Store) -> list[dict[str, Any]]:
    """Studies with their cells by status, and why cells failed."""
    rows = read(store, "study_cells", columns=["study", "network", "fold", "variant", "status", "reason"]).to_pylist()
    found = []
    for name in sorted({row["study"] for row in rows}):
        own = [row for row in rows if row["study"] == name]
        counts = Counter(row["status"] for row in own)
        failures = {_cell_title(row): row["reason"] for row in own if row["status"] == "failed"}
        cells = {status: counts[status] for status in ("done", "failed", "waiting")}
        found.append({"study": name, **cells, "failures": failures})
    return found


def _cell_title(row: dict[str, Any]) -> str:
    fold = "" if row["fold"] is None else f", fold {row['fold']}"
    return f"{row['network']}{fold}, {row['variant']}"


def status_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    known = [{name: value for name, value in run.items() if name != "state"} for run in found["runs"]]
    signs = [Sign(**{**run, "work": Work(**run["work"])}) for run in known]
    lines = [found["output"], *sign_lines(signs)]
    goes_on = {run_id for sign in signs if sign.state == "running" for run_id in sign.run_ids}
    for part in found["partitions"]:
        lines.append(f"  dataset={part['dataset']} model={part['model']} explain={part['explain']}")
        lines.append(
            f"    {', '.join(f'{part[status]} {status}' for status in STATUSES)}; "
            f"{part['n_sequences']} sequences, {part['n_frames']} frames"
        )
        for status, named in (("failed", part["failures"]), ("partial", part["partials"])):
            lines += [f"    {status} {name}: {reason}" for name, reason in sorted(named.items())[:SHOWN_FAILURES]]
            if len(named) > SHOWN_FAILURES:
                lines.append(f"    ... and {len(named) - SHOWN_FAILURES} more (fer-batch query OUT failed)")
        run = part["last_run"]
        if run:
            open_end = "still goes on" if run["run_id"] in goes_on else "did not finish"
            end = f"finished {run['finished_at']}" if run["finished_at"] else open_end
            lines.append(f"    last run {run['run_id']} started {run['started_at']}, {end}")
    for study in found["studies"]:
        counts = ", ".join(f"{study[name]} {name}" for name in ("done", "failed", "waiting"))
        lines.append(f"  study {study['study']}: cells {counts}")
        lines += [f"    failed {name}: {reason}" for name, reason in list(study["failures"].items())[:SHOWN_FAILURES]]
    if found["units_committed_not_published"]:
        lines.append(f"  {found['units_committed_not_published']} units are explained and wait for their tables")
    if found["units_begun"]:
        lines.append(f"  {found['units_begun']} units were begun and not finished; run the job again")
    return "\n".join(lines)
