"""Weights from and to disk: safetensors with a JSON card; a pickle only where it holds nothing but tensors."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import pickle
import pickletools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from fer_batch.models.backbone import build, take_outputs
from fer_batch.models.card import Card, KeyMap, ReadBytes, ResolvedModel, card_uri, read_file
from fer_batch.registry import check_own_code, nearest
from fer_batch.types import InputError

_LFS_POINTER = b"version https://git-lfs"
WRAPPERS = ("state_dict", "model_state_dict", "model")
_COUNTERS = "num_batches_tracked"  # BatchNorm counts batches; nothing reads it at inference
_FINAL = (nn.Sigmoid, nn.Softmax, nn.LogSoftmax, nn.LogSigmoid)


def load(resolved: ResolvedModel, read_bytes: ReadBytes = read_file) -> nn.Module:
    """The network with its weights: evaluation mode, CPU, float32, verified to return one logit per target.

    Raises
    ------
    InputError
        If the file changed since it was resolved, cannot be trusted or read, does not fit the network, or if the
        network's output is not one logit per target.
    """
    data = read_bytes(resolved.uri)
    found = hashlib.sha256(data).hexdigest()
    if found != resolved.weights_digest:
        raise InputError(
            f"{resolved.uri} changed while the run was under way: planned with {resolved.weights_digest[:12]}..., "
            f"found {found[:12]}...; start the run again"
        )
    try:
        if resolved.factory:
            model = call_factory(resolved.factory, resolved.options)
        else:
            model = build(str(resolved.architecture), len(resolved.targets), resolved.options)
        load_state(model, read_state(data, resolved.uri), resolved.key_map, resolved.uri, outputs=resolved.outputs)
    except InputError as error:  # it names keys of the section
        known = f" (known: {resolved.known})" if resolved.known else ""
        raise InputError(f"model{known}: {error}") from error
    model = model.to("cpu", torch.float32).eval()
    _verify_output(model, resolved)
    return model


def save(module: nn.Module, path: str | Path, card: Card) -> Card:
    """Write `path` (.safetensors) and the card beside it; the card returned names the file's digest."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"checkpoints are written as .safetensors, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    data = safetensors.torch.save(state)
    card = card.model_copy(update={"digest": hashlib.sha256(data).hexdigest()})
    path.write_bytes(data)
    Path(card_uri(str(path))).write_text(card.model_dump_json(indent=2) + "\n")
    return card


