"""Fixtures every room may use."""

from __future__ import annotations

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one a core: threads would only wait for each other (read by NumPy, PyTorch)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[1]

# The same examples in every run: who changes a line is not told of an old fault elsewhere, by chance. New ones are
# looked for with `pytest --hypothesis-profile=search`.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=500, deadline=None)
hypothesis.settings.load_profile("repeatable")


# Ray reads it once, when it is first imported; a test that only needs its exceptions would leave it off for all others.
os.environ.setdefault("RAY_AUTH_MODE", "token")

LONGEST = ("test_cluster", "test_study", "test_kill", "test_cheat", "test_train", "test_s3")  # of tests/end_to_end


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A module is run by one worker, which its fixtures are made for; those that take longest begin.

    First whole runs, whose Ray a worker keeps from one to the next, then modules of many tests.
    """
    from xdist.scheduler import LoadFileScheduling

    def rank(nodeid):
        folder, _, name = nodeid.partition("::")[0].removesuffix(".py").rpartition("/")
        if folder != "tests/end_to_end":
            return len(LONGEST) + 1
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    class LongestFirst(LoadFileScheduling):
        def _assign_work_unit(self, node):
            self.workqueue.move_to_end(min(self.workqueue, key=rank), last=False)  # the first of equal ranks
            super()._assign_work_unit(node)

    return LongestFirst(config, log)


@pytest.fixture(scope="session")
def localisation_of_frames():
    """`localisation_of_subjects` of single frames: mass, share and subject of each, NaN where mu is undefined."""
    from fer_batch.evaluate import localisation_of_subjects

    def summed_up(mass, share, subjects):
        mu, area, who = (np.asarray(values) for values in (mass, share, subjects))
        defined = ~np.isnan(mu) & ~np.isnan(area)
        mu, area = mu[defined], area[defined]
        _, of_frame = np.unique(who[defined], return_inverse=True)
        sums = (np.bincount(of_frame, values) for values in (mu, area, mu / area))
        return localisation_of_subjects(np.bincount(of_frame), *sums, n_undefined=int((~defined).sum()))

    return summed_up


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real face media beside the checkout; tests that need it skip where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real face media of ../shared/data, which is not part of the repository")
    return folder


@pytest.fixture(scope="session")
def shared_oracles() -> Path:
    """Outputs of independent implementations beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "oracles"
    if not folder.is_dir():
        pytest.skip("needs the oracle outputs of ../shared/oracles, which are not part of the repository")
    return folder
