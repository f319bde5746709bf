"""What a checkpoint says about itself, and what a job says over it; free of torch, because planning needs no more."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from fer_batch.models.known import known_card
from fer_batch.models.spec import Card, Head, KeyMap, ModelSpec, Preprocessing, TrainPreprocessing
from fer_batch.registry import check_own_code
from fer_batch.types import InputError

__all__ = [
    "SHIPPED", "SUFFIXES", "Card", "Head", "KeyMap", "ModelSpec", "Preprocessing", "ReadBytes", "ResolvedModel",
    "TrainPreprocessing", "card_uri", "read_card", "read_file", "resolve", "shipped_path",
]  # fmt: skip

ReadBytes = Callable[[str], bytes]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
SHIPPED = {"demo": "au_resnet18_w025", "demo-expressions": "expression_resnet18_w025"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ResolvedModel:
    """A model as a run will use it; `checkpoint.load` turns it into a module.

    Attributes
    ----------
    weights_digest
        sha256 of the weights file as it was when the run was planned.
    digest
        sha256 over the weights and everything else that changes the output.
    card
        Beside the file, or what the record of a published network says.
    known
        Name of that record, where the job names one.
    outputs
        Outputs of the file's last layer that are the targets; None for all.
    """

    name: str
    architecture: str | None
    factory: str | None
    options: dict[str, Any]
    key_map: KeyMap | None
    head: Head
    targets: tuple[str, ...]
    threshold: float
    preprocessing: Preprocessing
    uri: str
    weights_digest: str
    digest: str
    card: Card | None = None
    known: str | None = None
    outputs: tuple[int, ...] | None = None

    @property
    def hash8(self) -> str:
        """First eight hex digits of the digest."""
        return self.digest[:8]

    @property
    def model_id(self) -> str:
        """`<name>-<hash8>`, the value of the `model` partition."""
        return f"{self.name}-{self.hash8}"

    @property
    def demo(self) -> bool:
        """Whether the card says that these weights only show the program."""
        return bool(self.card and self.card.demo)

    @property
    def licence(self) -> str:
        """Licence of the weights as the card states it; empty where no card does."""
        return self.card.licence if self.card else ""


def read_file(uri: str) -> bytes:
    """Bytes of a local path or any URI that fsspec understands."""
    import fsspec

    with fsspec.open(uri, "rb") as file:
        data: bytes = file.read()
    return data


def shipped_path(name: str) -> Path:
    """Where the weights of a shipped checkpoint (`demo`, `demo-expressions`) lie."""
    return Path(__file__).parent / "demo" / f"{SHIPPED[name]}.safetensors"


def card_uri(checkpoint: str) -> str:
    """Where the card of a checkpoint would be: same folder, same stem, `.json`."""
    return checkpoint.removesuffix(PurePosixPath(checkpoint).suffix) + ".json"


def read_card(uri: str, read_bytes: ReadBytes = read_file) -> Card | None:
    """Card at `uri`; None where there is none.

    Raises
    ------
    InputError
        If the file is not JSON or not a card.
    """
    try:
        text = read_bytes(uri)
    except FileNotFoundError:
        return None
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"model card {uri}: {where}: {first['msg']}") from None


def resolve(spec: ModelSpec, read_bytes: ReadBytes = read_file) -> ResolvedModel:
    """Merge what a job says over what the card says, verify it, and name the result by its content.

    Parameters
    ----------
    spec
        The job's `model:` section.
    read_bytes
        Reads a path or URI; must raise FileNotFoundError where there is nothing.

    Raises
    ------
    InputError
        If the checkpoint is missing or changed since its card was written, or if neither job nor card says what
        builds the network or what its outputs are.
    """
    uri = _uri(spec.checkpoint)
    weights_digest = hashlib.sha256(_read_checkpoint(uri, read_bytes)).hexdigest()
    card = read_card(card_uri(uri), read_bytes)
    if card and card.digest and card.digest != weights_digest:
        raise InputError(
            f"model.checkpoint {uri} is not the file its card describes: the card's digest is {card.digest[:12]}..., "
            f"the file's is {weights_digest[:12]}...; restore the file, or correct or remove the card"
        )
    if spec.known:
        card = known_card(spec)
    architecture, factory, same = _network(spec, card, uri)
    if factory:
        check_own_code(factory, "model.factory")
    options = spec.options if spec.options is not None else (card.options if card and same else {})
    key_map = spec.key_map if spec.key_map is not None else (card.key_map if card and same else None)
    outputs = spec.outputs if spec.outputs is not None else (card.outputs if card and same else None)
    head, name = _head(spec, card), _name(spec, card, uri)
    targets, preprocessing = _targets(spec, card, uri), _preprocessing(spec.preprocessing, card)
    identity = {
        "weights": weights_digest,
        "architecture": architecture,
        "factory": factory,
        "options": options,
        "key_map": key_map,
        "head": head,
        "targets": targets,
        "preprocessing": preprocessing.model_dump(),
        **({"outputs": outputs} if outputs is not None else {}),  # digests of before it was there stay
    }
    return ResolvedModel(
        name=name,
        architecture=architecture,
        factory=factory,
        options=dict(options),
        key_map=key_map,
        head=head,
        targets=targets,
        threshold=_threshold(spec, card),
        preprocessing=preprocessing,
        uri=uri,
        weights_digest=weights_digest,
        digest=_digest(identity),
        card=card,
        known=spec.known,
        outputs=_outputs(outputs, targets),
    )


def _outputs(outputs: tuple[int, ...] | None, targets: tuple[str, ...]) -> tuple[int, ...] | None:
    if outputs is not None and (len(outputs) != len(targets) or len(set(outputs)) < len(outputs)):
        raise InputError(
            f"model.outputs must be a number for each of the {len(targets)} targets, none twice; got {list(outputs)}"
        )
    return outputs


def _threshold(spec: ModelSpec, card: Card | None) -> float:
    if "threshold" in spec.model_fields_set or card is None or card.threshold is None:
        return spec.threshold
    return card.threshold


def _uri(checkpoint: str | None) -> str:
    if not checkpoint:
        raise InputError(
            "model.checkpoint is missing: give a .safetensors or .pt file, or one of "
            f"{', '.join(SHIPPED)}; the program never downloads weights"
        )
    uri = str(shipped_path(checkpoint)) if checkpoint in SHIPPED else checkpoint
    if PurePosixPath(uri).suffix not in SUFFIXES:
        raise InputError(
            f"model.checkpoint {uri}: expected a file ending in {', '.join(SUFFIXES)} or a shipped name "
            f"({', '.join(SHIPPED)})"
        )
    return uri


def _network(spec: ModelSpec, card: Card | None, uri: str) -> tuple[str | None, str | None, bool]:
    """Architecture, factory, and whether they are the card's, whose options and key map then hold."""
    if spec.architecture or spec.factory:
        architecture, factory = spec.architecture, spec.factory
        same = card is not None and (card.architecture, card.factory) == (architecture, factory)
    else:
        architecture, factory = (card.architecture, card.factory) if card else (None, None)
        same = True
    if bool(architecture) == bool(factory):
        raise InputError(
            f"model.checkpoint {uri}: nothing says which network it belongs to; give exactly one of model.architecture "
            "(such as resnet18 or torchvision:mobilenet_v3_small) and model.factory (package.module:callable)"
        )
    if factory and not spec.factory:
        raise InputError(
            f"the card of {uri} asks to call {factory}, and a card may not run code: say model.factory: {factory} in "
            "the job if you trust it"
        )
    return architecture, factory, same