def call_factory(factory: str, options: Mapping[str, object]) -> nn.Module:
    """What `package.module:callable` returns for `options`.

    Raises
    ------
    InputError
        If it cannot be imported, does not take these options, fails, or returns no module.
    """
    module_name, _, name = factory.partition(":")
    if not module_name or not name:
        raise InputError(f"factory {factory!r}: expected package.module:callable")
    check_own_code(factory, "factory")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module's own code runs here, and may raise anything
        raise InputError(f"factory {factory!r} cannot be imported: {_first_line(error)}") from error
    function = getattr(module, name, None)
    if function is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(
            f"factory {factory!r} cannot be imported: {module_name} has no {name!r}; {nearest(name, known)}"
        )
    if not callable(function):
        raise InputError(f"factory {factory!r} is a {type(function).__name__}, expected something to call")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables written in C have none to show
        signature = None
    try:
        if signature is not None:
            signature.bind(**options)
    except TypeError as error:
        raise InputError(
            f"factory {factory!r} does not take options {dict(options)}: {error}; it takes {signature}"
        ) from None
    try:
        model = function(**options)
    except Exception as error:
        raise InputError(f"factory {factory!r} failed: {_first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"factory {factory!r} returned {type(model).__name__}, expected a torch.nn.Module")
    return model


def _first_line(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first if len(first) <= 160 else first[:157] + '...'}"


def read_state(data: bytes, uri: str) -> dict[str, torch.Tensor]:
    """Tensors of a weights file by name, each with the shape and dtype that the file has.

    Parameters
    ----------
    data
        The whole file.
    uri
        Where it came from; its ending says what it is, and errors name it.

    Raises
    ------
    InputError
        If the file is damaged, or a pickle that holds anything but tensors and plain containers.
    """
    if data.startswith(_LFS_POINTER):
        raise InputError(f"{uri} is a Git LFS pointer and not the file itself; git lfs pull fetches it")
    if PurePosixPath(uri).suffix == ".safetensors":
        try:
            return dict(sorted(safetensors.torch.load(data).items()))  # it has no order of its own, messages need one
        except SafetensorError as error:
            raise InputError(f"{uri} is not a readable safetensors file: {error}") from None
    if not data.startswith((b"PK", b"\x80")):
        raise InputError(f"{uri} is no PyTorch file: it begins with {data[:20]!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is about to be refused
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can break the reader anywhere
        if isinstance(error, pickle.UnpicklingError):  # torch's own words advise to run the code
            if _asks_for_code(data, error):
                what, cure = "wants to run code, which is refused", "fer-batch convert takes its tensors out"
            else:
                what, cure = "holds no tensors", "save its state_dict() as .safetensors"
            raise InputError(f"{uri} is a pickle that {what}; {cure}") from None
        raise InputError(f"{uri} is not a readable PyTorch file: {_first_line(error)}") from None
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
            break
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InputError(f"{uri} holds no state_dict: expected tensors by name, or those under {', '.join(WRAPPERS)}")
    return loaded


def _asks_for_code(data: bytes, error: pickle.UnpicklingError) -> bool:
    """Whether a pickle names anything to import; torch says so of its own files, a bare pickle is read, not run."""
    if "global" in str(error).lower():
        return True
    try:
        return any(code.name in ("GLOBAL", "STACK_GLOBAL", "INST") for code, _, _ in pickletools.genops(data))
    except Exception:
        return False


def rename(keys: Sequence[str], key_map: KeyMap | None) -> dict[str, str]:
    """New name of each key of a weights file; a key that is dropped is absent.

    Parameters
    ----------
    key_map
        A mapping of prefixes (the longest that fits is replaced), or a list of [regex, replacement] applied in order
        as `re.sub`. A null replacement drops the keys that fit.

    Raises
    ------
    InputError
        If two keys get the same name, or a pattern is no regular expression.
    """
    renamed = {key: new for key in keys if (new := _rename_one(key, key_map)) is not None}
    origin: dict[str, str] = {}
    for key, new in renamed.items():
        if new in origin:
            raise InputError(f"key_map names two tensors {new!r}: {origin[new]!r} and {key!r}")
        origin[new] = key
    return renamed


def _rename_one(key: str, key_map: KeyMap | None) -> str | None:
    if isinstance(key_map, Mapping):
        prefixes = [prefix for prefix in key_map if key.startswith(prefix)]
        if not prefixes:
            return key
        prefix = max(prefixes, key=len)
        replacement = key_map[prefix]
        return None if replacement is None else replacement + key[len(prefix) :]
    for pattern, replacement in key_map or ():
        try:
            if replacement is None:
                if re.search(pattern, key):
                    return None
            else:
                key = re.sub(pattern, replacement, key)
        except re.error as error:
            raise InputError(f"key_map: {pattern!r} -> {replacement!r}: {error}") from None
    return key


def load_state(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    key_map: KeyMap | None = None,
    uri: str = "the checkpoint",
    keep: Sequence[str] = (),
    outputs: Sequence[int] | None = None,
) -> None:
    """Copy a state into a model, name by name and shape by shape.

    Parameters
    ----------
    model
        Filled in place.
    state
        Tensors by name, each of the shape that the model has; they take the model's dtype.
    key_map
        How names of the file become names of the model; see `rename`.
    uri
        Where the state came from, for errors.
    keep
        Prefixes the model keeps as they are (`fc.` where a pretrained backbone gets a new head); tensors of the file
        under them are ignored.
    outputs
        Which outputs of the file's last layer the model has; all where None.

    Raises
    ------
    InputError
        If a tensor is missing, unexpected, or of another shape.
    """
    expected = model.state_dict()
    given = {new: state[key] for key, new in rename(list(state), key_map).items()}
    if outputs is not None:
        given = take_outputs(model, given, outputs, uri)
    kept = tuple(keep)
    given = {key: value for key, value in given.items() if not (kept and key.startswith(kept))}
    wanted = [key for key in expected if not (kept and key.startswith(kept))]

    missing = [key for key in wanted if key not in given and not key.endswith(_COUNTERS)]
    unexpected = [key for key in given if key not in expected and not key.endswith(_COUNTERS)]
    if missing or unexpected:
        parts = [f"misses {_some(missing)}"] if missing else []
        parts += [f"has {_some(unexpected)}, which the network does not know"] if unexpected else []
        raise InputError(f"{uri} {' and '.join(parts)}; key_map can rename or drop tensors")
    for key in wanted:
        if key in given and given[key].shape != expected[key].shape:
            raise InputError(
                f"{uri}: {key} has shape {tuple(given[key].shape)}, the network expects {tuple(expected[key].shape)}"
            )
    model.load_state_dict({**expected, **{key: given[key] for key in wanted if key in given}})


def _some(keys: Sequence[str], n: int = 4) -> str:
    more = f" and {len(keys) - n} more" if len(keys) > n else ""
    return ", ".join(keys[:n]) + more


@torch.no_grad()
def _verify_output(model: nn.Module, resolved: ResolvedModel) -> None:
    """One black image must give one logit per target."""
    size, n = resolved.preprocessing.size, len(resolved.targets)
    final: list[nn.Module] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(lambda module, _i, _o: final.append(module)) for leaf in leaves]
    try:
        output = model(torch.zeros(1, 3, size, size))
    except Exception as error:  # a network of the user's own may raise anything
        built = getattr(model, "size", None)
        hint = f"it was built for {built}x{built}: " if isinstance(built, int) else ""
        raise InputError(
            f"the network of {resolved.uri} does not take images (1, 3, {size}, {size}): {_first_line(error)}; "
            f"{hint}is model.preprocessing.size right?"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (1, n):
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(
            f"the network of {resolved.uri} must return logits (1, {n}), one per target; it returned {got}"
        )
    if not torch.isfinite(output).all():
        raise InputError(
            f"the network of {resolved.uri} answers a black image with NaN or infinity; are its weights whole?"
        )
    if final and isinstance(final[-1], _FINAL):
        raise InputError(
            f"the network of {resolved.uri} ends in {type(final[-1]).__name__}; it must return logits, because "
            "explanations start there (model.head applies the sigmoid or softmax)"
        )
