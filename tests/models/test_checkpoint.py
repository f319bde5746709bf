"""Weights to disk and back, and everything that must not load."""

from __future__ import annotations

import io
import json
import pickle
import sys

import numpy as np
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


def test_what_a_download_leaves_instead_of_weights_is_recognised(tmp_path):
    for data, message in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer and not the file itself"),
        (b"<html>404</html>", "is no PyTorch file: it begins with b'<html>404</html>'"),
        (b"", "is no PyTorch file"),
        (pickle.dumps([1, 2]), "is a pickle that holds no tensors"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            checkpoint.read_state(data, "w.pt")
        assert "weights_only" not in str(caught.value), "torch's advice to run the code is not passed on"


@pytest.mark.parametrize("new_format", [True, False])
def test_damage_anywhere_in_a_file_is_told_in_one_sentence(new_format):
    """Bytes changed or cut off at random: tensors, or an InputError, and never another exception."""
    buffer = io.BytesIO()
    torch.save({"a": torch.rand(3, 3), "b": torch.rand(2)}, buffer, _use_new_zipfile_serialization=new_format)
    whole, rng = buffer.getvalue(), np.random.default_rng(0)
    refused = lines = 0
    for k in range(60):
        data = bytearray(whole)
        if k % 3 == 0:
            del data[rng.integers(len(data)) :]
        else:
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            checkpoint.read_state(bytes(data), "w.pt")
        except InputError as error:
            refused += 1
            lines = max(lines, len(str(error).splitlines()))
    assert refused > 20
    assert lines == 1


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
        "def broken():\n    raise FileNotFoundError('no mask.npy')\n"
        "def inside():\n    return nn.Linear('a', 2)\n"
        "class Picky(nn.Module):\n"
        "    def forward(self, x):\n        assert x.shape[2] == 7, 'only 7 pixels'\n"
        "class Deaf(nn.Module):\n"
        "    def forward(self, x):\n        return x.new_full((1, 2), float('nan'))\n"
        "number = 3\n"
    )
    (tmp_path / "broken_nets.py").write_text("def net(:\n")
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
        ("own_nets:absent", {}, "own_nets has no 'absent'"),
        ("own_nets:nets", {}, "did you mean 'net'"),
        ("no_such_package:net", {}, "cannot be imported: ModuleNotFoundError"),
        ("broken_nets:net", {}, "cannot be imported: SyntaxError"),
        ("own_nets:number", {}, "is a int, expected something to call"),
        ("own_nets:broken", {}, "failed: FileNotFoundError: no mask.npy"),
        ("own_nets:inside", {}, "failed: TypeError"),
        ("own_nets", {}, r"expected package\.module:callable"),
        ("own_nets:net", {"options": {"depth": 1}}, r"does not take .* it takes \(extra=None\)"),
        ("own_nets:net", {"targets": ("a", "b", "c")}, r"must return logits \(1, 3\)"),
    ],
)
def test_factories_that_do_not_fit_are_refused(factory, name, extra, message):
    spec = {"factory": name, "head": "multilabel", "targets": TARGETS} | extra
    with pytest.raises(InputError, match=message):
        load(factory, **spec)
    assert load(factory, factory="own_nets:net", head="softmax", targets=TARGETS) is not None


@pytest.mark.parametrize(
    ("name", "message"), [("Picky", "AssertionError: only 7 pixels"), ("Deaf", "with NaN or infinity")]
)
def test_a_network_that_fails_on_a_black_image_is_refused(factory, name, message):
    safetensors.torch.save_file({}, factory)
    with pytest.raises(InputError, match=message):
        load(factory, factory=f"own_nets:{name}", head="multilabel", targets=TARGETS)


def test_the_factory_of_a_card_is_called_only_if_the_job_names_it_too(tmp_path):
    """A card may come from anyone, with the weights; what it names must not run because it lies there."""
    went_off = tmp_path / "went_off"
    path = tmp_path / "gift.safetensors"
    card = Card(name="gift", factory="os:mkdir", options={"path": str(went_off)}, targets=TARGETS)
    checkpoint.save(build("resnet18", 2, {"width": 0.05}), path, card)
    with pytest.raises(InputError, match="a card may not run code"):
        load(path)
    assert not went_off.exists()
    factory = "fer_batch.models.backbone:resnet18"
    card = card.model_copy(update={"factory": factory, "options": {"n_outputs": 2, "width": 0.05}})
    checkpoint.save(build("resnet18", 2, {"width": 0.05}), path, card)
    assert load(path, factory=factory) is not None


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
