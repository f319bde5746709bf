"""Text as pages show it: safe file names, visible characters, arrows between stages, percents, dashes."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from markupsafe import Markup, escape

from fer_batch.types import MapStyle

SHOWN_STAGES = 4  # of a temporal prototype in a row of a table
_INVISIBLE, _HARMLESS = ("Cc", "Cf", "Cs"), "\n\u200d"  # the joiner makes one emoji of several


def slug(name: str) -> str:
    """A file name for any text: readable, safe on every system, different for different texts.

    Parameters
    ----------
    name
        For example a `sequence_id`; anything, path separators and undecodable bytes included.

    Returns
    -------
    str
        Lower-case ASCII letters, digits and dashes: what is readable of `name`, then ten hex digits of its hash.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{readable or 'x'}-{digest}"


def visible(text: object) -> object:
    """Text in which no character is invisible to the reader or changes the order of its neighbours.

    File names may hold control characters, text-direction overrides and bytes that are no UTF-8; they are written as
    escapes (`\\x1b`, `\\u202e`).
    """
    if not isinstance(text, str) or isinstance(text, Markup) or (text.isascii() and text.isprintable()):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _INVISIBLE and c not in _HARMLESS else c for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def colours(maps: MapStyle, subject: str) -> str:
    """What the colours of a map say about a subject, such as `the target`."""
    if maps.colours == "jet":
        return f"blue where it says least for {subject}, red where it says most, from its lowest value to its highest"
    scaled = "each sign scaled to its own maximum" if maps.two_sided else "scaled to its own maximum"
    return f"red for {subject}, blue against it, white neither, {scaled}"


def arrows(text: str) -> Markup:
    """A temporal prototype with printed arrows, broken over lines between stages only."""
    if not text:
        return Markup("–")
    stages = []
    for stage in str(visible(text)).split(" -> "):
        kind = "stage none" if stage == "(NONE)" else "stage"
        # A stage of many labels may break inside, after a comma.
        kind += " long" if len(stage) > 40 else ""
        stages.append(Markup('<span class="{}">{}</span>').format(kind, stage))
    return Markup(' <span class="to">→</span> ').join(stages)


def beginning(text: str) -> str:
    """The first stages of a temporal prototype, as many as a table row shows."""
    return " -> ".join(text.split(" -> ")[:SHOWN_STAGES])


def n_hidden(text: str) -> int:
    """Stages beyond them."""
    return max(0, text.count(" -> ") + 1 - SHOWN_STAGES)


def chance(probability: float) -> str:
    """A probability with two digits, or that it is less than .001."""
    return "less than .001" if probability < 0.001 else f"{probability:.2g}"


def percent(value: float | None) -> str:
    """A share in percent, a dash where it is not known."""
    return "–" if value is None or value != value else f"{100 * value:.0f} %"


def duration(seconds: float | None) -> str:
    """`0.042 s`, `12.3 s`, `8 min`, `8 min 5 s`, `3 h 20 min`, a dash where it is not known."""
    if seconds is None or seconds != seconds:
        return "–"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    small, (large_unit, small_unit) = (seconds, ("min", "s")) if seconds < 3599.5 else (seconds / 60, ("h", "min"))
    whole, rest = divmod(round(small), 60)
    return f"{whole} {large_unit}" + (f" {rest} {small_unit}" if rest else "")


def cell(value: object, decimals: int | None = None) -> object:
    """A value of a table: floats to three digits or so many decimals, a dash for what is missing."""
    if value is None or value == "" or value != value:
        return "–"
    if not isinstance(value, float):
        return escape(visible(value))
    return f"{value:.3g}" if decimals is None else f"{value:.{decimals}f}"
