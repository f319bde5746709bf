"""The head of every page: what the latest run says of a partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fer_batch import __version__
from fer_batch.pipeline.partition.conservation import recorded
from fer_batch.report.page import RunSummary
from fer_batch.storage.parquet import Partition
from fer_batch.types import MapStyle


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
        alarming=bool(kept and kept.alarming),
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
