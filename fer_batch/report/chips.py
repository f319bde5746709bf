"""Labels in their colours, as every page shows them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Chip:
    """A target with its cluster, as text, in its colours (`#rrggbb`).

    Attributes
    ----------
    tile
        SVG path on a tile of 6x6, repeated over the ground of a cluster whose colour another one has too.
    """

    text: str
    fill: str = "#ffffff"
    edge: str = "#57606a"
    ink: str = "#1f2328"
    tile: str = ""

    def named(self, text: str) -> Chip:
        """The same colours for another text."""
        return replace(self, text=text)


def chip_styles(labels: Iterable[Chip]) -> tuple[dict[Chip, str], str]:
    """A CSS class for each label, and the CSS of all."""
    kinds = {label: f"k{number}" for number, label in enumerate(dict.fromkeys(labels))}
    return kinds, "".join(_rule(kind, label) for label, kind in kinds.items())


def _rule(kind: str, label: Chip) -> str:
    colours = f"background-color:{label.fill};border-color:{label.edge};color:{label.ink}"
    if not label.tile:
        return f".{kind}{{{colours}}}"
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="48" height="48" viewBox="0 0 6 6">'
        f'<path d="{label.tile}" stroke="{label.ink}" stroke-opacity=".55" fill="none"/></svg>'
    )
    uri = f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
    # The rim keeps the letters readable on the pattern.
    rim = ",".join(f"{x}px {y}px 1px {label.fill}" for x in (-1, 1) for y in (-1, 1))
    return f".{kind}{{{colours};background-image:url({uri});background-size:6px;text-shadow:{rim}}}"
