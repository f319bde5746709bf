"""Which dataset a folder is or belongs to, by the names in it."""

from __future__ import annotations

import os
import posixpath

from fer_batch.sources.dataset import DATASETS
from fer_batch.sources.tree import DEPTH, Tree
from fer_batch.storage.store import has_scheme


def recognise(tree: Tree) -> list[str]:
    """Formats whose marks a folder has, the one with the most marks first; looks at names of the upper folders only."""
    paths, level = [], [""]
    for _ in range(DEPTH):
        for folder in level:
            folders, files = tree.children(folder)
            paths += [posixpath.join(folder, name).lower() for name in (*folders[:200], *files[:200])]
        found = [name for name in DATASETS if _has_marks(name, paths)]
        if found:
            return sorted(found, key=lambda name: (-len(DATASETS[name].marks), name))
        level = [posixpath.join(folder, name) for folder in level for name in tree.children(folder)[0]][:40]
    return []


def _has_marks(name: str, paths: list[str]) -> bool:
    marks = DATASETS[name].patterns
    return bool(marks) and all(any(mark.search(path) for path in paths) for mark in marks)


def dataset_around(uri: str) -> tuple[str, str] | None:
    """The dataset that a local folder is, or is a part of: (format, its folder); looks at it and at the two above.

    A folder above counts only if it is no dataset without this one, or is one by this one alone: clips may lie beside
    a dataset. Folders of an object store are not looked at, for listing them again takes long.
    """
    if has_scheme(uri):
        return None
    here, below = os.path.abspath(uri), ""
    for _ in range(3):
        known = recognise(Tree(here))
        if known:
            return (known[0], here) if not below or _is_part(known[0], here, below) else None
        here, below = os.path.split(here)
        if not below or os.path.dirname(here) == here:
            return None
    return None


def _is_part(name: str, folder: str, below: str) -> bool:
    """Whether what lies in a folder is a part of the dataset that the folder is recognised as."""
    alone, others = Tree(folder).keeping(below.__eq__), Tree(folder).keeping(below.__ne__)
    return name in recognise(alone) or name not in recognise(others)
