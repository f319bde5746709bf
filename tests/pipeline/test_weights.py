"""From a published file to one that a run takes: converted, checked against its network, with a card."""

import argparse
import hashlib

import pytest
import timm
import torch
from safetensors import safe_open
from torch import nn

from fer_batch.models import checkpoint
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.models.checkpoint import read_state
from fer_batch.pipeline.weights import convert, write_card
from fer_batch.types import InputError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A whole module as EmotiEffLib saves it, and its file."""
    model = timm.create_model("tf_efficientnet_b0.ns_jft_in1k", pretrained=False)
    model.classifier = nn.Sequential(nn.Linear(1280, 8))
    path = tmp_path_factory.mktemp("published") / "enet_b0_8_best_vgaf.pt"
    torch.save(model.eval(), path)
    return model, str(path)


def test_a_whole_module_becomes_a_checkpoint_that_a_job_only_names(published, tmp_path):
    model, path = published
    with pytest.raises(
        InputError, match="wants to run code, which is refused; fer-batch convert takes its tensors out"
    ):
        checkpoint.load(resolve(ModelSpec(known="enet_b0_8_best_vgaf", checkpoint=path)))
    out = str(tmp_path / "new" / "enet.safetensors")
    done = convert(path, out, known="enet_b0_8_best_vgaf")
    assert (done.uri, done.card, done.n_tensors) == (out, str(tmp_path / "new" / "enet.json"), len(model.state_dict()))
    resolved = resolve(ModelSpec(checkpoint=out))
    assert (resolved.name, resolved.weights_digest) == ("enet_b0_8_best_vgaf", done.digest)
    with open(path, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() in resolved.card.notes
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(checkpoint.load(resolved)(images), model(images))
    assert convert(path, out, known="enet_b0_8_best_vgaf") == done  # the same again changes nothing
    other = save(tmp_path / "other.pt", {"a": torch.zeros(1)})
    with pytest.raises(InputError, match=r"enet\.safetensors is there already, and is another file"):
        convert(other, out)


def test_a_file_of_another_network_is_not_written(published, tmp_path):
    out = tmp_path / "enet.safetensors"
    with pytest.raises(InputError, match=r"known: enet_b2_8\): .*enet\.safetensors"):
        convert(published[1], str(out), known="enet_b2_8")
    assert not list(tmp_path.iterdir())


def save(path, value):
    torch.save(value, path)
    return str(path)


def test_names_lose_what_parallel_training_put_before_them(tmp_path):
    state = nn.Linear(2, 1).state_dict()
    parallel = {"net": {f"module.{name}": tensor for name, tensor in state.items()}, "args": argparse.Namespace(a=1)}
    path = save(tmp_path / "without_a_suffix_30_13.32", parallel)
    out = str(tmp_path / "out.safetensors")
    assert convert(path, out).card is None
    with open(out, "rb") as file:
        found = read_state(file.read(), out)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    with safe_open(out, "pt") as file:
        assert file.metadata()["converted_from"].startswith("without_a_suffix_30_13.32, sha256 ")


def test_a_card_is_written_beside_a_file_that_fits(published, tmp_path):
    model, _ = published
    path = save(tmp_path / "enet.pt", model.state_dict())
    assert write_card("enet_b0_8_best_vgaf", path) == str(tmp_path / "enet.json")
    assert resolve(ModelSpec(checkpoint=path)).architecture == "timm:tf_efficientnet_b0"
    with pytest.raises(InputError, match=r"enet\.json is there already"):
        write_card("enet_b0_8_best_afew", path)
    wrong = save(tmp_path / "wrong.pt", {"a": torch.zeros(1)})
    with pytest.raises(InputError, match=r"wrong\.pt misses conv_stem\.weight"):
        write_card("enet_b0_8_best_vgaf", wrong)
    assert not (tmp_path / "wrong.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.pt", "out.safetensors"), r"weights file 'no\.pt' does not exist"),
        (("no.pt", "out.pt"), r"tensors are written as \.safetensors, got 'out\.pt'"),
    ],
)
def test_what_cannot_be_converted_is_said(arguments, message):
    with pytest.raises(InputError, match=message):
        convert(*arguments)
