"""How many maps of a partition do not add up to their logits: for the end of a run, its record and its report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import duckdb

from fer_batch.config import RunConfig
from fer_batch.evaluate.conservation import Conservation
from fer_batch.explain.conservation import CONSERVATION_BAND, should_conserve
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation_sql import EVIDENCE, PARTITION, TRUTH, labels_view
from fer_batch.pipeline.progress import say
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store

_WITHIN = f"conservation BETWEEN CAST({CONSERVATION_BAND[0]!r} AS FLOAT) AND CAST({CONSERVATION_BAND[1]!r} AS FLOAT)"
_EXPLAINED = {  # pairs that have a map, by `explain.targets`
    "active": "active",
    "all": "true",
    "annotated": f"(sequence_id, frame_index, target) IN (SELECT sequence_id, frame_index, target FROM ({TRUTH}) "
    "WHERE truth)",
}


def conserving(run: Mapping[str, Any]) -> bool:
    """Whether the maps of a run should add up to their logits; false where its job is not known."""
    explain = run.get("config", {}).get("explain") or {}
    return "method" in explain and should_conserve(explain["method"], explain.get("options"))


def conservation_of(
    connection: duckdb.DuckDBPyConnection, partition: Partition, run: Mapping[str, Any]
) -> Conservation | None:
    """Of all explained pairs of a partition; None where its method need not conserve relevance, or is not known.

    Parameters
    ----------
    connection
        With the views of the output, and that of `labels_view`.
    partition
        Whose pairs.
    run
        Its latest run, with the job as values.
    """
    if not conserving(run):
        return None
    asked = run["config"]["explain"].get("targets", "active")
    named = not isinstance(asked, str)
    explained = "list_contains($targets, target)" if named else _EXPLAINED[asked]
    n, n_within, median = connection.execute(
        f"SELECT count(*), count(*) FILTER ({_WITHIN}), median(conservation) FROM detections "
        f"WHERE {PARTITION} AND (conservation IS NOT NULL OR {explained})",
        partition.key | ({"targets": list(asked)} if named else {}),
    ).fetchall()[0]
    return Conservation(n, n - n_within, math.nan if median is None else median, CONSERVATION_BAND)


def judged_medians(
    connection: duckdb.DuckDBPyConnection, partition: Partition, annotated: list[str]
) -> dict[str, float]:
    """Median quotient of the frames that a verdict judges, by target; NaN where none is defined.

    Parameters
    ----------
    connection, partition
        As in `conservation_of`.
    annotated
        Targets of which the true positives are judged; of others, all detections are.
    """
    rows = connection.execute(
        f"SELECT target, median(conservation) FROM ({EVIDENCE}) GROUP BY target",
        partition.key | {"annotated": annotated},
    )
    return {target: math.nan if median is None else median for target, median in rows.fetchall()}


def run_columns(store: Store, partition: Partition, config: RunConfig) -> dict[str, int | float | None]:
    """Columns of table `runs` on the partition's maps as they are; says at the terminal where they do not add up."""
    connection = connect(store)
    connection.execute(labels_view(config.labels))
    found = conservation_of(connection, partition, {"config": config.model_dump(mode="json")})
    if found is None or not found.n_explained:
        return {}
    if found.sentence:
        say(found.line)
    median = None if math.isnan(found.median) else found.median
    return {"n_explained": found.n_explained, "n_unconserved": found.n_outside, "conservation_median": median}


def recorded(run: Mapping[str, Any]) -> Conservation | None:
    """What `run_columns` recorded of a run; None where it recorded nothing."""
    if run.get("n_explained") is None:
        return None
    median = run.get("conservation_median")
    return Conservation(
        run["n_explained"], run["n_unconserved"], math.nan if median is None else median, CONSERVATION_BAND
    )
