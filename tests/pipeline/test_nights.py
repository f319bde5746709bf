"""Nights over a source that grows, changes and loses files end in the tables of one run over what is left."""

import numpy as np
import pytest

from fer_batch.output.verify import verify
from fer_batch.pipeline.analysis.pruning import carry_out, plan_pruning
from fer_batch.storage.manifest import SHARD_TABLES, Ledger
from fer_batch.storage.store import Store

NIGHTS = (  # each input with the seed of its content, as the source is that night
    {"a": 1, "b": 2},
    {"a": 1, "b": 2, "c": 3, "d": 4},  # grows; the night is killed
    {"a": 5, "b": 2, "c": 3, "d": 4},  # a changes; the store fails, then the night is done again
    {"a": 5, "c": 6, "d": 4, "e": 7},  # b is gone, c changes
    {"a": 1, "c": 6, "e": 7},  # a is again what it was first
)


class Killed(BaseException):
    """In the place of a kill."""


def failing(monkeypatch, error, after):
    """Let writes fail from one on."""
    left, put = [after], Store.put

    def write(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return put(self, *args)

    monkeypatch.setattr(Store, "put", write)


def one_night(world, golden, source, done):
    """What a run does: explain what is new, publish; then prune what is gone."""
    ledger = Ledger(world.store)
    for name, seed in source.items():
        identity = f"{name}-{seed}"
        if identity in ledger.committed and done.get(name) == seed:
            continue
        if done.get(name) not in (None, seed):
            ledger.withdraw({identity: None})  # again what it was before a change
        world.stage(f"{name}.mp4", *golden.make(np.random.default_rng(seed)), identity=identity, annotations="x" * seed)
    done.clear()
    done |= source
    world.publish({f"{name}-{seed}" for name, seed in source.items()})
    ledger = Ledger(world.store)
    held = {name for plan in ledger.plans.values() for name in plan.sequences}
    gone = sorted(held - {f"{name}.mp4" for name in source})
    if gone:
        carry_out(ledger, plan_pruning(ledger, world.partition, gone, gone))


def rows_of(world):
    return {name: world.rows(name) for name in (*SHARD_TABLES, "annotations")}


def test_tables_are_those_of_one_run_over_the_final_source(tmp_path, golden, monkeypatch):
    keep = "exemplars"  # the sums of an input that goes are taken out of those of its shard
    world, done = golden.world(Store(str(tmp_path / "nights")), keep_relevance=keep), {}
    for k, source in enumerate(NIGHTS):
        if k in (1, 2):
            with monkeypatch.context() as patch:
                failing(patch, Killed() if k == 1 else OSError(5, "Input/output error"), 4)
                with pytest.raises((Killed, OSError)):
                    one_night(world, golden, source, done)
        one_night(world, golden, source, done)
        assert verify(world.store).findings == [], k
    whole = golden.world(Store(str(tmp_path / "whole")), keep_relevance=keep)
    one_night(whole, golden, NIGHTS[-1], {})
    assert rows_of(world) == rows_of(whole)
    assert {row["sequence_id"] for row in world.rows("sequences")} == {"a.mp4", "c.mp4", "e.mp4"}
