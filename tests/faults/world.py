"""A small output with every table of a partition, made without Ray, and the run that goes on with it."""

from __future__ import annotations

import numpy as np

from fer_batch.output.verify import check_present
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.stages import STAGES
from fer_batch.storage.manifest import Ledger

from ..pipeline.conftest import World, g22

VIDEOS = ("a", "b", "c#1")


def next_run(world: World) -> None:
    """Do what a run does, less what was read of videos: explain what is not committed, and publish what is not."""
    ledger = Ledger(world.store)
    check_present(world.store, ledger, [world.partition])
    for seed, name in enumerate(VIDEOS):
        if f"id-{name}" not in ledger.committed:
            active, maps = g22(np.random.default_rng(seed))
            world.stage(name, active, maps, missing={3} if seed else (), annotations="v1")
    world.publish()
    work = world.work()
    published = PublishedStages(world.store, world.partition)
    for stage in published.waiting(STAGES, work.config):
        if stage.phase == "prototypes":
            stage.publish(work)
            published.mark(stage, stage.key(work.config))
