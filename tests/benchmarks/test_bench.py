"""The benchmark runs, and its table says what it should."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def result(bench, tmp_path_factory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("results")
    bench.main(["--quick", "--output", str(folder)])
    return json.loads((folder / "latest.json").read_text()), (folder / "latest.md").read_text()


def test_a_quick_run_compares_every_method(result):
    found, table = result
    ways = {}
    for row in found["rows"]:
        ways.setdefault((row["method"], row["case"]), set()).add(row["way"])
        assert row["median_ms"] > 0
        assert (row["ratio_median"] == 1.0) or row["way"] != "fer_batch"
    lrp = {
        "fer_batch",
        "fer_batch, bfloat16 backward",
        "zennit, by output",
        "zennit, frames repeated",
        "1 plain forward + K plain vjp",
    }
    assert {case: names for (method, case), names in ways.items() if method.startswith("LRP")} == {
        "K=1": lrp,
        "K=2": lrp,
        "3 active of 16": lrp,
    }
    for method in ("integrated gradients", "guided backpropagation", "Grad-CAM"):
        assert any(method == m and {"fer_batch", "captum"} <= names for (m, _), names in ways.items())
    assert table.count("\n| ") == len(found["rows"]) + 1
    assert f"load {found['load_before']:.1f} before" in table


def test_what_is_compared_is_the_same(result):
    """A ratio means something only between ways that find the same maps."""
    limits = {"zennit, by output": 1e-3, "zennit, frames repeated": 1e-3, "captum": 1e-4}
    limits["fer_batch, bfloat16 backward"] = 3e-2
    rows = [row for row in result[0]["rows"] if row["way"] in limits]
    assert len(rows) == 12
    for row in rows:
        assert row["relative_l2"] is not None and row["relative_l2"] < limits[row["way"]], row


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_measured_in_a_process_of_its_own(bench):
    arguments = bench.parsed(["--quick", "--frames", "8", "--width", "0.25"])
    assert 1 < bench.peak_mib(1, "zennit, frames repeated", arguments) < 500
