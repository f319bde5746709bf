"""Loaded by Python in every process of a run that `benchmarks/safety_cost.py` starts, before anything else.

`SAFETY_MODE=count`: every call of what keeps an output safe appends a line to the folder `SAFETY_LOG`: what it was, and
its seconds of CPU and of the clock. `SAFETY_MODE=off`: digests, records, the check at the start and syncs do nothing.
"""

from __future__ import annotations

import functools
import importlib.abc
import os
import sys
import threading
import time

MODE, LOG = os.environ.get("SAFETY_MODE"), os.environ.get("SAFETY_LOG", "")
MARKERS = ("_commits/", "_plans/", "_shards/", "_published/")
_within = threading.local()


def counted(what, function):
    """A function whose outermost calls are counted."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if getattr(_within, "what", None):
            return function(*args, **kwargs)
        _within.what, start, cpu = what, time.perf_counter(), time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            _within.what = None
            with open(f"{LOG}/{os.getpid()}", "a") as log:
                log.write(f"{what}\t{time.thread_time() - cpu:.6f}\t{time.perf_counter() - start:.6f}\n")

    return call


def count_published(module):
    """Digests and records."""

    class Sha256:
        def __init__(self, data=b""):
            self.hash = module.hashlib_sha256()
            self.update = counted("digests", self.hash.update)
            self.hexdigest = self.hash.hexdigest
            if data:
                self.update(data)

    class Hashlib:
        sha256, file_digest = Sha256, staticmethod(module.hashlib.file_digest)

    module.hashlib_sha256, module.hashlib = module.hashlib.sha256, Hashlib
    for name in ("__init__", "announce", "settle"):
        setattr(module.Record, name, counted("records", getattr(module.Record, name)))


def count_store(module):
    """Markers, and what is synced to the disk."""
    put = module.Store.put
    marked = counted("markers", put)

    def put_counted(self, relative, data):
        (marked if relative.startswith(MARKERS) else put)(self, relative, data)

    module.Store.put = put_counted
    os.fsync = counted("syncs of tables and stage files", os.fsync)


def count_verify(module):
    """The check at the start of a run."""
    module.check_present = counted("the check at the start", module.check_present)


def off_published(module):
    """Neither digests nor records."""

    class Sha256:
        def __init__(self, data=b""):
            pass

        def update(self, data):
            pass

        def hexdigest(self):
            return "0" * 64

    class Hashlib:
        sha256, file_digest = Sha256, staticmethod(module.hashlib.file_digest)

    module.hashlib = Hashlib
    for name in ("__init__", "announce", "settle"):
        setattr(module.Record, name, lambda self, *args: None)


def off_store(module):
    """No sync."""
    os.fsync = lambda file: None


def off_verify(module):
    """No check."""
    module.check_present = lambda *args: None


PATCHES = {
    "count": {"published": count_published, "store": count_store, "verify": count_verify},
    "off": {"published": off_published, "store": off_store, "verify": off_verify},
}.get(MODE or "", {})
NAMES = {
    "fer_batch.storage.published": "published",
    "fer_batch.storage.store": "store",
    "fer_batch.output.verify": "verify",
}


class Hook(importlib.abc.MetaPathFinder):
    """Changes modules as soon as they are imported."""

    def find_spec(self, name, path, target=None):
        """As the other finders, with what follows."""
        if name not in NAMES:
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec is not None:
            exec_module, change = spec.loader.exec_module, PATCHES[NAMES[name]]

            def exec_and_change(module):
                exec_module(module)
                change(module)

            spec.loader.exec_module = exec_and_change
        return spec


if PATCHES:
    sys.meta_path.insert(0, Hook())
