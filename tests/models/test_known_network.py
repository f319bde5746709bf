"""Every published network is one record: what is stated there agrees with itself, and a job needs to name it only."""

from __future__ import annotations

import sys
import types
from dataclasses import fields, replace

import pytest
import torch

from fer_batch.facs import EXPRESSIONS
from fer_batch.models import checkpoint
from fer_batch.models.backbone import build
from fer_batch.models.card import ModelSpec, Preprocessing, resolve
from fer_batch.models.known import KNOWN, KnownNetwork, import_families, known_card, known_network
from fer_batch.models.known_network import register
from fer_batch.types import InputError

RECORDS = [KNOWN[name] for name in KNOWN]
BUILT = [record for record in RECORDS if record.build]
WITHOUT = [record for record in RECORDS if not record.build]


def on_meta(record):
    """The module without memory."""
    with torch.device("meta"):
        return build(record.build.architecture, len(record.targets) or 2622, dict(record.build.options))


@pytest.mark.parametrize("record", BUILT, ids=lambda record: record.name)
def test_what_is_built_has_the_published_number_of_parameters(record):
    assert sum(p.numel() for p in on_meta(record).parameters()) == record.build.n_parameters


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_targets_are_action_units_or_expressions_and_their_number_is_that_of_the_outputs(record):
    words = {*EXPRESSIONS, "contempt"}
    for target in record.targets:
        assert target in words or (target[:2] == "AU" and target.lstrip("AULR").isdigit() and len(target) <= 5)
    if record.targets and record.outputs[0].isdigit():
        assert record.outputs.startswith(f"{len(record.targets)} ")
    if record.build and record.build.outputs is not None:
        assert len(record.build.outputs) == len(record.targets)


def test_the_order_of_classes_is_told_apart():
    """The five orders that are met most (a wrong one gives pages that look right)."""
    first = {name: known_network(name).targets[0] for name in ("enet_b2_8", "libreface_expression", "resmasknet")}
    assert first == {"enet_b2_8": "anger", "libreface_expression": "neutral", "resmasknet": "anger"}
    assert known_network("enet_b2_8").targets == tuple(sorted(known_network("enet_b2_8").targets))
    assert known_network("poster_rafdb").targets[0] == "surprise"
    assert known_network("poster_affectnet7").targets[0] == "neutral"


