"""Figures that Weitz (2018) printed of networks for pain, disgust and happiness (methods 13.5, 13.6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

WEITZ = "Weitz 2018"
CLASSES = ("pain", "disgust", "happiness")


@dataclass(frozen=True)
class FoldFigures:
    """How one fold went; a figure that is not known is NaN.

    Attributes
    ----------
    name
        Of the fold.
    test_loss, test_accuracy
        On the people whom the network never saw.
    epochs
        That were trained; 0 where that is not known.
    train_accuracy, validation_accuracy
        At the epoch that was kept.
    """

    name: str
    test_loss: float = math.nan
    test_accuracy: float = math.nan
    epochs: int = 0
    train_accuracy: float = math.nan
    validation_accuracy: float = math.nan


FOLDS = tuple(
    FoldFigures(f"fold {number}", loss, accuracy, epochs, 0.998, validation)
    for number, (loss, accuracy, epochs, validation) in enumerate(
        ((2.34, 0.537, 2, 0.623), (2.17, 0.610, 2, 0.608), (2.28, 0.592, 2, 0.637), (2.85, 0.562, 2, 0.600),
         (1.58, 0.665, 4, 0.625)), 1)
)  # fmt: skip
"""The five folds of the best network, L2 and early stopping. The accuracy in training is about .998 in each."""


@dataclass(frozen=True)
class Variant:
    """Means over the folds of one recipe.

    Attributes
    ----------
    test_loss, test_accuracy
        As printed; where the mean of the printed folds is another one, that.
    note
        What differs from what is printed.
    """

    test_loss: float
    test_accuracy: float
    note: str = ""


VARIANTS = MappingProxyType(
    {
        "L2, early stopping": Variant(2.24, 0.593),
        "dropout, early stopping": Variant(1.45, 0.588),
        "dropout, 7 epochs": Variant(1.61, 0.589),
        "L2, 7 epochs": Variant(2.19, 0.595, "printed as .613, but its printed folds average .595"),
        "dropout, 3 epochs": Variant(1.29, 0.589),
        "L2, 3 epochs": Variant(2.14, 0.592),
    }
)
"""Mean test loss and accuracy of every recipe (the appendix)."""

REPORT = MappingProxyType(
    {
        "pain": (0.62, 0.69, 0.66, 4692),
        "disgust": (0.70, 0.73, 0.71, 4815),
        "happiness": (0.67, 0.57, 0.62, 4815),
        "weighted by n": (0.67, 0.66, 0.66, 14322),
    }
)
"""Precision, recall, F1 and number of images of fold 5, by class and weighted by the number of images."""

CALLED = MappingProxyType({("happiness", "pain"): 0.28, ("pain", "disgust"): 0.17})
"""Share of the images of the first class that fold 5's network called the second; the first are 1,356 images."""
