"""The grid of planted shortcuts: where its marks lie, when they are shown, and that its tables count what is there."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fer_batch.regions import region_masks

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("cheat_marks", "cheat_networks", "cheat_tables", "cheat_rates")


@pytest.fixture(scope="module")
def rates():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import cheat_rates

        yield cheat_rates
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def marks(rates):
    return sys.modules["cheat_marks"]


@pytest.fixture(scope="module")
def crops(marks):
    return marks.draw_crops(24, [11, 12, 13], seed=3, size=48)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("cheat_rates")


@pytest.fixture(scope="module")
def quick(rates, work):
    """Two tiny networks, trained, explained and judged; the folder holds their figures."""
    arguments = ["--work", str(work), "--quick", "--output", str(work / "found"), "--picture", str(work / "heat.png")]
    assert rates.main(arguments) == 0
    return work


@pytest.mark.parametrize("size", ["small", "large"])
def test_marks_lie_where_their_place_says(marks, crops, size):
    for au in marks.AUS:
        region = region_masks(crops.landmarks, f"AU{au:02d}", (48, 48))
        for place, least, most in (("off", 0, 0.01), ("face", 0, 0.01), ("inside", 0.75, 1)):
            for slot in range(len(marks.CORNERS)):
                mark = marks.disc_masks(crops.landmarks, marks.Shortcut(au, place, size, "sign", 0.7), slot, 48)
                shares = (mark & region).sum((1, 2)) / mark.sum((1, 2))
                assert least <= shares.mean() <= most, (au, place, slot)


def test_marks_are_shown_at_their_rates_and_nothing_else_changes(marks, crops):
    planted = [
        marks.Shortcut(4, "off", "large", "sign", 0.7),
        marks.Shortcut(12, "face", "large", "noisy", 0.85),
        marks.Shortcut(17, "inside", "large", "absence", 0.6),
    ]
    many = crops.rows(np.arange(24).repeat(500))
    shown = marks.shown(many, planted, np.random.default_rng(0))
    for k, (present, absent) in enumerate(((0.7, 0), (0.85, 0.15), (0, 0.6))):
        label = many.occurrence[:, marks.AUS.index(planted[k].au)] == 1
        assert shown[label, k].mean() == pytest.approx(present, abs=0.03)
        assert shown[~label, k].mean() == pytest.approx(absent, abs=0.03)
    few = np.eye(24, 3, dtype=bool)
    changed = (marks.painted(crops, planted, few) != crops.images).any(3)
    for k in range(3):
        near = marks.disc_masks(crops.landmarks, planted[k], k, 48)[k]
        assert (changed[k] & near).sum() > 0.8 * near.sum()
        assert (changed[k] & ~near).sum() < 0.3 * near.sum()
    assert not changed[3:].any()


def test_the_grid_holds_every_combination_once_and_no_two_marks_of_a_network_touch(rates, marks, crops):
    plans = rates.grid(crops.landmarks[0])
    planted = [shortcut for plan in plans for shortcut in plan.shortcuts]
    assert len(planted) == len(set(planted)) == 6 * (3 * 2 * 4 + 2 * 3)
    assert sum(plan.arm == "clean" for plan in plans) == rates.N_CLEAN
    assert all(marks.apart(plan.shortcuts, crops.landmarks[0]) for plan in plans)
    seeds = [plan.seed for plan in plans]
    assert len(set(seeds)) == len(seeds) and set(seeds) <= set(rates.REPORTED_SEEDS)
    assert not set(rates.TUNING_SEEDS) & {*seeds, *rates.FIRST_SEEDS, rates.POOL_SEED, rates.NEW_SEED}
    assert not set(rates.TRAINING_PEOPLE) & set(rates.NEW_PEOPLE)
    assert not set(rates.TUNING_PEOPLE) & {*rates.TRAINING_PEOPLE, *rates.NEW_PEOPLE}


def test_a_quick_run_trains_judges_and_writes(quick):
    text = (quick / "found.md").read_text()
    assert "2 networks, 12 verdicts" in text
    assert (quick / "heat.png").stat().st_size > 1000


def test_stored_figures_are_judged_without_training(rates, quick, tmp_path):
    (tmp_path / "again.parquet").write_bytes((quick / "found.parquet").read_bytes())
    assert rates.main(["--output", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again.md").read_text() == (quick / "found.md").read_text()


def test_without_a_folder_and_without_figures_nothing_is_judged(rates, tmp_path):
    with pytest.raises(SystemExit):
        rates.main(["--output", str(tmp_path / "none")])


def test_tables_tell_what_is_used_flagged_and_blind(rates, marks):
    """Hand-made findings: one used and flagged, one used and missed, one not used, one unit without a mark."""
    networks, tables = sys.modules["cheat_networks"], sys.modules["cheat_tables"]

    def finding(seed, mu, effect, planted=True):
        n = np.full(12, 5)
        spread = 1 + 0.01 * np.cos(np.arange(12))
        sums = networks.PerSubject(n, n * mu * spread, n * 0.05, n * mu / 0.05 * spread, n, n * 0.04)
        shortcut = marks.Shortcut(17, "off", "large", "sign", 0.7) if planted else None
        arm = "marked" if planted else "clean"
        return networks.Finding(seed, arm, 17, shortcut, 0.9, 0.6, effect, 0.0, 0.2, 0.01, sums)

    found = [finding(1, 0.03, 0.9), finding(2, 0.08, -0.3), finding(3, 0.08, 0.01), finding(4, 0.09, 0.0, False)]
    text = tables.markdown(found, "preset_a_flat")
    assert "4 networks, 4 verdicts: 3 on a planted shortcut" in text
    row = next(line for line in text.splitlines() if line.startswith("| 0.7 |"))
    assert [cell.split(" (")[0].strip() for cell in row.strip("|").split("|")] == [
        "0.7", "3", "2", "1", "1 of 3", "1 of 2", "1 of 1",
    ]  # fmt: skip
    assert "| AU17 | 0.90 | 0.090 | 0.050 | 0 of 1 (0 %, 0-98) | - | - |" in text
    assert "median 20.0" in text
