"""`fer-batch inspect` of a checkpoint: everything the card says, and whether the file keeps its word."""

from __future__ import annotations

import json
import pickle

import pytest

from fer_batch import cli
from fer_batch.models import checkpoint
from fer_batch.models.backbone import build
from fer_batch.models.card import Card, Preprocessing, card_uri

CARD = Card(
    name="clinic",
    architecture="resnet18",
    options={"width": 0.05},
    targets=("AU04", "AU12"),
    preprocessing=Preprocessing(size=64, color="gray", mean=(0.5, 0.5, 0.5)),
    trained_on=("ward A", "ward B"),
    f1={"AU04": 0.71, "AU12": None},
    licence="internal use",
    notes="first attempt",
)


@pytest.fixture
def path(tmp_path):
    checkpoint.save(build("resnet18", 2, {"width": 0.05}), tmp_path / "clinic.safetensors", CARD)
    return tmp_path / "clinic.safetensors"


def inspected(capsys, *args) -> str:
    assert cli.main(["inspect", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_everything_on_the_card_is_said(path, capsys):
    text = inspected(capsys, path)
    digest = json.loads(path.with_suffix(".json").read_text())["digest"]
    for said in (
        "clinic: resnet18 (width 0.05)",
        "multilabel, 2 targets: AU04, AU12",
        "input 64x64 gray, mean 0.5 0.5 0.5, std 1 1 1",
        "trained on ward A; ward B",
        "F1 AU04 0.71, AU12 undefined",
        "licence internal use",
        "first attempt",
        f"digest {digest}",
        "loads, and returns one logit per target",
    ):
        assert said in text


def test_json_has_the_tensors_too(path, capsys):
    found = json.loads(inspected(capsys, path, "--json"))
    assert found["shapes"]["fc.weight"] == [2, 26]
    assert found["n_values"] == sum(v.numel() for v in build("resnet18", 2, {"width": 0.05}).state_dict().values())
    assert found["problem"] is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"targets": ("AU01", "AU02", "AU04")}, "fc.weight has shape (2, 26), the network expects (3, 26)"),
        ({"architecture": "resnet81"}, "did you mean 'resnet18'"),
        ({"digest": "0" * 64}, "is not the file its card describes"),
        ({"architecture": None, "factory": "os:getcwd"}, "a card may not run code"),
    ],
)
def test_a_card_that_does_not_fit_is_told(path, capsys, change, problem):
    card = CARD.model_copy(update=change)
    path.with_suffix(".json").write_text(card.model_dump_json())
    (told,) = [line for line in inspected(capsys, path).splitlines() if line.startswith("  PROBLEM: ")]
    assert problem in told


def test_a_file_without_a_card_shows_what_it_holds(path, capsys):
    path.with_suffix(".json").unlink()
    text = inspected(capsys, path)
    assert "no card beside it" in text
    assert card_uri(str(path)) in text
    assert "fc.weight (2, 26)" in text


class Bomb:
    def __reduce__(self):
        return (open, ("bomb_went_off", "w"))


def test_inspecting_a_malicious_pickle_runs_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    assert cli.main(["inspect", "evil.pt"]) == 1
    error = capsys.readouterr().err
    assert "evil.pt is a pickle that wants to run code, which is refused" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "bomb_went_off").exists()
