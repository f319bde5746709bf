"""What is known by a name; an unknown name is answered with the known ones."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from fer_batch.types import InputError

T = TypeVar("T")

SAFE = "FER_BATCH_SAFE"  # set to anything but 0, no job runs code of its own
SHOWN = 40  # names in a message: an output may hold a hundred thousand sequences


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence part that names the nearest valid choice and all of them, or the first `SHOWN` of very many."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = f" and {len(choices) - SHOWN:,} more" if len(choices) > SHOWN else ""
    return f"{hint}known: {', '.join(choices[:SHOWN])}{more}"


def check_own_code(named: str, key: str) -> None:
    """Refuse an import path, whose module and callable would be run, where `SAFE` is set in the environment.

    Everything that imports what a job names asks here first.

    Parameters
    ----------
    named
        `package.module:callable`.
    key
        Of the job, for the error.

    Raises
    ------
    InputError
        If it may not be run.
    """
    if os.environ.get(SAFE, "0") not in ("", "0"):
        raise InputError(
            f"{key}: {named!r} is code of its own, which --safe ({SAFE}) forbids to run; "
            "give an architecture or detector that fer_batch knows, or run it without --safe if you trust who wrote it"
        )


class Registry(Generic[T]):
    """Names to factories or records of one kind.

    Parameters
    ----------
    kind
        What the names stand for, as an error says it ("explanation method").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Let `name` stand for an entry.

        Raises
        ------
        ValueError
            If it stands for one already.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is already registered")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate the factory that answers to `name`."""
        return lambda factory: self.add(name, factory)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise ValueError(f"unknown {self.kind} {name!r}; {nearest(name, self._entries)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
