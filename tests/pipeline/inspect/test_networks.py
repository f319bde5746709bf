"""What `fer-batch networks` says of every record, and that docs/networks.md says the same."""

import json
from pathlib import Path

import pytest
import yaml

from fer_batch.config import build, build_train
from fer_batch.models.known import KNOWN, known_network
from fer_batch.pipeline.inspect.networks import (
    job_lines,
    known_networks,
    list_text,
    network_facts,
    network_text,
    use_of,
)
from fer_batch.types import InputError

DOCS = (Path(__file__).parents[3] / "docs" / "networks.md").read_text()
NAMES = list(KNOWN)


def plain(text):
    """Without line breaks of the layout."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_record_says_is_printed(name):
    record = known_network(name)
    text = plain(network_text(record))
    origin = record.origin
    said = (record.title, record.file, record.missing, record.outputs, record.input, record.crop, *record.traps)
    for part in (*said, origin.project, origin.paper, origin.read_at, origin.code_licence, origin.weights_licence):
        assert plain(part) in text
    assert ", ".join(record.targets) in text
    assert all(line in text for line in job_lines(record))


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_a_job_are_a_job(name):
    record = known_network(name)
    section = yaml.safe_load("\n".join(job_lines(record)).replace("PREPROCESSING", "{size: 224}"))
    if use_of(record) == "train":
        values = {"kind": "train", "name": "t", "sources": [{"dataset": "a", "uri": "x"}], "output": "out", **section}
        assert build_train(values, "job").network.architecture == record.build.architecture
        return
    for key, value in (("head", "softmax"), ("targets", ["a", "b"])):
        if section["model"].get(key) == key.upper():
            section["model"][key] = value
    config = build({"name": "j", "source": {"uri": "in"}, "output": "out", **section}, "job")
    assert config.model.known == name
    assert all(getattr(config.faces, key) == value for key, value in record.faces.items())


def test_the_list_has_every_network_under_what_it_is_for():
    lines = list_text(known_networks()).splitlines()
    headings = [number for number, line in enumerate(lines) if line and not line.startswith(" ")]
    for name in NAMES:
        (number,) = (number for number, line in enumerate(lines) if line.split()[:1] == [name])
        place = max(heading for heading in headings if heading < number)
        assert headings.index(place) == ["run", "train", "facts"].index(use_of(known_network(name)))


def test_json_has_all_and_what_it_is_for():
    facts = json.loads(json.dumps([network_facts(record) for record in known_networks()]))
    assert {fact["use"] for fact in facts} == {"run", "train", "facts"}
    (found,) = (fact for fact in facts if fact["name"] == "enet_b2_7")
    assert found["preprocessing"] == known_network("enet_b2_7").preprocessing.model_dump(mode="json")
    assert found["build"]["key_map"] == [[r"^classifier\.0\.", "classifier."]]
    assert found["job"] == ["model: {known: enet_b2_7, checkpoint: FILE}", "faces: {align: none}"]
    with pytest.raises(InputError, match="did you mean 'enet_b2_7'"):
        known_networks("enet_b27")


def docs_row(record):
    """Its line of one of the tables in docs/networks.md."""
    size = f"{record.preprocessing.size}" if record.preprocessing else record.input.partition("x")[0]
    licence = record.origin.weights_licence.partition(";")[0]
    if record.build is None:
        return f"| `{record.name}` | {record.title} | {record.missing} | {licence} |"
    file = "`fer-batch convert`" if record.prepare == "convert" else "as it is"
    lrp = "yes" if record.build.relevance_rules else "no"
    return f"| `{record.name}` | {record.title} | {size} | {file} | {lrp} | {licence} |"


def test_docs_have_the_row_of_every_record_and_no_other():
    rows = [line for line in DOCS.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(docs_row(KNOWN[name]) for name in NAMES)