@pytest.mark.parametrize("record", BUILT, ids=lambda record: record.name)
def test_images_are_normalised_as_by_the_authors(record):
    imagenet = Preprocessing(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    size = 260 if "b2" in record.name else 224
    if record.name != "vgg_face":
        assert record.preprocessing == imagenet.model_copy(update={"size": size})


@pytest.mark.parametrize("missing", [field.name for field in fields(KnownNetwork)])
def test_a_record_without_one_of_its_fields_is_refused(missing):
    record = RECORDS[0]
    known = {field.name: getattr(record, field.name) for field in fields(KnownNetwork) if field.name != missing}
    with pytest.raises(TypeError, match=f"argument: '{missing}'"):
        KnownNetwork(**known)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": "nothing"}, "expected either build or what is missing"),
        ({"build": None}, "expected either build or what is missing"),
        ({"preprocessing": None}, "one that can be built needs preprocessing"),
        ({"targets": ("anger", "anger")}, "targets must be unique, got anger, anger"),
        ({"crop": ""}, "expected a text for crop"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(known_network("enet_b2_8"), **change)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="published network 'enet_b2_8' is already registered"):
        register(known_network("enet_b2_8"))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown published network 'enet_b2'; did you mean 'enet_b2_[78]'\?"):
        known_card(ModelSpec(known="enet_b2", checkpoint="x.pt"))


def test_one_module_is_a_whole_family(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(
        "from dataclasses import replace\n"
        "from fer_batch.models.known_network import KNOWN, register\n"
        "register(replace(KNOWN['enet_b2_8'], name='toy'))\n"
    )
    (tmp_path / "empty.py").write_text('"""Nothing."""\n')
    package = types.ModuleType("toy_families")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "toy_families", package)
    try:
        with pytest.raises(ImportError, match=r"toy_families\.empty registers no network"):
            import_families(package.__path__, "toy_families")
        (tmp_path / "empty.py").unlink()
        assert import_families(package.__path__, "toy_families") == ["toy_families.toy"]
        assert known_network("toy").build == known_network("enet_b2_8").build
    finally:
        KNOWN._entries.pop("toy", None)
        for name in ("toy", "empty"):
            sys.modules.pop(f"toy_families.{name}", None)


def spec_of(record, **more):
    return ModelSpec(known=record.name, checkpoint="file.pt", **more)


def read(uri):
    """A weights file without a card."""
    if uri != "file.pt":
        raise FileNotFoundError(uri)
    return b"weights"


@pytest.mark.parametrize("record", [record for record in BUILT if record.runs], ids=lambda record: record.name)
def test_a_job_has_to_name_it_only(record):
    found = resolve(spec_of(record), read)
    assert (found.architecture, found.head, found.targets) == (record.build.architecture, record.head, record.targets)
    assert (found.preprocessing, found.name, found.known) == (record.preprocessing, record.name, record.name)
    assert found.threshold == (record.threshold or 0.5)
    assert found.licence == record.origin.weights_licence
    assert found.card.faces["crop"] == record.crop


def test_what_the_job_says_wins_key_by_key():
    record = known_network("libreface_au_detection_repvgg")
    found = resolve(spec_of(record, threshold=0.5, name="mine", preprocessing={"size": 112}), read)
    assert (found.threshold, found.name, found.preprocessing.size) == (0.5, "mine", 112)
    assert found.preprocessing.mean == record.preprocessing.mean
    assert resolve(spec_of(record), read).threshold == pytest.approx(
        1 / (1 + torch.exp(torch.tensor(-0.5)).item()), abs=1e-4
    )


@pytest.mark.parametrize("record", WITHOUT, ids=lambda record: record.name)
def test_one_that_is_not_built_here_says_why(record):
    with pytest.raises(InputError) as error:
        resolve(spec_of(record), read)
    assert record.missing in str(error.value) and "give model.factory" in str(error.value)


@pytest.mark.parametrize("record", WITHOUT, ids=lambda record: record.name)
def test_with_a_module_of_the_users_the_record_says_the_rest(record):
    given = {"head": "softmax", "targets": ("one", "two"), "preprocessing": {"size": 224}}
    unsaid = {key: given[key] for key in record.unsaid()}
    if unsaid:
        with pytest.raises(InputError, match=f"give model.{next(iter(unsaid))}"):
            resolve(spec_of(record, factory="a.b:c"), read)
    found = resolve(spec_of(record, factory="a.b:c", **unsaid), read)
    assert found.factory == "a.b:c"
    assert found.targets == (record.targets or ("one", "two"))


def test_a_file_that_does_not_fit_is_refused_with_the_name_of_the_record(tmp_path):
    path = tmp_path / "file.pt"
    torch.save({"classifier.0.weight": torch.zeros(8, 1280)}, path)
    spec = ModelSpec(known="enet_b0_8_best_vgaf", checkpoint=str(path))
    with pytest.raises(InputError, match=r"model \(known: enet_b0_8_best_vgaf\): .*file\.pt misses conv_stem\.weight"):
        checkpoint.load(resolve(spec))


def test_the_record_stands_in_the_place_of_the_card_whose_digest_still_holds():
    def with_card(uri):
        return (
            b'{"name": "n", "targets": ["AU01"], "digest": "' + b"0" * 64 + b'"}' if uri == "file.json" else b"weights"
        )

    with pytest.raises(InputError, match="not the file its card describes"):
        resolve(spec_of(known_network("enet_b2_8")), with_card)
    found = resolve(spec_of(known_network("enet_b2_8")), lambda uri: b'{"name": "n", "targets": ["a"]}')
    assert found.targets == known_network("enet_b2_8").targets


def test_records_need_no_torch():
    import subprocess

    code = "import sys, fer_batch.models.known; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
