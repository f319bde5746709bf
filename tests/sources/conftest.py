"""Miniature datasets: real names, tiny contents."""

from __future__ import annotations

import io
import uuid

import numpy as np
import pytest
from PIL import Image

from fer_batch.storage.store import Store


def picture(suffix: str = ".png", size: tuple[int, int] = (8, 8)) -> bytes:
    """A tiny grey picture."""
    out = io.BytesIO()
    form = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tiff": "TIFF", ".tif": "TIFF"}[suffix.lower()]
    Image.fromarray(np.full(size, 90, np.uint8)).save(out, form)
    return out.getvalue()


def rows_by(table, *names):
    """Columns of a table of annotations as a list of tuples."""
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@pytest.fixture(params=["local", "memory"])
def tree(request, tmp_path):
    """A function that writes a tree of files (text, bytes, or None for junk); gives its URI."""

    def make(files: dict) -> str:
        store = Store(str(tmp_path / "in") if request.param == "local" else f"memory://{uuid.uuid4().hex}/in")
        for name, content in files.items():
            if name.endswith("/"):
                store.fs.makedirs(store.path(name), exist_ok=True)
                continue
            data = b"\0" if content is None else content.encode() if isinstance(content, str) else content
            store.put(name, data)
        return store.uri

    return make


@pytest.fixture(scope="session")
def png():
    """A tiny PNG."""
    return picture(".png")


@pytest.fixture(scope="session")
def jpg():
    """A tiny JPEG."""
    return picture(".jpg")


@pytest.fixture
def columns():
    """`rows_by`."""
    return rows_by
