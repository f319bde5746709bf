"""Tensors come out of pickles that name any class; nothing of theirs is run."""

import argparse
import io
import os
import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from fer_batch.models.unpickle import tensors_of_pickle
from fer_batch.types import InputError


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


class Recorder:
    """An object of the authors' own script."""

    def __init__(self):
        self.losses = [1.0, 2.0]


class Own(nn.Module):
    """A module of the authors', with a buffer that is not saved and a parameter that is not there."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2)])
        self.register_buffer("scale", torch.arange(3.0))
        self.register_buffer("scratch", torch.zeros(5), persistent=False)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_gives_its_state_dict(zipped):
    model = Own()
    assert_same(tensors_of_pickle(saved(model, _use_new_zipfile_serialization=zipped), "m.pt"), model.state_dict())


def test_a_module_needs_none_of_its_classes():
    """An EfficientNet of timm as EmotiEffLib saves it, read where neither timm nor its classes can be imported."""
    model = timm.create_model("efficientnet_lite0", pretrained=False, num_classes=8)
    model.classifier = nn.Sequential(nn.Linear(1280, 8))
    assert_same(tensors_of_pickle(saved(model), "m.pt"), model.state_dict())
    file = io.BytesIO(saved(model))
    code = (
        "import sys, torch; sys.modules['timm'] = None\n"
        "from fer_batch.models.unpickle import tensors_of_pickle\n"
        "found = tensors_of_pickle(sys.stdin.buffer.read(), 'm.pt')\n"
        "print(len(found), float(sum(t.double().sum() for t in found.values())))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=file.getvalue(), capture_output=True, check=True)
    n_tensors, total = done.stdout.split()
    state = model.state_dict()
    assert int(n_tensors) == len(state)
    assert float(total) == pytest.approx(float(sum(t.double().sum() for t in state.values())), rel=1e-12)


@pytest.mark.parametrize("wrapper", ["model", "net", "state_dict"])
def test_objects_beside_the_tensors_are_passed_over(wrapper):
    state = nn.Linear(3, 2).state_dict()
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))])
    beside = {
        "args": argparse.Namespace(lr=1.0),
        "recorder": Recorder(),
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
    }
    assert_same(tensors_of_pickle(saved({**beside, wrapper: state}), "m.pth"), state)


def test_where_there_are_several_a_key_chooses():
    one, two = nn.Linear(3, 2).state_dict(), nn.Linear(3, 2).state_dict()
    data = saved({"net": {"a": one, "b": two}, "epoch": 1})
    with pytest.raises(InputError, match=r"tensors under each of net\.a, net\.b; choose one"):
        tensors_of_pickle(data, "m.pth")
    assert_same(tensors_of_pickle(data, "m.pth", "net.b"), two)
    with pytest.raises(InputError, match=r"no tensors under 'net\.c'; did you mean 'net\.[ab]'"):
        tensors_of_pickle(data, "m.pth", "net.c")
    assert_same(tensors_of_pickle(saved({"ema": two, "state_dict": one}), "m.pth"), one)


class Settings(dict):
    """A dict of the authors' own."""


def test_a_dict_of_a_class_of_its_own_is_looked_into():
    state = nn.Linear(3, 2).state_dict()
    assert_same(tensors_of_pickle(saved(Settings(model=Settings(state))), "m.pth"), state)


class Bomb:
    """Unpickled by calling what it names."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["beside", "instead", "inside"])
def test_nothing_that_a_file_names_is_run(place, zipped, tmp_path):
    """`os.system`, `exec` and `eval` are named; the tensors come out, and nothing happens."""
    went_off = tmp_path / "went_off"
    touch = f"open({str(went_off)!r}, 'w').close()"
    bombs = [Bomb(os.system, f"touch {went_off}"), Bomb(exec, touch), Bomb(eval, touch)]
    model = Own()
    if place == "inside":
        model.layers[0].extra = bombs
        value = model
    else:
        value = {"state_dict": model.state_dict(), "more": bombs} if place == "beside" else bombs
    data = saved(value, _use_new_zipfile_serialization=zipped)
    if place == "instead":
        with pytest.raises(InputError, match="holds no tensors by name"):
            tensors_of_pickle(data, "m.pt")
    else:
        assert_same(tensors_of_pickle(data, "m.pt"), model.state_dict())
    assert not went_off.exists()
    torch.load(io.BytesIO(data), weights_only=False)  # that it would have been
    assert went_off.exists()


def test_functions_of_torch_are_not_altered():
    file = io.BytesIO()
    # GLOBAL of the function, then BUILD with a state of (None, {'__doc__': 'altered'}), which sets attributes
    file.write(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}U\x07__doc__U\x07alteredstb.")
    from fer_batch.models.unpickle import _Pickles

    before = torch._utils._rebuild_tensor_v2.__doc__
    file.seek(0)
    found = _Pickles.load(file)
    assert found.__doc__ == "altered"
    assert torch._utils._rebuild_tensor_v2.__doc__ == before


def test_a_program_is_refused():
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    with pytest.raises(InputError, match="TorchScript archive, which is a program"):
        tensors_of_pickle(file.getvalue(), "m.pt")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"\x80\x02.", b"\x89HDF\r\n", saved({"epoch": 3})])
def test_what_holds_no_tensors_is_refused(data):
    with pytest.raises(InputError, match=r"m\.pt (is not a readable PyTorch file|holds no tensors)"):
        tensors_of_pickle(data, "m.pt")
