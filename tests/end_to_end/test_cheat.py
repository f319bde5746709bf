"""A network that takes a shortcut is caught: by the verdict, by the clusters, and in the report.

The network of `cheat/` is the first that docs/cheat.md tells of: DIR/cheat.safetensors of `python benchmarks/cheat.py
--work DIR`.
"""

import shutil
import sys
from pathlib import Path

import pytest

from fer_batch.posed.clips import write_clips
from fer_batch.storage.store import Store

from .conftest import called

pytestmark = pytest.mark.slow

NETWORK = Path(__file__).parent / "cheat"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def recipe():
    """The module that trains the networks of docs/cheat.md."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import cheat
    finally:
        sys.path.remove(str(BENCHMARKS))
    return cheat


@pytest.fixture(scope="module")
def in_this_process(engine, recipe):
    """The commands of the benchmark run here, on the Ray that runs."""

    def command(*arguments):
        done = called([str(word) for word in arguments])
        assert done.returncode == 0, done.stderr[-3000:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "fer_batch", command)
        yield


@pytest.fixture(scope="module")
def caught(recipe, in_this_process, tmp_path_factory):
    """Output and evaluation of the cheating network on clips of people it has not seen."""
    work = tmp_path_factory.mktemp("cheat")
    for path in NETWORK.iterdir():
        shutil.copy(path, work)
    write_clips(work / "clips", size=256, confound=recipe.CLIPS, plans=recipe.plan_people(6))
    return work / "cheat", recipe.explained(work, "cheat")


def test_the_verdict_flags_the_planted_action_unit_and_no_other(caught, recipe):
    verdicts = {verdict.target: verdict for verdict in caught[1].verdicts}
    assert set(verdicts) == set(recipe.LEARNED)
    assert [name for name, verdict in verdicts.items() if verdict.flagged] == [recipe.CHEATED]
    above = {name for name, verdict in verdicts.items() if verdict.localisation.above_chance}
    assert above >= {"AU04", "AU12", "AU15", "AU25", "AU26"}
    assert verdicts[recipe.CHEATED].f1 > 0.8, "a network that is never right is no cheat"


def test_clusters_keep_the_frames_with_the_sticker_apart(caught, recipe):
    found = recipe.strategies(Store(str(caught[0])))
    assert sum(clip.pure for clip in found) >= 2, found


def test_the_report_says_so(caught, recipe):
    (page,) = caught[0].rglob("verdict.html")
    (verdict,) = (v for v in caught[1].verdicts if v.target == recipe.CHEATED)
    assert verdict.sentence.split(";")[0] in page.read_text()
