"""Which of Ray's own processes an embedded cluster starts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

# Of `ray._private.node.Node`: each starts a Python process that takes seconds of CPU. The first serves a dashboard, the
# second adds machines to a cluster, the third passes the logs of workers on; an embedded cluster asks for none of it.
_STARTS = ("start_api_server", "start_monitor", "start_log_monitor")


@contextlib.contextmanager
def only_needed_processes() -> Iterator[None]:
    """Let a local Ray start without those that nothing asks for: GCS, raylet and its agents are what remains.

    Ray has no setting for it; where a release has no such method, its process is started.
    """
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in _STARTS if hasattr(Node, name)}
    for name in kept:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, start in kept.items():
            setattr(Node, name, start)


def _nothing(node: object, **settings: object) -> None:
    """Starts no process."""