def _head(spec: ModelSpec, card: Card | None) -> Head:
    head: Head | None = spec.head or (card.head if card else None)
    if head is None:
        raise InputError(
            "model.head is missing: multilabel (a sigmoid per output, Action Units) or softmax (one class of many)"
        )
    return head


def _name(spec: ModelSpec, card: Card | None, uri: str) -> str:
    name = spec.name or (card.name if card else re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(uri).stem))
    if not _NAME.fullmatch(name):
        raise InputError(f"model.name {name!r} becomes a folder name: use letters, digits, '.', '_' and '-'")
    return name


def _digest(identity: Mapping[str, object]) -> str:
    try:
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    except TypeError as error:
        raise InputError(f"model.options must be plain values as YAML and JSON know them: {error}") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read_checkpoint(uri: str, read_bytes: ReadBytes) -> bytes:
    try:
        return read_bytes(uri)
    except FileNotFoundError:
        raise InputError(f"model.checkpoint {uri} does not exist") from None
    except (ImportError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"model.checkpoint {uri} cannot be read: {error}") from None


def _targets(spec: ModelSpec, card: Card | None, uri: str) -> tuple[str, ...]:
    targets = spec.targets or (card.targets if card else ())
    if not targets:
        raise InputError(f"model.targets is missing: name every output of {uri} in order, such as [AU01, AU02, AU04]")
    twice = sorted({target for target in targets if targets.count(target) > 1})
    if twice:
        raise InputError(f"model.targets must be unique; {', '.join(twice)} is named more than once")
    if card and card.targets and spec.outputs is None and len(targets) != len(card.targets):
        raise InputError(
            f"model.targets has {len(targets)} names, the card of {uri} has {len(card.targets)} "
            f"({', '.join(card.targets)}); model.targets names every output, explain.targets chooses among them"
        )
    return tuple(targets)


def _preprocessing(given: Preprocessing | None, card: Card | None) -> Preprocessing:
    """The card's, with the keys the job names replaced."""
    base = card.preprocessing if card else Preprocessing()
    if given is None:
        return base
    return base.model_copy(update={key: getattr(given, key) for key in given.model_fields_set})
