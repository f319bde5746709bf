"""What is known of published networks, for a person and for a script."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Literal

from fer_batch.models.known import KNOWN, KnownNetwork, known_network

Use = Literal["run", "train", "facts"]
_HEADINGS = {
    "run": "ready for a run: model: {known: NAME, checkpoint: FILE}",
    "train": "a start for trainings: network: {known: NAME, checkpoint: FILE}",
    "facts": "facts only, because no network here has their layout; a factory of yours can",
}
_WIDTH = 116


def use_of(record: KnownNetwork) -> Use:
    """What a weights file of a network can be used for here."""
    return "run" if record.runs else "train" if record.starts_trainings else "facts"


def known_networks(name: str | None = None) -> list[KnownNetwork]:
    """The record of a name, or all.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    return [known_network(name)] if name is not None else [KNOWN[known] for known in KNOWN]


def network_facts(record: KnownNetwork) -> dict[str, object]:
    """A record as JSON has it, and what it can be used for."""
    preprocessing = record.preprocessing.model_dump(mode="json") if record.preprocessing else None
    plain = {"preprocessing": preprocessing, "faces": dict(record.faces)}
    return {**asdict(record), **plain, "use": use_of(record), "job": job_lines(record)}


def list_text(records: Iterable[KnownNetwork]) -> str:
    """Names of networks by what they can be used for, with title, input and licence."""
    by_use: dict[str, list[KnownNetwork]] = {use: [] for use in _HEADINGS}
    for record in records:
        by_use[use_of(record)].append(record)
    named = [record for group in by_use.values() for record in group]
    width = max(len(record.name) for record in named)
    lines = []
    for use, group in by_use.items():
        lines += [_HEADINGS[use], *(f"  {record.name:<{width}}  {_short(record)}" for record in group), ""]
    return "\n".join([*lines, "fer-batch networks NAME says all of one; weights come from the authors, not from here"])


def _short(record: KnownNetwork) -> str:
    size = record.preprocessing.size if record.preprocessing else record.input.partition("x")[0]
    return f"{record.title}; {size} pixels; weights: {record.origin.weights_licence.partition(';')[0]}"


def network_text(record: KnownNetwork) -> str:
    """Everything of a network, and how to use it."""
    lines = [f"{record.name}: {record.title}"]
    for word, text in _facts(record):
        lines += textwrap.wrap(text, _WIDTH, initial_indent=f"  {word:<9} ", subsequent_indent=" " * 12)
    return "\n".join([*lines, "", *_advice(record)])


def _facts(record: KnownNetwork) -> Iterator[tuple[str, str]]:
    origin, build = record.origin, record.build
    yield "project", origin.project
    yield "paper", origin.paper
    yield "read at", origin.read_at
    yield "licence", f"code: {origin.code_licence}; weights: {origin.weights_licence}"
    yield "file", record.file
    if build is None:
        yield "network", f"not here: {record.missing}"
    else:
        options = "".join(f", {key} {value}" for key, value in build.options.items())
        yield "network", f"{build.architecture}{options}; {build.n_parameters:,} parameters"
        yield (
            "LRP",
            "yes; how much of a logit arrives: docs/lrp.md"
            if build.relevance_rules
            else "no; gradient methods take it",
        )
        yield from (("key map", f"{old} -> {new}") for old, new in _key_map(record))
        if build.outputs is not None:
            yield "taken", f"outputs {', '.join(map(str, build.outputs))} of the file's last layer"
    order = f": {', '.join(record.targets)}" if record.targets else ""
    yield "outputs", record.outputs + order
    if record.threshold is not None:
        yield "threshold", f"{record.threshold:g}"
    yield "input", record.input or _input(record)
    yield "faces", record.crop
    yield from (("beware", trap) for trap in record.traps)


def _key_map(record: KnownNetwork) -> list[tuple[str, str]]:
    key_map = record.build.key_map if record.build else None
    rows = key_map.items() if isinstance(key_map, dict) else key_map or ()
    return [(old, "left out" if new is None else new) for old, new in rows]


def _input(record: KnownNetwork) -> str:
    found = record.preprocessing
    if found is None:
        return "not known"
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (found.mean, found.std))
    return f"{found.size}x{found.size} {found.color}, (x - mean) / std with mean {mean}, std {std}"


def job_lines(record: KnownNetwork) -> list[str]:
    """Lines of a job that use a network; with a factory of the user's where there is none here."""
    if record.starts_trainings:
        return [f"network: {{known: {record.name}, checkpoint: FILE}}"]
    own = {"factory": "PACKAGE.MODULE:CALLABLE"} if record.build is None else {}
    own |= {key: key.upper() for key in record.unsaid()}
    said = ", ".join(f"{key}: {value}" for key, value in {"known": record.name, **own, "checkpoint": "FILE"}.items())
    faces = ", ".join(f"{key}: {value}" for key, value in record.faces.items())
    return [f"model: {{{said}}}", *([f"faces: {{{faces}}}"] if faces else [])]


def _advice(record: KnownNetwork) -> list[str]:
    lines = ["  job", *(f"    {line}" for line in job_lines(record))]
    name = record.name
    if record.prepare == "convert":
        known = f" --known {name}" if record.runs else ""
        lines += ["  the file is a pickle of more than tensors; this reads it without running any of it"]
        lines += [f"    fer-batch convert FILE {name}.safetensors{known}"]
    elif record.runs:
        lines += ["  or a card beside the file, after which jobs name only the file"]
        lines += [f"    fer-batch networks {name} --card FILE"]
    return lines
