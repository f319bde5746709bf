"""From a job file to its frozen model; what is wrong becomes one sentence that names the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fer_batch.registry import nearest
from fer_batch.types import InputError

Job = TypeVar("Job", bound=BaseModel)
RENAMED = {"stories": "temporal_prototypes"}  # keys of earlier versions


def read_values(path: str | Path, overrides: Sequence[str], output: str | None, wanted: str) -> Mapping[str, object]:
    """The plain values of a job file, with overrides applied.

    Parameters
    ----------
    path
        Of the job file.
    overrides
        `dotted.key=value`; the value is YAML.
    output
        Replaces the output of the job.
    wanted
        The kind of job, `run` or `train`.

    Raises
    ------
    InputError
        If the file cannot be read, is no job of that kind, or an override names no key of a section.
    """
    values = load_yaml(path)
    for override in overrides:
        apply_override(values, override)
    if output is not None:
        values["output"] = output
    kind = values.get("kind", "run")
    if kind != wanted:
        takes = {"run": "run", "train": "train", "study": "run"}.get(str(kind))
        hint = f"; 'fer-batch {takes}' takes it" if takes else ""
        raise InputError(f"job file {str(path)!r} is of kind {kind!r}{hint}; 'fer-batch {wanted}' takes kind: {wanted}")
    return values


def kind_of(path: str | Path) -> object:
    """What kind of job a file holds: `run` where it does not say."""
    return load_yaml(path).get("kind", "run")


def load_yaml(path: str | Path) -> MutableMapping[str, Any]:
    """The plain values of a job file.

    Raises
    ------
    InputError
        If it cannot be read, or holds no keys.
    """
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"job file {str(path)!r} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"job file {str(path)!r} cannot be read: {error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"job file {str(path)!r} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"job file {str(path)!r} must hold keys such as name, source, model; got {values!r:.60}")
    return values


def build_job(kind: type[Job], values: Mapping[str, object], where: str) -> Job:
    """The frozen model of a job.

    Parameters
    ----------
    kind
        The model.
    values
        As the file has them.
    where
        Names them in an error.

    Raises
    ------
    InputError
        One sentence that names each wrong key, what was expected and the nearest valid key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_sentence(error, kind)}") from None


def apply_override(values: MutableMapping[str, Any], override: str) -> None:
    """Set a key of a job by `dotted.key=value`; the value is YAML.

    Raises
    ------
    InputError
        If it is not of that form, or names no key of a section.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override!r}: expected dotted.key=value, for example --set source.uri=DIR")
    *parents, last = key.split(".")
    section: Any = values
    for parent in parents:
        section = _subsection(section, parent, override)
    if not isinstance(section, dict):
        raise InputError(f"--set {override!r}: {key!r} is no key of a section")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        section[last] = text


def _subsection(section: Any, name: str, override: str) -> Any:
    """The part of a section that a key of `--set` leads to; made where it is not there."""
    if isinstance(section, list):  # of sections, which are named by their place
        found = section[_place(section, name, f"--set {override!r}")]
    else:
        if section.get(name) is None:
            section[name] = {}
        found = section[name]
    if not isinstance(found, dict | list):
        raise InputError(f"--set {override!r}: {name!r} is no section of the job file")
    return found


def _place(section: Sequence[object], name: object, where: str) -> int:
    """The place in a list that a part of a dotted key names."""
    if not str(name).isdigit() or int(str(name)) >= len(section):
        wanted = f"a number below {len(section)}" if section else "no key below an empty list"
        raise InputError(f"{where}: expected {wanted} in the place of {str(name)!r}")
    return int(str(name))


def set_key(values: MutableMapping[str, Any], key: str, value: object) -> None:
    """Set a dotted key; sections on the way are made, and a mapping adds to what is there (`merged`).

    Parameters
    ----------
    values
        Of a job file; changed in place.
    key
        A number in it is the place in a list.
    value
        What it becomes.

    Raises
    ------
    InputError
        If the key leads through something that is no section, or to a place that a list does not have.
    """
    *parents, last = key.split(".")
    section: Any = values
    for parent in parents:
        if isinstance(section, list):
            section = section[_place(section, parent, f"key {key!r}")]
        else:
            if section.get(parent) is None:
                section[parent] = {}
            section = section[parent]
        if not isinstance(section, dict | list):
            raise InputError(f"key {key!r}: {parent!r} is no section")
    if isinstance(section, list):
        place = _place(section, last, f"key {key!r}")
        section[place] = merged(section[place], value, key)
    else:
        section[last] = merged(section.get(last), value, key)


def merged(old: Any, new: Any, key: str = "") -> Any:
    """`new` over `old`: mappings key by key, a mapping over a list place by place, everything else replaced.

    Parameters
    ----------
    old, new
        Plain values of a job file; neither is changed.
    key
        Where they are, for an error.

    Raises
    ------
    InputError
        If a mapping names a place that a list does not have.
    """
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        below = {name: merged(old.get(name), value, _below(key, name)) for name, value in new.items()}
        return {**deepcopy(dict(old)), **below}
    if isinstance(new, Mapping) and isinstance(old, list):
        found = deepcopy(old)
        for name, value in new.items():
            place = _place(found, name, f"key {_below(key, name)!r}")
            found[place] = merged(found[place], value, _below(key, name))
        return found
    return deepcopy(new)


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _known_keys(location: tuple[Any, ...], job: type[BaseModel]) -> list[str]:
    model: Any = job
    for part in location:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            options = [arg for arg in getattr(model, "__args__", ()) if isinstance(arg, type)]
            model = next((arg for arg in options if issubclass(arg, BaseModel) or dataclasses.is_dataclass(arg)), model)
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        return [field.name for field in dataclasses.fields(model)]
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _sentence(error: ValidationError, job: type[BaseModel]) -> str:
    problems = []
    for problem in error.errors():
        location = tuple(part for part in problem["loc"] if isinstance(part, str))
        key = ".".join(location) or "job"
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            if key in RENAMED:
                problems.append(f"key {key!r} is called {RENAMED[key]!r} now")
                continue
            known = _known_keys(location[:-1], job)
            problems.append(f"unknown key {key!r}" + (f"; {nearest(location[-1], known)}" if known else ""))
        elif problem["type"] == "missing":
            problems.append(f"missing key {key!r}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            got = problem.get("input")
            shown = "" if got is None or isinstance(got, dict) or "got" in message else f", got {got!r}"
            problems.append(f"{key}: {message[0].lower()}{message[1:]}{shown}")
    return "; ".join(dict.fromkeys(problems))
