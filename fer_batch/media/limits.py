"""What is not decoded, and how it is said. Known to the decoding process alone."""

from __future__ import annotations

MAX_PIXELS = 64_000_000


class Unreadable(Exception):
    """The input cannot be decoded; the message is its reason."""


def refuse_large(width: int, height: int) -> None:
    """Raise `Unreadable` for a picture that is too large or empty."""
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width}x{height} is more than the {MAX_PIXELS // 10**6} megapixels that are decoded")
    if width * height == 0:
        raise Unreadable(f"a picture of {width}x{height} is empty")


def plain(error: BaseException) -> str:
    """An error in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().rstrip(".").replace("\n", " ")


def counted(n: int, what: str) -> str:
    """`1 frame`, `2 frames`, `2 stretches`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}{'es' if what.endswith('h') else 's'}"
