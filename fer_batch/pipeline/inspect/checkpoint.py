"""What a checkpoint is: its card, what its file holds, and whether the two fit."""

from __future__ import annotations

import hashlib
import posixpath
from typing import Any

from fer_batch.models.card import Card, ModelSpec, card_uri, read_card, read_file, resolve
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def checkpoint_facts(uri: str) -> dict[str, Any]:
    """Card, digest and tensors of a checkpoint; nothing that a card names is called.

    Returns
    -------
    dict
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
        "card": card and card.model_dump(mode="json"),
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


def checkpoint_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    size = f"{found['n_values']:,} values in {found['n_tensors']} tensors"
    lines = [f"checkpoint {found['uri']}: {size}", f"  digest {found['digest']}"]
    card = found["card"]
    if card is None:
        dense = [f"{name} {tuple(shape)}" for name, shape in found["shapes"].items() if len(shape) == 2]
        lines.append(f"  dense layers: {', '.join(dense[-6:]) or 'none'}")
        lines.append(
            f"  no card beside it ({card_uri(found['uri'])}), so a job must say model.architecture or model.factory, "
            "head and targets; see docs/own_network.md"
        )
        return "\n".join(lines)
    options = ", ".join(f"{key} {value}" for key, value in card["options"].items())
    lines.append(f"  {card['name']}: {card['architecture'] or card['factory']}{f' ({options})' if options else ''}")
    if card["demo"]:
        lines.append("  DEMO MODEL")
    lines.append(f"  {card['head']}, {len(card['targets'])} targets: {', '.join(card['targets'])}")
    p = card["preprocessing"]
    mean, std = (" ".join(f"{value:g}" for value in p[key]) for key in ("mean", "std"))
    lines.append(f"  input {p['size']}x{p['size']} {p['color']}, mean {mean}, std {std}")
    lines.append(f"  trained on {'; '.join(card['trained_on']) or 'not stated'}")
    scores = ", ".join(f"{t} {'undefined' if v is None else f'{v:.2f}'}" for t, v in card["f1"].items())
    lines.append(f"  F1 {scores or 'not stated'}")
    lines.append(f"  licence {card['licence'] or 'not stated'}")
    lines += [f"  {card['notes']}"] if card["notes"] else []
    lines.append(f"  PROBLEM: {found['problem']}" if found["problem"] else "  loads, and returns one logit per target")
    return "\n".join(lines)
