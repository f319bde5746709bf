"""The next batch while this one is computed."""

import pytest

from fer_batch.training.prefetch import prefetched


def test_prefetching_keeps_the_order_and_passes_errors_on():
    assert list(prefetched(range(50))) == list(range(50))

    def broken():
        yield 1
        raise OSError("the disk is gone")

    found = prefetched(broken())
    assert next(found) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
    early = prefetched(iter(range(1000)))
    next(early)
    early.close()  # must not wait for what nobody takes
