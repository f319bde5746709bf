"""What the latest run of a partition says of its tables: the job and the card of its model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fer_batch.facs import OccurrenceRule
from fer_batch.models.card import SHIPPED, card_uri, read_card, shipped_path
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store


def latest_run(store: Store, partition: Partition) -> dict[str, Any]:
    """Its row of table `runs`, with JSON columns as values; empty where there is none."""
    columns = ["run_id", "started_at", "finished_at", "config", "versions", "model_digest", "weights_license", "counts"]
    columns += ["n_explained", "n_unconserved", "conservation_median"]
    rows = read(store, "runs", **partition.key, columns=columns).to_pylist()
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
    """When annotations count as present, as the job of a run or a training says; the default where it does not."""
    labels = run.get("config", {}).get("labels") or {}
    return OccurrenceRule(**{one.name: labels[one.name] for one in fields(OccurrenceRule) if one.name in labels})


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
