"""Tensors out of a PyTorch pickle of anything, without running code of it.

`torch.load` unpickles by calling what the file names, or refuses the file. Here whatever is named, but for the few
functions that make tensors, becomes an object that keeps its state and does nothing; tensors are then looked for in the
states. A whole pickled module gives its `state_dict` this way, whatever version of whatever library it was made with.
"""

from __future__ import annotations

import collections
import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from fer_batch.models.checkpoint import WRAPPERS
from fer_batch.registry import nearest
from fer_batch.types import InputError

State = dict[str, torch.Tensor]


class _Inert:
    """What stands for an object of any class: it takes every call, and keeps only its state and the items of a dict."""

    state: object = None
    held: dict[object, object]

    def __new__(cls, *_args: object, **_options: object) -> _Inert:
        made = object.__new__(cls)
        made.held = {}
        return made

    def __init__(self, *_args: object, **_options: object) -> None:
        pass

    def __call__(self, *_args: object, **_options: object) -> _Inert:
        return _Inert()

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.held[key] = value

    def __hash__(self) -> int:
        return id(self)

    def append(self, _item: object) -> None:
        """Take an item of a list."""

    def extend(self, _items: object) -> None:
        """Take items of a list."""

    def add(self, _item: object) -> None:
        """Take an item of a set."""


def _rebuild_tensor(*arguments: Any) -> torch.Tensor:
    return torch._utils._rebuild_tensor_v2(*arguments[:6])  # the seventh is metadata that no layer reads


def _rebuild_parameter(data: torch.Tensor, *_rest: object) -> torch.Tensor:
    return data


def _maker(kind: str) -> Any:
    """A new function or type for one of the names that may be called, so that no file can alter ours."""
    if kind == "tensor":
        return lambda *arguments: _rebuild_tensor(*arguments)
    if kind == "parameter":
        return lambda *arguments: _rebuild_parameter(*arguments)
    return set if kind == "set" else collections.OrderedDict


_MAKERS = {
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    ("collections", "OrderedDict"): "dict",
    ("builtins", "set"): "set",
    ("__builtin__", "set"): "set",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = _MAKERS.get((module, name))
        return _maker(kind) if kind else type(name.rpartition(".")[2], (_Inert,), {})


class _Pickles:
    """What `torch.load` takes for the module `pickle`."""

    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return _Unpickler(file, **options).load()


def tensors_of_pickle(data: bytes, uri: str, key: str | None = None) -> State:
    """Tensors of a PyTorch file by name, as `state_dict()` of what was saved names them.

    Parameters
    ----------
    data
        The whole file, in either of PyTorch's forms.
    uri
        Where it came from, for errors.
    key
        Under which the tensors are, where the file has several; dots lead further down (`model.ema`).

    Raises
    ------
    InputError
        If it is no such file, is damaged, or has no tensors or several sets of them and no key.
    """
    if _is_torchscript(data):
        raise InputError(
            f"{uri} is a TorchScript archive, which is a program; where you trust it, save the tensors of "
            "torch.jit.load(FILE).state_dict()"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sources of pickled modules that are not looked at
            loaded = torch.load(io.BytesIO(data), "cpu", pickle_module=_Pickles, weights_only=False)
    except Exception as error:  # a damaged file can break the reader anywhere
        raise InputError(f"{uri} is not a readable PyTorch file: {type(error).__name__}: {error}") from None
    found = _states(loaded)
    if not found:
        raise InputError(f"{uri} holds no tensors by name")
    return _chosen(found, uri, key)


def _is_torchscript(data: bytes) -> bool:
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _chosen(found: Mapping[str, State], uri: str, key: str | None) -> State:
    """The set of tensors that is meant: the one of a key, the only one, or that of a usual name."""
    if key is not None:
        if key not in found:
            raise InputError(f"{uri} has no tensors under {key!r}; {nearest(key, found)}")
        return found[key]
    usual = [name for name in ("", *WRAPPERS) if name in found]
    if not usual and len(found) > 1:
        raise InputError(f"{uri} has tensors under each of {', '.join(sorted(found))}; choose one by its key")
    return found[usual[0] if usual else next(iter(found))]


def _states(value: object, name: str = "", depth: int = 3) -> dict[str, State]:
    """Every set of tensors by name in what was saved, by the keys that lead to it; "" for the whole."""
    module = _module_state(value)
    if module:
        return {name: module}
    value = value.held if isinstance(value, _Inert) else value  # a class of its own that is a dict
    if not isinstance(value, Mapping) or not depth:
        return {}
    if value and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items()):
        return {name: dict(value)}
    found: dict[str, State] = {}
    for key, inner in value.items():
        if isinstance(key, str):
            found |= _states(inner, f"{name}.{key}" if name else key, depth - 1)
    return found


def _module_state(value: object, prefix: str = "") -> State:
    """What `state_dict()` of a pickled module would return; empty where it is none."""
    attributes = getattr(value, "state", None) if isinstance(value, _Inert) else None
    if not isinstance(attributes, Mapping) or not isinstance(attributes.get("_modules"), Mapping):
        return {}
    unsaved = attributes.get("_non_persistent_buffers_set") or ()
    own = {**attributes.get("_parameters", {}), **attributes.get("_buffers", {})}
    found = {
        prefix + key: tensor for key, tensor in own.items() if isinstance(tensor, torch.Tensor) and key not in unsaved
    }
    for key, module in attributes["_modules"].items():
        found |= _module_state(module, f"{prefix}{key}.")
    return found
