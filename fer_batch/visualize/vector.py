"""SVG as text: small pictures that a page draws by itself, in any size, without a picture file."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray


def element(name: str, *content: str, **attributes: object) -> str:
    """An element; `_` in the name of an attribute stands for `-`, None leaves it out.

    Values of attributes are escaped. `content` is taken as markup: text goes through `words`.
    """
    written = "".join(
        f' {key.strip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(content)
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def words(text: str, x: float, y: float, **attributes: object) -> str:
    """A line of text."""
    return element("text", escape(text, quote=False), x=x, y=y, **attributes)


def drawing(width: float, height: float, *content: str, label: str, css: str | None = None) -> str:
    """A whole picture, `width` by `height` CSS pixels at most, with the words that stand for it."""
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=css,
    )


def polyline(points: NDArray[np.floating] | Iterable[tuple[float, float]], closed: bool = False) -> str:
    """The `d` of a path through points (x, y), shape (n, 2), in units of the drawing."""
    joined = "L".join(f"{_value(float(x))} {_value(float(y))}" for x, y in points)
    return f"M{joined}{'Z' if closed else ''}"


def _value(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.2f}".rstrip("0").rstrip(".") if np.isfinite(value) else "0"
    return escape(str(value))
