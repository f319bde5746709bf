"""What a person sees while it works: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from tqdm import tqdm

from fer_batch.types import STATUSES

LINE_SECONDS = 15.0


def say(text: str) -> None:
    """One line for the person, beside a running bar without breaking it."""
    tqdm.write(text, file=sys.stderr)


def counted(counts: Mapping[str, int]) -> str:
    """`found 6 = done 5 + partial 0 + failed 1 + skipped 0`."""
    return f"found {counts['found']} = " + " + ".join(f"{status} {counts[status]}" for status in STATUSES)


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A function that is told how many more are done."""
    if not total:
        yield lambda n: None
        return
    if sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit=unit, file=sys.stderr, dynamic_ncols=True) as bar:

            def count(n: int) -> None:
                bar.update(n)

            yield count
        return
    started = last = time.monotonic()
    done = 0
    units = unit if total == 1 else f"{unit}s"
    say(f"{what}: {total} {units}")

    def advance(n: int) -> None:
        nonlocal done, last
        if not n and done == total:
            return  # asked again while what was done is saved
        done += n
        now = time.monotonic()
        if now - last >= LINE_SECONDS or done == total:
            last = now
            say(f"{what}: {done} of {total} {units}, {now - started:.0f} s")

    yield advance
