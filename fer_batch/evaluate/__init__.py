"""Figures that judge detections, explanations and prototypes: arrays in, numbers out (methods 12)."""

from fer_batch.evaluate.detection import classification, f1
from fer_batch.evaluate.interval import subject_interval
from fer_batch.evaluate.localisation import (
    localisation_of_subjects,
    region_share,
    relevance_mass,
    resized,
)
from fer_batch.evaluate.summary import comparison, group_statistics, statistics_table
from fer_batch.evaluate.verdict import Verdict

__all__ = [
    "Verdict",
    "classification",
    "comparison",
    "f1",
    "group_statistics",
    "localisation_of_subjects",
    "region_share",
    "relevance_mass",
    "resized",
    "statistics_table",
    "subject_interval",
]
