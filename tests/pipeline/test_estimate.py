"""From a few inputs to all of them: ranges hold as often as they say, and nothing is guessed that is known."""

from dataclasses import replace

import numpy as np
import pytest

from fer_batch.pipeline.estimate import Prices, Range, Rehearsed, Tried, Waiting, estimate, frames_of, ratio_total
from fer_batch.storage.published import shard_prefix

SHARD = f"{shard_prefix({'dataset': 'd', 'model': 'm', 'explain': 'e'})}-00000"
PART = "dataset=d/model=m/explain=e"
FILES = (
    ("_commits/a.json", 1000),
    ("_commits/b.json", 1000),
    (f"_plans/{SHARD}.json", 500),
    (f"_shards/{SHARD}.json", 500),
    (f"_sums/{SHARD}.parquet", 90_000),
    (f"tables/frames/{PART}/{SHARD}.parquet", 24_000),
    (f"tables/relevance/{PART}/{SHARD}.parquet", 404_000),
    (f"tables/prototypes/{PART}/{SHARD}.parquet", 64_000),
    (f"tables/heatmaps/{PART}/collection.parquet", 50_000),
    (f"_files/tables/heatmaps/{PART}/collection.parquet/72-1-0", 0),
    ("report/d/m/e/index.html", 9000),
    (f"report/d/m/e/drawn/{SHARD}.json", 30),
    ("report/d/m/e/sequences/a.html", 80_000),
    ("report/d/m/e/sequences/b.html", 80_000),
)
TRIED = (
    Tried(1, 20, 20, 2.0, 1.0, 4.0, 200_000),
    Tried(1, 20, 20, 2.2, 1.0, 4.4, 210_000),
)
DONE = Rehearsed(
    TRIED, 4.0, 1.0, 2.0, FILES, {"frames": 4000, "relevance": 4000, "prototypes": 4000}, True, 8.0, "cpu", 2, 9.0
)
ALL = Waiting(np.full(100, 1e6), np.full(100, 200.0), 100, 7)


def within(value, found):
    return found.low <= value <= found.high


def test_what_was_tried_whole_is_known():
    waiting = Waiting(np.full(2, 1e6), np.full(2, 20.0), 2, 1)
    found = estimate(waiting, DONE, 2, Prices(cpu=1.0))
    assert found.objects == Range.exactly(len(FILES))
    assert found.bytes.low == pytest.approx(found.bytes.high) == pytest.approx(sum(size for _, size in FILES))
    assert found.frames == Range.exactly(40)
    assert found.decode_cpu_hours == Range.exactly(pytest.approx(4.2 / 3600))
    # 4.2 s of decoding, 10.4 s of a network on two threads, 7 s of tables and report
    assert found.cost.value == pytest.approx((4.2 + 2 * 10.4 + 7) / 3600)


def test_objects_and_bytes_grow_with_what_they_are_of():
    found = estimate(ALL, DONE, 2, Prices())
    per_shard, per_unit, per_input, once = 7, 1, 1, 3
    at_least = per_shard * 7 + per_unit * 100 + per_input * 100 + once
    assert found.objects.low == pytest.approx(at_least)
    assert found.objects.high == pytest.approx(at_least + 2 * once), "what is made once may become three times as much"
    maps = 400_000 / 40 * 20_000  # of every frame
    assert maps / 2 < found.bytes.low < maps < found.bytes.value < found.bytes.high < 3 * maps, (
        "and what is beside them"
    )
    thinned = estimate(ALL, replace(DONE, keeps_all=False), 2, Prices())
    assert thinned.bytes.low < maps / 2, "where few maps are kept they need not grow with the frames"
    assert found.frames == Range.exactly(20_000)
    assert found.cost is None, "without a price there is no cost"


def test_on_a_gpu_decoding_hides_behind_the_network_and_both_prices_are_needed():
    on_gpu = replace(DONE, device="cuda")
    found = estimate(ALL, on_gpu, 1000, Prices(cpu=0.1, gpu=2.0))
    assert found.explain_hours.value == pytest.approx((found.network_hours + found.maps_hours).value)
    gpu_hours = found.network_hours.value + found.maps_hours.value
    cpu_hours = found.decode_cpu_hours.value + found.tables_cpu_hours.value
    assert found.cost.value == pytest.approx(0.1 * cpu_hours + 2.0 * gpu_hours)
    assert estimate(ALL, on_gpu, 1000, Prices(cpu=0.1)).cost is None


def test_an_explanation_that_half_of_the_inputs_wait_for_takes_half():
    half, found = (estimate(replace(ALL, share=share), DONE, 2, Prices()) for share in (0.5, 1.0))
    assert half.maps_hours.value == pytest.approx(found.maps_hours.value / 2)
    assert half.network_hours.value == pytest.approx(found.network_hours.value), "the network sees every frame once"


def test_the_interval_holds_the_total_as_often_as_it_says():
    """Inputs whose rates differ by a third; an interval of Student's t from six of three hundred of them."""
    rng, held = np.random.default_rng(0), 0
    sizes = rng.integers(50, 500, 300).astype(float)
    rates = rng.normal(1.0, 0.33, 300).clip(0.05)
    for _ in range(400):
        chosen = rng.choice(300, 6, replace=False)
        held += within((sizes * rates).sum(), ratio_total((sizes * rates)[chosen], sizes[chosen], sizes.sum()))
    assert 0.89 <= held / 400 <= 0.99


def test_one_input_alone_shows_no_spread():
    assert ratio_total([3.0], [10], 100) == Range(30.0, 15.0, 60.0)
    assert ratio_total([], [], 100) == ratio_total([0.0], [10], 100) == Range.exactly(0.0)


def test_frames_of_clips_that_nobody_looked_at_follow_from_their_bytes():
    sizes, frames = np.arange(1.0, 11.0) * 1e6, np.full(10, np.nan)
    frames[::2] = sizes[::2] / 1e4 * [0.9, 1.1, 1.0, 1.05, 0.95]
    found = frames_of(Waiting(sizes, frames, 10, 1))
    assert within(sizes.sum() / 1e4, found) and found.low < found.value < found.high
    assert frames_of(Waiting(sizes, np.full(10, np.nan), 10, 1)) == Range.exactly(0.0)
