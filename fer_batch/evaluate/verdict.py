"""May a network be trusted on a target? Right answers beside the place of their evidence, in words (methods VP-k)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fer_batch.evaluate.localisation import Localisation

RECOGNISED = 0.5  # F1 from which on a target is said to be recognised
MOSTLY = 0.5  # mu below which most of the evidence lies elsewhere: a note, as in 14 of the 23 published cells


@dataclass(frozen=True)
class Verdict:
    """What is known of one target.

    Attributes
    ----------
    target
        `AU10`.
    where
        Its region in words, `the upper lip`.
    localisation
        Of its true positives, or of all its detections where it is not annotated.
    f1
        NaN where undefined; None where the target is not annotated.
    by_sequence
        Whether sequences stood for subjects in the interval, because subjects are not known.
    n_false_positives
        Annotated frames in which it is detected, of a target that occurs in none of them.
    trained_on
        Whose faces the figures are of: people the network was trained on (`all`), `some` of them, or none or unknown.
    new_f1
        F1 on people it was not trained on: of those among these inputs, or where there are none, as the training
        measured it. None where nothing is known, NaN where undefined.
    conservation
        Of the judged frames, the median sum of a map over its logit where that lies outside the band of a sound map,
        NaN where it is defined of none; None where it is within, or need not be.
    """

    target: str
    where: str
    localisation: Localisation
    f1: float | None = None
    by_sequence: bool = False
    n_false_positives: int = 0
    trained_on: Literal["", "some", "all"] = ""
    new_f1: float | None = None
    conservation: float | None = None

    @property
    def flagged(self) -> bool:
        """The interval of mu does not lie above chance level."""
        return self.localisation.above_chance is False

    @property
    def noted(self) -> bool:
        """Less than half of the evidence lies in the region."""
        return self.localisation.mean < MOSTLY

    @property
    def state(self) -> str:
        """`flag`, `note`, `ok`, or `open` where too few subjects or unsound maps leave it so."""
        if self.localisation.above_chance is None or self.conservation is not None:
            return "open"
        return "flag" if self.flagged else "note" if self.noted else "ok"

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        found = self.localisation
        n_frames = found.n + found.n_undefined
        if self.f1 is None:
            said = f"{self.target} is seen in {_counted(n_frames, 'frame')} (not annotated, so its F1 is not known)"
        elif math.isnan(self.f1):
            return f"{self.target} neither occurs nor is detected."
        elif not n_frames and self.n_false_positives:
            return (
                f"{self.target} never occurs, yet is detected in {_counted(self.n_false_positives, 'frame')} "
                f"(F1 {two_digits(self.f1)}); no true positive shows where it looks."
            )
        elif not n_frames:
            return f"{self.target} is never recognised (F1 {two_digits(self.f1)}), so there is no evidence to judge."
        else:
            said = f"{self.target} is {self._recognised(self.f1)}"
        return f"{said}, {self._evidence()}"

    def _recognised(self, score: float) -> str:
        """How well, and of whom: what holds for faces that the network knows need not hold for others."""
        how = "recognised" if score >= RECOGNISED else "recognised poorly"
        new = self.new_f1 if self.trained_on and self.new_f1 is not None else math.nan
        only_known = new < RECOGNISED <= score
        among = " on people it was trained on" if only_known or self.trained_on == "all" else ""
        others = ", poorly on new ones" if only_known else ""
        figures = f"F1 {two_digits(score)}" + ("" if math.isnan(new) else f"; on new people {two_digits(new)}")
        return f"{how}{among}{others} ({figures})"

    def _evidence(self) -> str:
        found = self.localisation
        if not found.n:
            return "but none of these frames has landmarks and a map, so where its evidence lies is not known."
        if self.conservation is not None:
            sums = "have no defined sum"
            if not math.isnan(self.conservation):
                sums = f"sum to {self.conservation:.2g} times its logit (median)"
            return f"but its maps {sums}, so where its evidence lies is open."
        chance = f"more than chance ({percent(found.chance)})"
        if self.state == "open":
            drawn = _counted(found.n_subjects, "input without a subject" if self.by_sequence else "subject")
            known = f"with {drawn} it is open whether {{}} {{}} {chance}."
        elif self.flagged and found.mean > found.chance:
            known = f"{{}} may be no {chance}."
        else:
            known = f"{{}} {{}} {'not ' if self.flagged else ''}{chance}."
        if self.noted:
            said = f"but {percent(1 - found.mean)} of the evidence lies outside {self.where}"
            inside = (f"the {percent(found.mean)} inside", "are")
        else:
            said = f"and {percent(found.mean)} of the evidence lies in {self.where}"
            inside = ("that", "is")
        return f"{said}; {known.format(*inside)}"


def percent(share: float, unit: str = " %") -> str:
    """`20 %` of .2; one digit after the point below 10 %."""
    value = 100 * share
    return "-" if math.isnan(value) else f"{value:.1f}{unit}" if abs(value) < 9.95 else f"{value:.0f}{unit}"


def two_digits(value: float | None) -> str:
    """`.81`, `1.00`; `-` for what is undefined."""
    if value is None or math.isnan(value):
        return "-"
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0") else text


def _counted(n: int, noun: str) -> str:
    first, _, rest = noun.partition(" ")
    return " ".join(filter(None, (f"{n:,}", first if n == 1 else f"{first}s", rest)))
