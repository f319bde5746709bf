"""Digests of JSON values."""

from __future__ import annotations

import hashlib
import json


def digest(value: object, length: int = 16) -> str:
    """Hex digest of a JSON value, the same in every process."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
