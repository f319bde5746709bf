"""The next batch while this one is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

T = TypeVar("T")


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, made ahead by one thread; what it raises is raised here."""
    ready: queue.Queue[tuple[T | None, BaseException | None] | None] = queue.Queue(depth)
    left = threading.Event()

    def put(item: tuple[T | None, BaseException | None] | None) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put(None)
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            item, error = found
            if error is not None:
                raise error
            yield cast(T, item)
    finally:
        left.set()
        thread.join()
