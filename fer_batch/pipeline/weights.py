"""Weights files of networks that others published: read without running them, and given a card."""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass

from fer_batch.models.card import Card, ModelSpec, ReadBytes, card_uri, read_file, resolve
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SAFE = ".safetensors"
_PARALLEL = "module."  # what DataParallel puts before every name


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes
    ----------
    uri, digest
        The new file and its sha256.
    n_tensors, n_values
        Of it.
    card
        Where its card is; None where no network was named.
    """

    uri: str
    digest: str
    n_tensors: int
    n_values: int
    card: str | None


def write_card(known: str, uri: str) -> str:
    """Write the card of a published network beside a weights file that fits it; where it was written.

    Raises
    ------
    InputError
        If the file does not fit the network, or has another card.
    """
    card = _fitting_card(known, uri, _read)
    return _put_card(card, uri)


def convert(uri: str, out: str, key: str | None = None, known: str | None = None) -> Converted:
    """Write the tensors of a PyTorch file, of whatever else it holds, as safetensors; nothing of it is run.

    Parameters
    ----------
    uri
        The file: tensors by name, a dict that has them somewhere, or a whole pickled module.
    out
        Where they go, ending in .safetensors.
    key
        Under which the tensors are, where the file has several sets.
    known
        Name of the published network that the file is of; its card is written beside.

    Raises
    ------
    InputError
        If the file holds no tensors, they do not fit the network, or another file is in the place.
    """
    import safetensors.torch

    from fer_batch.models.checkpoint import read_state
    from fer_batch.models.unpickle import tensors_of_pickle

    if not out.endswith(SAFE):
        raise InputError(f"tensors are written as {SAFE}, got {out!r}")
    data = _read(uri)
    state = read_state(data, uri) if uri.endswith(SAFE) else tensors_of_pickle(data, uri, key)
    if all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
    origin = f"{posixpath.basename(uri)}, sha256 {hashlib.sha256(data).hexdigest()}"
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}
    made = safetensors.torch.save(whole, {"converted_from": origin})  # more keys than one have no fixed order
    card = None
    if known is not None:
        card = _fitting_card(known, out, lambda name: made if name == out else _read(name))
        card = card.model_copy(update={"notes": f"{card.notes} Converted from {origin}."})
    _put_new(out, made)
    beside = _put_card(card, out) if card is not None else None
    n_values = sum(tensor.numel() for tensor in whole.values())
    return Converted(out, hashlib.sha256(made).hexdigest(), len(whole), n_values, beside)


def _read(uri: str) -> bytes:
    try:
        return read_file(uri)
    except (FileNotFoundError, IsADirectoryError):
        if uri.endswith(".json"):
            raise
        raise InputError(f"weights file {uri!r} does not exist") from None


def _fitting_card(known: str, uri: str, read_bytes: ReadBytes) -> Card:
    """The card of a record with the digest of the file, which was loaded into the network."""
    from fer_batch.models import checkpoint

    resolved = resolve(ModelSpec(known=known, checkpoint=uri), read_bytes)
    checkpoint.load(resolved, read_bytes)
    if resolved.card is None:
        raise ValueError(f"the record of {known!r} made no card")
    return resolved.card.model_copy(update={"digest": resolved.weights_digest})


def _put_card(card: Card, uri: str) -> str:
    place = card_uri(uri)
    _put_new(place, (card.model_dump_json(indent=2) + "\n").encode())
    return place


def _put_new(uri: str, data: bytes) -> None:
    """Write a file where there is none, or the same one."""
    folder, name = posixpath.split(uri)
    if "://" not in uri and folder:
        os.makedirs(folder, exist_ok=True)
    store = Store(folder or ".")
    if store.exists(name) and store.read_bytes(name) != data:
        raise InputError(f"{uri} is there already, and is another file; remove it, or choose another name")
    store.put(name, data)
