"""Fixtures every room may use."""

from __future__ import annotations

import os
from pathlib import Path

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

TRAININGS = ("test_cheat", "test_study", "test_train")  # of tests/end_to_end


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of one engine run share a reference run, so that one worker has them all; those that train, another.

    The group marker of `--dist loadgroup` would say the same, but pytest-xdist 3.8 does not get it through pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByEngine(LoadFileScheduling):
        def _split_scope(self, nodeid):
            if "tests/end_to_end/" not in nodeid:
                return super()._split_scope(nodeid)
            return "trainings" if nodeid.split("/")[-1].startswith(TRAININGS) else "end_to_end"

    return ByEngine(config, log)


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
