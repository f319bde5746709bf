"""Which units go into one pipeline, and how many of them into one task."""

import numpy as np
import pytest

from fer_batch.pipeline.explaining.dataset import (
    PIPELINE_BYTES,
    PIPELINE_CHUNKS,
    TASK_CHUNKS,
    VIDEO_CHUNK_BYTES,
    bytes_of,
    chunks_of,
    pipelines,
    tasks,
)
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.types import SequenceRef


def video(name, n_chunks=1.0):
    ref = SequenceRef(name, "video", f"/x/{name}", int(n_chunks * VIDEO_CHUNK_BYTES), "1")
    return Unit(name, (ref,), (name,))


def pack(name, n=64, landmarks=()):
    refs = tuple(SequenceRef(f"{name}{i}", "still", "/x", 10**9, "1", landmarks=landmarks) for i in range(n))
    return Unit(name, refs, tuple(ref.sequence_id for ref in refs))


def numbered(n):
    ref = SequenceRef("s", "image_sequence", "/x", 10**9, "1", files=tuple(f"/x/{i}.png" for i in range(n)))
    return Unit("s", (ref,), ("s",))


def crop_set(n):
    return Unit("c", (SequenceRef("c", "video", "/x", 10**9, "1", crops=tuple(range(n))),), ("c",))


@pytest.mark.parametrize(
    ("unit", "n"),
    [
        (pack("p"), 1),
        (pack("p", 1), 1),
        (numbered(65), 2),
        (crop_set(128), 2),
        (video("v", 0), 1),
        (video("v", 7.5), 8),
    ],
)
def test_chunks_of_what_is_counted_are_exact_and_those_of_a_video_follow_its_bytes(unit, n):
    assert chunks_of(unit) == n


@pytest.mark.parametrize("cut", [pipelines, lambda units: tasks(units, 2)])
def test_every_unit_is_in_one_part_and_their_order_is_kept(cut):
    rng = np.random.default_rng(4)
    units = [video(f"{i:04d}", n) for i, n in enumerate(rng.lognormal(1, 2, 1000))]
    parts = list(cut(units))
    assert [unit for part in parts for unit in part] == units
    assert all(parts)
    assert list(cut([])) == []


def test_a_pipeline_takes_what_the_driver_can_keep():
    units = [video(str(i), PIPELINE_CHUNKS / 4) for i in range(9)]
    assert [len(part) for part in pipelines(units)] == [4, 4, 1]
    assert [len(part) for part in pipelines([video("long", 3 * PIPELINE_CHUNKS), *units[:2]])] == [1, 2]
    assert len(list(pipelines([pack(str(i)) for i in range(6562)]))) == 1  # AffectNet's 420,000 stills
    with_landmarks = [pack(str(i), landmarks=(0.0,) * 136) for i in range(6562)]
    assert all(sum(map(bytes_of, part)) <= PIPELINE_BYTES for part in pipelines(with_landmarks))


def test_a_window_is_the_most_units_of_a_pipeline():
    assert [len(part) for part in pipelines([video(str(i)) for i in range(7)], 3)] == [3, 3, 1]


@pytest.mark.parametrize("n_cpus", [1, 2, 300])
def test_tasks_are_large_at_first_and_single_at_the_end(n_cpus):
    sizes = [len(part) for part in tasks([video(str(i)) for i in range(20_000)], n_cpus)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == min(TASK_CHUNKS, 20_000 // (8 * n_cpus))
    assert sizes[-2 * n_cpus :] == [1] * 2 * n_cpus  # every CPU still has some when the last begins


def test_few_units_and_long_ones_are_tasks_of_their_own():
    assert {len(part) for part in tasks([video(str(i)) for i in range(16)], 2)} == {1}
    assert {len(part) for part in tasks([video(str(i), 100) for i in range(500)], 2)} == {1}
