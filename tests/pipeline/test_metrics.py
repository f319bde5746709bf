"""Counters for Ray's exporter."""

import re
from pathlib import Path

import pytest
import ray
import ray.util.metrics

from fer_batch.pipeline import metrics

RUNNING = Path(__file__).parents[2] / "docs" / "running.md"


@pytest.fixture
def counted(monkeypatch):
    """What the counters are told, where Ray runs."""
    told = []

    class Counter(ray.util.metrics.Counter):
        def inc(self, value=1.0, tags=None):
            super().inc(value, tags)
            told.append((self.info["name"], value, tags))

    monkeypatch.setattr(ray.util.metrics, "Counter", Counter)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    metrics._counter.cache_clear()
    yield told
    metrics._counter.cache_clear()


def test_counters_take_what_is_counted(counted):
    metrics.count("fer_batch_inputs", 3, status="done")
    metrics.count("fer_batch_stage_bytes", 1e6)
    metrics.count("fer_batch_faults", 0)
    assert counted == [("fer_batch_inputs", 3, {"status": "done"}), ("fer_batch_stage_bytes", 1e6, {})]


def test_without_ray_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(metrics, "_counter", lambda name: pytest.fail("counted without Ray"))
    metrics.count("fer_batch_inputs", 3, status="done")


def test_the_documentation_names_every_counter():
    named = set(re.findall(r"^\| `(fer_batch_\w+)` \|", RUNNING.read_text(), re.M))
    assert named == set(metrics.COUNTERS)
