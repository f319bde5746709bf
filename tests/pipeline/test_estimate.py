"""From a few inputs to all of them: ranges hold as often as they say, and nothing is guessed that is known."""

from dataclasses import replace

import numpy as np
import pytest

from fer_batch.pipeline.estimate import Prices, estimate
from fer_batch.pipeline.ranges import Range
from fer_batch.pipeline.scaling import Rehearsed, Tried, Waiting
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


def test_what_was_tried_whole_is_known():
    waiting = Waiting(np.full(2, 1e6), np.full(2, 20.0), 2, 1)
    found = estimate(waiting, DONE, 2, Prices(cpu=1.0))
    assert found.objects == Range.exactly(len(FILES))
    assert found.bytes.value == pytest.approx(sum(size for _, size in FILES))
    assert found.bytes.high < 1.03 * found.bytes.low
    assert found.frames == Range.exactly(40)
    decode = found.decode_cpu_hours
    assert decode.value == pytest.approx(4.2 / 3600) and decode.high > 2 * decode.value > 4 * decode.low, "of a clock"
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


def test_a_report_of_many_pages_is_drawn_by_all_cpus():
    few, many = (
        estimate(replace(ALL, sizes=np.ones(n), frames=np.full(n, 200.0)), DONE, 4, Prices()) for n in (99, 100)
    )
    assert many.report_hours.value < few.report_hours.value / 3


def test_an_explanation_that_half_of_the_inputs_wait_for_takes_half():
    half, found = (estimate(replace(ALL, share=share), DONE, 2, Prices()) for share in (0.5, 1.0))
    assert half.maps_hours.value == pytest.approx(found.maps_hours.value / 2)
    assert half.network_hours.value == pytest.approx(found.network_hours.value), "the network sees every frame once"
