"""What the latest run of a partition says of its tables: the job, the model's card, and the head of every page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fer_batch import __version__
from fer_batch.config import OccurrenceConfig
from fer_batch.facs import OccurrenceRule
from fer_batch.models.card import SHIPPED, card_uri, read_card, shipped_path
from fer_batch.pipeline.partition.conservation import recorded
from fer_batch.report.page import RunSummary
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.types import MapStyle


def latest_run(store: Store, partition: Partition) -> dict[str, Any]:
    """Its row of table `runs`, with JSON columns as values; empty where there is none."""
    where = {"dataset": partition.dataset, "model": partition.model, "explain": partition.explain}
    columns = ["run_id", "started_at", "finished_at", "config", "versions", "model_digest", "weights_license", "counts"]
    columns += ["n_explained", "n_unconserved", "conservation_median"]
    rows = read(store, "runs", **where, columns=columns).to_pylist()
    if not rows:
        return {}
    # A run that was killed has no counts; the latest whole one describes the tables.
    latest = max(rows, key=lambda row: (row["counts"] is not None, row["started_at"] is not None, row["started_at"]))
    for name in ("config", "versions", "counts"):
        latest[name] = json.loads(latest[name]) if latest[name] else {}
    return latest


def card_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The card beside the checkpoint of a run, as plain values; empty where it is gone."""
    checkpoint = run.get("config", {}).get("model", {}).get("checkpoint")
    if not checkpoint:
        return {}
    shipped = checkpoint in SHIPPED
    try:
        card = read_card(card_uri(str(shipped_path(checkpoint)) if shipped else checkpoint))
    except Exception:
        # The report is of the tables; a card that cannot be read any more must not take it away.
        card = None
    # Demo weights stay loud even where their card is lost.
    return card.model_dump() if card else {"demo": shipped}


def rule_of(run: Mapping[str, Any]) -> OccurrenceRule:
    """When annotations count as present, as the job of a run says; the default where it does not."""
    return OccurrenceConfig.model_validate(run.get("config", {}).get("labels") or {}).rule


def threshold_of(run: Mapping[str, Any], card: Mapping[str, Any]) -> float | None:
    """The probability from which on a target is active; None for a head that takes the largest."""
    model = run.get("config", {}).get("model", {})
    head = model.get("head") or card.get("head")
    return model.get("threshold") if head != "softmax" else None


def crop_size_of(run: Mapping[str, Any], card: Mapping[str, Any]) -> int | None:
    """Side of the face crops in pixels, the grid of landmarks; None where nothing says it."""
    config = run.get("config", {})
    own = (config.get("model", {}).get("preprocessing") or {}).get("size")
    return config.get("faces", {}).get("size") or own or (card.get("preprocessing") or {}).get("size")


def map_style_of(run: Mapping[str, Any]) -> MapStyle:
    """How the job of a run has maps drawn; as usual where an earlier version wrote it."""
    return MapStyle(**run.get("config", {}).get("report", {}))


def summary_of(partition: Partition, run: Mapping[str, Any], card: Mapping[str, Any]) -> RunSummary:
    """What every page of the partition's report says about the run."""
    kept = recorded(run)
    return RunSummary(
        title=partition.dataset,
        dataset=partition.dataset,
        model=partition.model,
        explain=partition.explain,
        counts=run.get("counts") or {},
        run_id=run.get("run_id") or "",
        started_at=_minute(run.get("started_at")),
        finished_at=_minute(run.get("finished_at")),
        version=(run.get("versions") or {}).get("fer_batch", __version__),
        demo=bool(card.get("demo")),
        weights_license=run.get("weights_license") or card.get("licence") or "",
        facts=tuple(_model_facts(run, card)),
        maps=map_style_of(run),
        conservation=kept.sentence if kept else "",
        shows_faces=run.get("config", {}).get("faces", {}).get("store", "jpeg") != "none",
    )


def _minute(moment: Any) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


_HEADS = {"multilabel": "one sigmoid per target", "softmax": "one class of many"}


def _model_facts(run: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    scores = {target: value for target, value in (card.get("f1") or {}).items() if value is not None}
    facts = [
        ("Network", card.get("architecture") or card.get("factory")),
        ("Targets", ", ".join(card.get("targets") or ())),
        ("Output", _HEADS.get(card.get("head") or "")),
        ("Trained on", ", ".join(card.get("trained_on") or ())),
        ("F1 per target", ", ".join(f"{target} {value:.2f}" for target, value in scores.items())),
        ("Notes", card.get("notes")),
        ("Digest", run.get("model_digest")),
        ("Explained with", run.get("config", {}).get("explain", {}).get("method")),
    ]
    for name, value in facts:
        if value:
            yield name, str(value)
