"""What Ray's Prometheus exporter shows of a run; names and labels are in docs/running.md.

Counters are of the process that counts, as Ray adds them up over a cluster. Where Ray does not run, nothing is counted.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Counter

COUNTERS = {
    "fer_batch_inputs": ("Inputs that were committed, by status", ("status",)),
    "fer_batch_frames": ("Frames whose explanations were written, by status of the frame", ("status",)),
    "fer_batch_stage_bytes": ("Bytes of stage files that were written", ()),
    "fer_batch_explain_seconds": ("Seconds that explainers took", ()),
    "fer_batch_faults": ("Units that could not be read for a fault of the store or machine", ()),
}


@functools.cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    about, labels = COUNTERS[name]
    return Counter(name, description=about, tag_keys=labels)


def count(name: str, n: float, **labels: str) -> None:
    """Add to a counter.

    Parameters
    ----------
    name
        Of `COUNTERS`.
    n
        How many more.
    labels
        Those of the counter.
    """
    ray = sys.modules.get("ray")
    if n > 0 and ray is not None and ray.is_initialized():
        _counter(name).inc(n, tags=labels)
