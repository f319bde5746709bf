"""Counts over the stages of temporal prototypes that table `temporal_prototypes` has no column for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from fer_batch.prototypes.stages import parse_stage
from fer_batch.prototypes.temporal import ARROW, paper_count


def paper_counts(texts: Iterable[str | None]) -> list[int]:
    """Unique stages of each prototype as Finzel et al. (2021) count them (methods TP-7); 0 for the empty text."""
    stage = cache(parse_stage)  # sequences share most of their stages
    return [paper_count([stage(part) for part in text.split(ARROW)]) if text else 0 for text in texts]
