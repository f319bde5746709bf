"""A job file becomes plain values, with overrides applied; what cannot be read is one sentence."""

import pytest

from fer_batch.config import read_jobs
from fer_batch.types import InputError

JOB = "name: d\nsource: {uri: in}\noutput: out\nmodel: {checkpoint: demo}\n"


@pytest.fixture
def job(tmp_path):
    """Writes a job file; gives its path."""

    def write(text=JOB):
        path = tmp_path / "job.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_overrides_are_typed_and_make_sections(job):
    (config,) = read_jobs(
        job(), ("spray.tau=0.2", "explain.targets=[AU01]", "source.sampling.fps=5", "regions=none"), output="s3://b/out"
    )
    assert (config.spray.tau, config.explain.targets, config.source.sampling.fps) == (0.2, ("AU01",), 5.0)
    assert (config.output, config.regions) == ("s3://b/out", "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a\n", "must hold keys"),
        ("", "must hold keys"),
        (JOB + "kind: train\n", "kind 'train'"),
    ],
)
def test_a_file_that_is_no_job(job, text, message):
    with pytest.raises(InputError, match=message):
        read_jobs(job(text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_jobs(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_jobs(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: ä".encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read"):
        read_jobs(tmp_path / "latin.yaml")


@pytest.mark.parametrize("override", ["source.uri", "=x", "name.x=1"])
def test_an_override_that_is_none(job, override):
    with pytest.raises(InputError, match="--set"):
        read_jobs(job(), (override,))
