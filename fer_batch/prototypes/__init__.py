"""Temporal prototypes: the ordered stages of a sequence, and what sequences have in common (methods 10)."""

from fer_batch.prototypes.stages import find_stages, label_sets, label_text, stage_text
from fer_batch.prototypes.temporal import TemporalPrototype, included, parse, prototype_text, temporal_prototype

__all__ = [
    "TemporalPrototype",
    "find_stages",
    "included",
    "label_sets",
    "label_text",
    "parse",
    "prototype_text",
    "stage_text",
    "temporal_prototype",
]
