"""What a study can compare: one record per comparison, which names its function without importing it.

A comparison is a module in `comparisons/` with a function of `StudyWork` and its options, and a record here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from fer_batch.config import Study
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.registry import Registry, nearest
from fer_batch.types import InputError

if TYPE_CHECKING:
    from fer_batch.report.comparison import Comparison as Page


@dataclass(frozen=True)
class Measured:
    """A row of table `evaluation` that a comparison leaves.

    Attributes
    ----------
    explain
        The variant that it is of; `none` where no explanation is concerned.
    model
        Partition of the network that it is of; empty for one over all networks of the study.
    metric, value, n, baseline, target, group, layer, fold, trained_on
        Columns of the table.
    """

    metric: str
    value: float | None
    n: int
    explain: str = "none"
    model: str = ""
    baseline: float | None = None
    target: str | None = None
    group: str | None = None
    layer: str | None = None
    fold: int | None = None
    trained_on: str | None = None


@dataclass(frozen=True)
class Compared:
    """What came of a comparison: its page, and its figures.

    Attributes
    ----------
    page
        In words, tables and pictures.
    rows
        For table `evaluation`.
    """

    page: Page
    rows: tuple[Measured, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Comparison:
    """One comparison.

    Attributes
    ----------
    factory
        `module:function` in `comparisons`; the function takes a `StudyWork` and, by keyword, its options.
    about
        What it answers.
    needs
        `trainings`: it says how networks were trained. `explanations`: it reads maps.
    version
        Raised when the same study would get another page or other rows: those that stand are then made again.
    """

    factory: str
    about: str
    needs: Literal["trainings", "explanations"]
    version: int = 1

    def load(self) -> Callable[..., Compared]:
        """The function itself; imports its module."""
        module, _, function = self.factory.partition(":")
        found: Callable[..., Compared] = getattr(import_module(f"{__package__}.comparisons.{module}"), function)
        return found

    def options(self) -> list[str]:
        """Names of its options."""
        parameters = inspect.signature(self.load()).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


COMPARISONS: Registry[Comparison] = Registry("comparison")

COMPARISONS.add("fold_table", Comparison("trainings:fold_table", "How well each fold was learned", "trainings"))
COMPARISONS.add(
    "classification_report",
    Comparison("trainings:classification_report", "Which classes are told apart, and which confused", "trainings"),
)
COMPARISONS.add(
    "grids", Comparison("grids:grids", "The same people and classes under each explanation", "explanations")
)
COMPARISONS.add(
    "misclassified",
    Comparison("grids:misclassified", "One person, rightly and wrongly classified, side by side", "explanations"),
)
COMPARISONS.add("panel", Comparison("grids:panel", "Stills of another dataset under every explanation", "explanations"))
COMPARISONS.add(
    "class_discrimination",
    Comparison("discrimination:class_discrimination", "Whether maps differ between classes", "explanations"),
)
COMPARISONS.add(
    "randomisation",
    Comparison("randomisation:randomisation", "Whether maps depend on what was learned", "explanations", version=2),
)
COMPARISONS.add(
    "faithfulness",
    Comparison("faithfulness:faithfulness", "Whether what a map marks is what the network uses", "explanations"),
)
COMPARISONS.add(
    "standard_heatmaps",
    Comparison(
        "standard_heatmaps:standard_heatmaps", "What every network looks at, on one face", "explanations", version=2
    ),
)
COMPARISONS.add(
    "heatmap_differences",
    Comparison("heatmap_differences:heatmap_differences", "Where maps of two groups differ", "explanations", version=2),
)
COMPARISONS.add(
    "action_unit_cues",
    Comparison("cues:action_unit_cues", "Whether networks look where the Action Units are", "explanations"),
)
COMPARISONS.add("runtime", Comparison("runtime:runtime", "Seconds per image of each explanation", "explanations"))
COMPARISONS.add(
    "verdict", Comparison("verdict:verdict", "Right answers beside the place of their evidence", "explanations")
)


def check_comparisons(study: Study) -> None:
    """Refuse a comparison that there is not, or that has nothing to compare, before anything is trained.

    Raises
    ------
    InputError
        One sentence.
    """
    for name, options in study.config.compare.items():
        if name not in COMPARISONS:
            raise InputError(f"compare: unknown comparison {name!r}; {nearest(name, COMPARISONS)}")
        record = COMPARISONS[name]
        if record.needs == "trainings" and not study.trainings:
            raise InputError(f"compare: {name} is of trainings, and the study has none; its networks are given")
        if name == "panel" and study.config.panel is None:
            raise InputError("compare: panel shows stills of another dataset; name them in section panel")
        for option in options:
            if option not in (known := record.options()):
                choice = nearest(option, known) if known else "it has none"
                raise InputError(f"compare.{name}: no option {option!r}; {choice}")
        check_options(name, options)
