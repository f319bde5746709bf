"""What a checkpoint is: its card, what its file holds, and whether the two fit."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from fer_batch.models.card import Card, ModelSpec, card_uri, read_card, read_file, resolve
from fer_batch.storage.store import Store
from fer_batch.types import InputError


class CheckpointFacts(TypedDict):
    """What `inspect` says of a checkpoint."""

    kind: Literal["checkpoint"]
    uri: str
    card: dict[str, Any] | None
    digest: str
    n_tensors: int
    n_values: int
    shapes: dict[str, list[int]]
    problem: str | None


def checkpoint_facts(uri: str) -> CheckpointFacts:
    """Card, digest and tensors of a checkpoint; nothing that a card names is called.

    Returns
    -------
    CheckpointFacts
        `problem` says in a sentence why a run would refuse it; None where it loads, or where there is no card to try.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read safely.
    """
    from fer_batch.models import checkpoint

    if not Store(posixpath.dirname(uri) or ".").exists(posixpath.basename(uri)):
        raise InputError(f"checkpoint {uri!r} does not exist")
    data = read_file(uri)
    state = checkpoint.read_state(data, uri)
    card = read_card(card_uri(uri))
    return {
        "kind": "checkpoint",
        "uri": uri,
        "card": card.model_dump(mode="json") if card else None,
        "digest": hashlib.sha256(data).hexdigest(),
        "n_tensors": len(state),
        "n_values": sum(tensor.numel() for tensor in state.values()),
        "shapes": {name: list(tensor.shape) for name, tensor in state.items()},
        "problem": _problem(uri, card),
    }


def _problem(uri: str, card: Card | None) -> str | None:
    from fer_batch.models import checkpoint

    if card is None:
        return None
    try:
        checkpoint.load(resolve(ModelSpec(checkpoint=uri)))
    except InputError as error:
        return str(error)
    return None


def checkpoint_text(found: CheckpointFacts) -> str:
    """The same for a person."""
    size = f"{found['n_values']:,} values in {found['n_tensors']} tensors"
    lines = [f"checkpoint {found['uri']}: {size}", f"  digest {found['digest']}"]
    if found["card"] is None:
        dense = [f"{name} {tuple(shape)}" for name, shape in found["shapes"].items() if len(shape) == 2]
        lines.append(f"  dense layers: {', '.join(dense[-6:]) or 'none'}")
        lines.append(
            f"  no card beside it ({card_uri(found['uri'])}), so a job must say model.architecture or model.factory, "
            "head and targets (docs/own_network.md), or model.known: a name of fer-batch networks"
        )
        return "\n".join(lines)
    lines += [f"  {line}" for line in _card_lines(found["card"])]
    lines.append(f"  PROBLEM: {found['problem']}" if found["problem"] else "  loads, and returns one logit per target")
    return "\n".join(lines)


def _card_lines(card: Mapping[str, Any]) -> list[str]:
    """What a card says: the network, its outputs and input, its training and licence."""
    options = ", ".join(f"{key} {value}" for key, value in card["options"].items())
    lines = [f"{card['name']}: {card['architecture'] or card['factory']}{f' ({options})' if options else ''}"]
    lines += ["DEMO MODEL"] if card["demo"] else []
    lines.append(f"{card['head']}, {len(card['targets'])} targets: {', '.join(card['targets'])}")
    p = card["preprocessing"]
    mean, std = (" ".join(f"{value:g}" for value in p[key]) for key in ("mean", "std"))
    lines.append(f"input {p['size']}x{p['size']} {p['color']}, mean {mean}, std {std}")
    lines.append(f"trained on {'; '.join(card['trained_on']) or 'not stated'}")
    scores = ", ".join(f"{t} {'undefined' if v is None else f'{v:.2f}'}" for t, v in card["f1"].items())
    lines += [f"F1 {scores or 'not stated'}", f"licence {card['licence'] or 'not stated'}"]
    return [*lines, card["notes"]] if card["notes"] else lines
