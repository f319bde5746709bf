"""`fer-batch networks` and `fer-batch convert`."""

import json

import pytest
import torch

from fer_batch.cli import main


def test_all_are_listed_and_one_is_described(capsys):
    assert main(["networks"]) == 0
    listed = capsys.readouterr().out
    assert "enet_b0_8_best_vgaf" in listed and "poster_rafdb" in listed
    assert main(["networks", "enet_b0_8_best_vgaf"]) == 0
    assert "model: {known: enet_b0_8_best_vgaf, checkpoint: FILE}" in capsys.readouterr().out


def test_json_is_a_list_or_one(capsys):
    assert main(["networks", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 30
    assert main(["networks", "vgg_face", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["use"] == "train"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["networks", "emonet"], "error: unknown published network 'emonet'; did you mean 'emonet_"),
        (["networks", "--card", "x.pt"], "error: --card x.pt: name the network it is of"),
        (["networks", "resmasknet", "--card", "x.pt"], "weights file 'x.pt' does not exist"),
        (["convert", "x.pt", "y.safetensors"], "error: weights file 'x.pt' does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(words, message, capsys):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_a_pickle_is_converted(tmp_path, capsys):
    path, out = str(tmp_path / "a.pt"), str(tmp_path / "b.safetensors")
    torch.save({"ema": {"w": torch.ones(3)}, "now": {"w": torch.zeros(3)}}, path)
    assert main(["convert", path, out]) == 1
    assert "tensors under each of ema, now; choose one by its key" in capsys.readouterr().err
    assert main(["convert", path, out, "--key", "ema"]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {out}: 3 values in 1 tensors, sha256 ")
