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


def test_a_list_of_explanations_is_one_job_each(job):
    listed = JOB + "explain:\n  - {method: gradient}\n  - {method: lime, targets: AU01, options: {n_samples: 9}}\n"
    first, second = read_jobs(job(listed), ("explain.1.batch_size=4", "spray.tau=0.2"))
    assert (first.explain.method, first.explain.targets, first.explain.batch_size) == ("gradient", "active", 32)
    assert (second.explain.method, second.explain.targets, second.explain.batch_size) == ("lime", ("AU01",), 4)
    assert first.model_copy(update={"explain": second.explain}) == second
    assert first.spray.tau == 0.2


@pytest.mark.parametrize(
    ("explain", "override", "message"),
    [
        ("[]", "name=d", "explain: an empty list"),
        ("[lime]", "name=d", r"explain\.0: expected a section such as \{method: gradient, targets: all\}, got 'lime'"),
        ("[{}, {metod: lime}]", "name=d", r"explain\.1: unknown key 'metod'; did you mean 'method'"),
        ("[{}, {batch_size: 0}]", "name=d", r"explain\.1: batch_size: "),
        ("[{}]", "explain.method=lime", "'explain.method' is no key of a section"),
        ("[{}]", "explain.1.method=lime", "expected a number below 1"),
        ("[{}]", "spray.tau=-1", "spray.tau"),
    ],
)
def test_a_wrong_list_of_explanations_names_the_entry(job, explain, override, message):
    with pytest.raises(InputError, match=message):
        read_jobs(job(f"{JOB}explain: {explain}\n"), (override,))
