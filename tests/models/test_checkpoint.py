"""Weights to disk and back, and everything that must not load."""

from __future__ import annotations

import json
import pickle
import sys

import pytest
import safetensors.torch
import torch
from torch import nn

from fer_batch.models import checkpoint
from fer_batch.models.backbone import build
from fer_batch.models.card import Card, ModelSpec, resolve
from fer_batch.types import InputError

TARGETS = ("AU01", "AU12")


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = build("resnet18", 2, {"width": 0.1}).eval()
    card = Card(name="tiny", architecture="resnet18", options={"width": 0.1}, targets=TARGETS)
    path = tmp_path / "tiny.safetensors"
    return model, path, checkpoint.save(model, path, card)


def load(path, **spec):
    return checkpoint.load(resolve(ModelSpec(checkpoint=str(path), **spec)))


def test_a_saved_model_comes_back_the_same(saved):
    model, path, card = saved
    loaded = load(path)
    x = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=0)
    assert not loaded.training
    assert (
        json.loads(path.with_suffix(".json").read_text())["digest"]
        == card.digest
        == resolve(ModelSpec(checkpoint=str(path))).weights_digest
    )


def test_changed_weights_are_noticed_between_planning_and_loading(saved):
    _, path, _ = saved
    resolved = resolve(ModelSpec(checkpoint=str(path)))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match="changed while the run was under way"):
        checkpoint.load(resolved)


@pytest.mark.parametrize("wrapped", [False, True])
def test_pt_files_of_tensors_load(saved, tmp_path, wrapped):
    model, _, _ = saved
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    path = tmp_path / "foreign.pt"
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
    spec = {"architecture": "resnet18", "options": {"width": 0.1}, "head": "multilabel", "targets": TARGETS}
    loaded = load(path, key_map={"module.": ""}, **spec)
    torch.testing.assert_close(loaded.fc.weight, model.fc.weight)


class Bomb:
    def __reduce__(self):
        return (open, ("bomb_went_off", "w"))


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("bomb.pt", "wb") as file:
        pickle.dump({"a": Bomb()}, file)
    torch.save(nn.Linear(1, 1), "module.pt")
    for name in ("bomb.pt", "module.pt"):
        with pytest.raises(InputError, match="wants to run code, which is refused"):
            load(name, architecture="resnet18", head="multilabel", targets=TARGETS)
    assert not (tmp_path / "bomb_went_off").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_named(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"\x00" * 30)
    with pytest.raises(InputError, match=f"broken{suffix}"):
        load(path, architecture="resnet18", head="multilabel", targets=TARGETS)


def test_wrong_shapes_missing_and_unexpected_tensors_are_named(saved):
    _, path, _ = saved
    path.with_suffix(".json").unlink()
    spec = {"architecture": "resnet18", "options": {"width": 0.1}, "head": "multilabel"}
    with pytest.raises(InputError, match=r"fc\.weight has shape \(2, 51\), the network expects \(3, 51\)"):
        load(path, targets=("a", "b", "c"), **spec)
    with pytest.raises(InputError, match=r"misses fc\.weight, fc\.bias and has head\.bias, head\.weight"):
        load(path, targets=TARGETS, key_map=(("^fc", "head"),), **spec)
    with pytest.raises(InputError, match=r"names two tensors 'fc\.weight'"):
        load(path, targets=TARGETS, key_map=((r"^fc\..*", "fc.weight"),), **spec)
    with pytest.raises(InputError, match="key_map"):
        load(path, targets=TARGETS, key_map=(("(", "x"),), **spec)


def test_key_maps_of_prefixes_take_the_longest_and_can_drop():
    keys = ["net.a", "net.head.w", "other"]
    assert checkpoint.rename(keys, {"net.": "", "net.head.": "fc."}) == {
        "net.a": "a",
        "net.head.w": "fc.w",
        "other": "other",
    }
    assert checkpoint.rename(keys, {"net.head.": None}) == {"net.a": "net.a", "other": "other"}
    assert checkpoint.rename(keys, [(r"^net\.(\w)$", r"x.\1"), ("head", None)]) == {"net.a": "x.a", "other": "other"}


def test_a_new_head_keeps_its_weights_where_a_backbone_is_loaded(saved):
    model, _, _ = saved
    new = build("resnet18", 7, {"width": 0.1})
    before = new.fc.weight.clone()
    checkpoint.load_state(new, model.state_dict(), keep=("fc.",))
    torch.testing.assert_close(new.fc.weight, before)
    torch.testing.assert_close(new.conv1.weight, model.conv1.weight)


def network(kind: str) -> nn.Module:
    body = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)]
    return nn.Sequential(*body, *([nn.Sigmoid()] if kind == "sigmoid" else []))


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def net(extra=None):\n"
        "    end = [extra()] if extra else []\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2), *end)\n"
        "def sigmoid():\n    return net(nn.Sigmoid)\n"
        "def nothing():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(network("plain").state_dict(), path)
    yield path
    sys.modules.pop("own_nets", None)


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("own_nets:sigmoid", {}, "ends in Sigmoid; it must return logits"),
        ("own_nets:nothing", {}, "returned int"),
        ("own_nets:absent", {}, "cannot be imported"),
        ("own_nets", {}, r"expected package\.module:callable"),
        ("own_nets:net", {"options": {"depth": 1}}, "does not take"),
        ("own_nets:net", {"targets": ("a", "b", "c")}, r"must return logits \(1, 3\)"),
    ],
)
def test_factories_that_do_not_fit_are_refused(factory, name, extra, message):
    spec = {"factory": name, "head": "multilabel", "targets": TARGETS} | extra
    with pytest.raises(InputError, match=message):
        load(factory, **spec)
    assert load(factory, factory="own_nets:net", head="softmax", targets=TARGETS) is not None


def test_the_worked_example_of_the_documentation_runs(tmp_path, monkeypatch):
    """docs/own_network.md, block by block: its Python makes the files, its YAML loads them."""
    import re
    from pathlib import Path

    import yaml

    page = (Path(__file__).parents[2] / "docs" / "own_network.md").read_text()
    blocks = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", page, flags=re.S))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "networks.py").write_text(blocks["clinic/networks.py"])
    exec(blocks["export.py"], {})
    section = yaml.safe_load(blocks["job.yaml"])["model"]
    resolved = resolve(ModelSpec(**section))
    model = checkpoint.load(resolved)
    assert resolved.targets == ("AU04", "AU06", "AU12")
    assert resolved.preprocessing.size == 128
    theirs = torch.load("clinic.pt", weights_only=True)["state_dict"]
    torch.testing.assert_close(model.classifier[3].weight, theirs["module.head.weight"])
    sys.modules.pop("clinic.networks", None)
    sys.modules.pop("clinic", None)
