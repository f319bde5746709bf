"""The job file is read once; what is wrong in it is one sentence that names the key."""

import re

import pytest
from pydantic import ValidationError

from fer_batch.config import build
from fer_batch.types import InputError

BASE = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}


def test_a_short_job_has_the_documented_defaults():
    config = build(BASE, "job")
    assert (config.source.format, config.explain.method, config.explain.targets) == (
        "videos",
        "preset_a_flat",
        "active",
    )
    assert config.phases == ("explain", "prototypes", "report")
    assert (config.keep_relevance, config.regions, config.spray.rule) == ("all", "default", "steps")
    with pytest.raises(ValidationError):
        config.name = "other"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"explain": {"targets": "AU01"}}, lambda c: c.explain.targets == ("AU01",)),
        ({"explain": {"targets": "all"}}, lambda c: c.explain.targets == "all"),
        ({"phases": "explain"}, lambda c: c.phases == ("explain",)),
        ({"source": {"uri": "in", "pattern": "*.mp4"}}, lambda c: c.source.pattern == ("*.mp4",)),
        ({"source": {"uri": "in", "pattern": None}}, lambda c: c.source.pattern == ()),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",  # a function's address differs between workers
)
def test_one_is_written_as_people_write_one(section, expected):
    assert expected(build({**BASE, **section}, "job"))


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"modle": {}}, "unknown key 'modle'; did you mean 'model'?"),
        ({"spray": {"ruel": "eigengap"}}, "unknown key 'spray.ruel'; did you mean 'rule'?"),
        ({"source": {"uri": "in", "sampling": {"sride": 2}}}, "'source.sampling.sride'; did you mean 'stride'?"),
        ({"source": {"uri": ""}}, "source.uri: name the folder"),
        ({"output": ""}, "output: name the output folder"),
        ({"output": "in/"}, "the same folder"),
        ({"name": "a/b"}, "letters, digits"),
        ({"explain": {"batch_size": 0}}, "explain.batch_size: input should be greater than 0, got 0"),
        ({"spray": {"tau": float("nan")}}, "spray.tau"),
        (
            {"source": {"uri": "in", "sampling": {"stride": 0}}},
            "source.sampling: stride must be a whole number >= 1, got 0",
        ),
        ({"labels": {"present_from": 0}}, "labels: absent_to 0 must be below present_from 0"),
        ({"keep_relevance": "some"}, "keep_relevance"),
        ({"phases": ["explode"]}, "phases"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_sentence_with_the_key(section, sentence):
    with pytest.raises(InputError) as caught:
        build({**BASE, **section}, "jobs/x.yaml")
    assert str(caught.value).startswith("jobs/x.yaml: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match="missing key 'model'"):
        build({key: value for key, value in BASE.items() if key != "model"}, "job")


def test_a_section_of_another_room_is_checked_as_any_other():
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    config = build({**values, "report": {"normalise": "two_sided", "top_x": 10}}, "job")
    assert (config.report.two_sided, config.report.shares) == (True, (10.0, 4.0))
    assert config.model_dump(mode="json")["report"] == {"normalise": "two_sided", "colours": "bwr", "top_x": 10.0}
    for section, said in (
        ({"colors": "jet"}, "unknown key 'report.colors'; did you mean 'colours'?"),
        ({"colours": "jett"}, "report.colours: input should be 'bwr' or 'jet'"),
        ({"top_x": 0}, "report: top_x is a percentage above 0 up to 100"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            build({**values, "report": section}, "job")


def test_a_key_of_an_earlier_version_is_answered_with_its_new_name():
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    with pytest.raises(InputError, match="key 'stories' is called 'temporal_prototypes' now"):
        build({**values, "stories": {"min_run": 3}}, "job")


@pytest.mark.parametrize(
    ("section", "rule", "align"),
    [
        ({}, "steps", "face"),
        ({"align": "crop"}, "steps", "crop"),
        ({"rule": "paper"}, "paper", "crop"),
        ({"rule": "paper", "align": "face"}, "paper", "face"),
        ({"n_neighbors": 10, "tau": 0.02}, "near_zero_gap", "crop"),
        ({"rule": "steps", "n_neighbors": 10}, "steps", "face"),
    ],
)
def test_options_of_the_graph_mean_a_rule_of_the_graph(section, rule, align):
    config = build({**BASE, "spray": section}, "job").spray
    assert (config.rule, config.align) == (rule, align)
