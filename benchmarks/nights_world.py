"""Tables of many nights without a network: people, rooms and days that differ, and drifts that can be planted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

HERE = Partition("ward", "net-00000001", "lrp-00000001")
TARGETS = ("AU01", "AU06", "AU12")
CHANCE = 0.3
STARTED = dt.datetime(2026, 1, 1, 1, 30, tzinfo=dt.UTC)
TABLES = (
    "sequences",
    "frames",
    "detections",
    "runs",
    "prototypes",
    "cluster_looks",
    "temporal_prototypes",
    "annotations",
)


@dataclass(frozen=True)
class Plan:
    """What nights there are, and in which of them something is planted.

    Attributes
    ----------
    n_nights, n_people, n_frames
        People a night, of a pool of 60, and frames of each.
    elsewhere
        Nights in which the relevance of AU12 lies where chance would put it, in a look of its own; answers stay.
    unsure
        Nights in which AU12 is less probable where it is active, and its relevance lies elsewhere too.
    faceless
        Nights in which a third of the frames show no face.
    failing
        Nights in which every second clip is cut off.
    annotated
        Whether AU12 is annotated.
    """

    n_nights: int = 24
    n_people: int = 8
    n_frames: int = 20
    elsewhere: Collection[int] = ()
    unsure: Collection[int] = ()
    faceless: Collection[int] = ()
    failing: Collection[int] = ()
    annotated: bool = False
    seed: int = 0
    rows: dict[str, list[dict]] = field(default_factory=lambda: {name: [] for name in TABLES})


def write_nights(root: str, plan: Plan) -> Store:
    """Publish the tables of a plan in an output."""
    rng = np.random.default_rng(plan.seed)
    for night in range(plan.n_nights):
        _night(plan, night, rng)
    store = Store(root)
    for name, rows in plan.rows.items():
        put_table(store, f"{HERE.folder(name)}/nights.parquet", rows_of(name, rows))
    return store


def run_of(night: int) -> str:
    """Its run."""
    return f"{STARTED + dt.timedelta(days=night):%Y%m%dT%H%M%S}-{night:06x}"


def _night(plan: Plan, night: int, rng: np.random.Generator) -> None:
    start = STARTED + dt.timedelta(days=night)
    run = {
        "run_id": run_of(night),
        "started_at": start,
        "finished_at": start + dt.timedelta(minutes=50),
        "counts": "{}",
    }
    plan.rows["runs"].append(run | {"config": "{}", "frames_per_second": 40.0})
    room = rng.normal(0, 0.2)
    for person in rng.permutation(60)[: plan.n_people]:
        failed = night in plan.failing and len(plan.rows["sequences"]) % 2 == 0
        _clip(plan, night, f"night{night:02d}/S{person}.mp4", f"S{person}", failed, room, rng)


def _clip(plan: Plan, night: int, name: str, who: str, failed: bool, room: float, rng: np.random.Generator) -> None:
    row = {"sequence_id": name, "uri": f"/in/{name}", "subject_id": who, "kind": "video", "run_id": run_of(night)}
    reason = {"status": "failed", "reason": "no frame can be decoded"} if failed else {"status": "done"}
    plan.rows["sequences"].append({**row, **reason, "n_frames": 0 if failed else plan.n_frames})
    if failed:
        return
    seen = rng.random(plan.n_frames) < (0.65 if night in plan.faceless else 0.97)
    for frame, ok in enumerate(seen):
        plan.rows["frames"].append({"sequence_id": name, "frame_index": frame, "status": "ok" if ok else "no_face"})
    for target in TARGETS:
        _target(plan, night, name, target, np.flatnonzero(seen), room, rng)
    text = str(rng.choice(["(NONE)", "(AU01)", "(NONE) -> (AU12)"])) if night < plan.n_nights - 1 else "(AU01, AU12)"
    plan.rows["temporal_prototypes"].append(
        {"sequence_id": name, "text": text, "cooccurrence_text": text, "n_frames": plan.n_frames}
    )


def _target(
    plan: Plan, night: int, name: str, target: str, frames: np.ndarray, room: float, rng: np.random.Generator
) -> None:
    of = target == "AU12"
    leaves, unsure = of and night in {*plan.elsewhere, *plan.unsure}, of and night in plan.unsure
    active = rng.random(len(frames)) < 1 / (1 + np.exp(-rng.normal(-0.5, 1) - room))
    quotient = rng.normal(1.0, 0.15) if leaves else rng.normal(2.3, 0.25)
    sure = (12, 8) if unsure else (16, 4)
    for frame, on in zip(frames.tolist(), active.tolist(), strict=True):
        plan.rows["detections"].append(
            {
                "sequence_id": name,
                "frame_index": frame,
                "target": target,
                "active": on,
                "probability": float(rng.beta(*(sure if on else (4, 16)))),
                "mu": float(np.clip(CHANCE * quotient * rng.lognormal(0, 0.15), 0, 1)) if on else None,
                "region_share": CHANCE,
            }
        )
        if of and plan.annotated:
            truth = on ^ bool(rng.random() < 0.1)
            plan.rows["annotations"].append(
                {"sequence_id": name, "frame_index": frame, "target": target, "occurrence": truth}
            )
    if active.any():
        cluster = {"sequence_id": name, "target": target, "cluster": "A"}
        look = 3 if leaves else int(rng.choice([1, 2], p=[0.7, 0.3]))
        plan.rows["prototypes"].append({**cluster, "n_frames": int(active.sum())})
        plan.rows["cluster_looks"].append({**cluster, "look": look})
