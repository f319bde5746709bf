"""Jobs of kind train with a small network, and two posed people to train on."""

import pytest

from fer_batch.config import build_train
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_people

NETWORK = {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}}


@pytest.fixture(scope="session")
def job():
    """A job of one source that is never read, with sections replaced."""

    def make(**more):
        source = {"dataset": "a", "uri": "x"}
        values = {"kind": "train", "name": "test", "sources": [source], "output": "out"}
        return build_train({**values, **more, "network": {**NETWORK, **more.get("network", {})}}, "test")

    return make


@pytest.fixture(scope="session")
def job_of(job):
    """A job of some sources whose faces are known."""

    def make(output, *sources, **more):
        return job(**{"sources": list(sources), "output": str(output), "faces": {"detector": "dataset"}, **more})

    return make


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, size=96, plans=plan_people(2, 2, 12))
    (folder / "P001" / "broken.mp4").write_bytes(b"not a video")
    text = (folder / "sequences.csv").read_text() + "P001/broken.mp4,P001,\n"
    (folder / "sequences.csv").write_text(text)
    return folder
