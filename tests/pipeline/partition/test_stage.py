"""One rule says which stages over a partition are current."""

import dataclasses

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline import stages
from fer_batch.pipeline.partition import stage as partition_stage
from fer_batch.pipeline.partition.stage import PUBLISHED, PublishedStages
from fer_batch.pipeline.stages import STAGES, stage_named
from fer_batch.storage.tables import SCHEMAS

ALL = ["heatmaps", "class_prototypes", "looks", "episodes", "patterns", "evaluation", "report"]


def job(**more):
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    return build({**values, **more}, "job")


def names(world, **more):
    return [stage.name for stage in PublishedStages(world.store, world.partition).waiting(stages.STAGES, job(**more))]


def publish(world, *only, **more):
    """As a run does: in order, each marked when its files are there."""
    published = PublishedStages(world.store, world.partition)
    for stage in published.waiting(stages.STAGES, job(**more)):
        if not only or stage.name in only:
            published.mark(stage, stage.key(job(**more)))


@pytest.fixture
def published(world, golden):
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    publish(world)
    return world


def test_the_stages_are_in_the_order_in_which_they_read_each_other():
    assert [stage.name for stage in STAGES] == ALL
    for index, stage in enumerate(STAGES):
        assert set(stage.reads) <= {earlier.name for earlier in STAGES[:index]}
        assert set(stage.tables) <= set(SCHEMAS)


def test_nothing_is_published_of_nothing(world):
    assert names(world) == []
    assert not PublishedStages(world.store, world.partition).is_current(
        stage_named("patterns"), {"max_length": 6, "relation": "equal"}
    )


def test_what_is_published_is_current_until_a_shard_changes(published, golden):
    assert names(published) == []
    published.stage("b", *golden.make(np.random.default_rng(1)))
    published.publish()
    assert names(published) == ALL
    publish(published)
    assert names(published) == []
    published.analysis_id = "another"
    published.publish()
    assert names(published) == ALL


def test_another_partition_is_another_matter(published, golden):
    other = dataclasses.replace(published, partition=dataclasses.replace(published.partition, explain="other-1"))
    other.stage("a", *golden.make(np.random.default_rng(0)), identity="elsewhere")
    other.publish(listed={"elsewhere"})
    assert names(published) == []
    assert names(other) == ALL


def test_only_what_an_option_changes_is_made_again_and_what_reads_it(published):
    assert names(published, temporal_prototypes={"max_pattern": 8}) == ["patterns", "report"]
    assert names(published, looks="refit") == ["looks", "episodes", "patterns", "report"]
    assert names(published, episodes={"min_rest": 9}) == ["episodes", "patterns", "report"]
    assert names(published, spray={"seed": 1}) == ["class_prototypes", "report"]
    assert names(published, resources={"num_cpus": 1}) == []
    assert names(published, phases=["explain"], temporal_prototypes={"max_pattern": 8}) == []
    assert names(published, phases=["report"], temporal_prototypes={"max_pattern": 8}) == []


@pytest.mark.parametrize("name", ALL)
def test_a_new_version_of_a_stage_has_it_made_again_and_what_reads_it(published, monkeypatch, name):
    newer = tuple(dataclasses.replace(s, version=s.version + 1) if s.name == name else s for s in STAGES)
    monkeypatch.setattr(stages, "STAGES", newer)
    readers = [stage.name for stage in STAGES if name in stage.reads]
    assert names(published) == [name, *readers]


def test_a_new_schema_has_all_made_again(published, monkeypatch):
    monkeypatch.setattr(partition_stage, "SCHEMA_VERSION", partition_stage.SCHEMA_VERSION + 1)
    assert names(published) == ALL


@pytest.mark.parametrize(
    "content",
    [b'{"shards": "0123", "report": "index.html"}', b"{", b"[]", b'{"stages": {"patterns": {"since": 3}}}', b"\xff"],
    ids=["of an earlier version", "half", "a list", "of a later version", "no text"],
)
def test_what_cannot_be_understood_is_made_again(published, content):
    (name,) = published.store.names(PUBLISHED)
    published.store.put(f"{PUBLISHED}/{name}", content)
    assert names(published) == ALL
    publish(published)
    assert names(published) == []


def test_a_run_that_is_killed_between_two_stages_goes_on_with_the_next(world, golden):
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    publish(world, "heatmaps", "class_prototypes")
    assert names(world) == ["looks", "episodes", "patterns", "evaluation", "report"]
    publish(world, "looks", "episodes", "patterns", "evaluation", "report")
    assert names(world) == []


def test_a_stage_that_another_stage_published_on_its_way_stays_marked(world, golden):
    """The report refreshes the patterns where a job has no phase that does."""
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    outer, inner = (PublishedStages(world.store, world.partition) for _ in range(2))
    inner.mark(stage_named("patterns"), {"max_length": 6, "relation": "equal"})
    outer.mark(stage_named("report"), {})
    assert names(world, phases=["report"]) == ["evaluation", "report"]
    assert inner.is_current(stage_named("patterns"), {"max_length": 6, "relation": "equal"})


def test_every_stage_publishes_its_tables(world, golden):
    for name in ("a", "b"):
        world.stage(name, *golden.make(np.random.default_rng(0)))
    world.stage("c.jpg", np.array([[True, False, False]]), {(0, 0): golden.blobs["left"]}, kind="still")
    world.publish()
    for stage in STAGES[:-1]:  # the report has pages, and its own tests
        stage.publish(world.work())
        for table in stage.tables:
            assert world.rows(table), table
