"""Fixtures every room may use."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Runs of the engine share one worker: they share a reference run, and two engines at once want four cores."""
    for item in items:
        if "end_to_end" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("end_to_end"))


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
