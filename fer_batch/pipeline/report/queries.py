"""SQL that gives the rows behind a page."""

from __future__ import annotations

from fer_batch.report.page import Query
from fer_batch.storage.parquet import Partition


def queries(sequence_id: str, partition: Partition) -> tuple[Query, ...]:
    """SQL that gives the rows behind a page."""
    columns = {"sequence_id": sequence_id, **partition.key}
    # One output may hold the same sequence under several models and explanations.
    here = "\n  AND ".join(f"{name} = {literal(value)}" for name, value in columns.items())
    return (
        Query(
            "Episodes",
            "SELECT episode_index, first_frame, last_frame, duration_s, peak_frame, targets, text\n"
            f"FROM episodes\nWHERE {here}\nORDER BY episode_index",
        ),
        Query(
            "Stages",
            "SELECT stage_index, first_frame, last_frame, n_frames, n_missing_frames, text\n"
            f"FROM stages\nWHERE {here}\nORDER BY stage_index",
        ),
        Query(
            "What is active when",
            "SELECT frame_index, target, cluster, probability, mu\n"
            f"FROM detections\nWHERE {here}\n  AND active\nORDER BY frame_index, target",
        ),
        Query(
            "Cluster maps",
            "SELECT target, cluster, n_frames, exemplar_frame, height, width, scale, relevance\n"
            f"FROM prototypes\nWHERE {here}\nORDER BY target, cluster",
        ),
    )


def literal(text: str) -> str:
    """Text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
