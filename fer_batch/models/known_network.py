"""What the program knows of a network that others published: one record in the module of its family. Free of torch.

A record becomes the card of a weights file that the user names (`model: {known: NAME, checkpoint: FILE}`). `fer-batch
networks`, trainings and docs/networks.md read the same records; there is no second list. Nothing is downloaded, and no
code of the projects is part of this one: what stands here are facts, each with the place they were read at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fer_batch.models.spec import Card, Head, KeyMap, ModelSpec, Preprocessing
from fer_batch.registry import Registry
from fer_batch.types import InputError


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who published a network, and where its facts were read.

    Attributes
    ----------
    project
        Where the project is, as text.
    paper
        How to cite it.
    read_at
        Repository, commit, date and files that the facts were read in.
    code_licence, weights_licence
        As the project states them; "none stated" where it does not.
    """

    project: str
    paper: str
    read_at: str
    code_licence: str
    weights_licence: str


@dataclass(frozen=True, kw_only=True)
class Build:
    """How the module of a network is built here, and how a published file fits it.

    Attributes
    ----------
    architecture, options
        As in section `model` of a job.
    key_map
        From the names of the file to those of the module; None where they are the same.
    outputs
        Which outputs of the file's last layer the targets are, where it has more.
    n_parameters
        Of the module, as published or as the layout makes it.
    relevance_rules
        Whether layer-wise relevance propagation has a rule for every operation; the other methods take any network.
    """

    architecture: str
    options: Mapping[str, object]
    key_map: KeyMap | None
    outputs: tuple[int, ...] | None
    n_parameters: int
    relevance_rules: bool


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """All that the program knows of one published network. No field has a default: what does not apply is said to be.

    Attributes
    ----------
    name
        What a job names it by.
    title
        What it is, in a few words.
    origin
        Who published it.
    file
        Which file has the weights, and in which form.
    prepare
        `convert` where the file is a pickle of more than tensors, which `fer-batch convert` reads; empty where it is
        read as it is.
    build
        How its module is built; None where no network here has its layout.
    missing
        Why not, where `build` is None: what would be needed. Empty otherwise.
    head, targets, threshold
        What the outputs are, in order; head None where they are neither logits of classes nor of single targets.
        Targets are empty for a network that only serves to start a training from, or whose order nobody states.
    outputs
        The outputs in words, as the network itself returns them.
    preprocessing
        None where a job cannot say it; `input` then does.
    input
        What the network takes, beyond `preprocessing`.
    crop
        How the authors cut faces.
    faces
        The part of that which section `faces` of a job can say; a run names what it does otherwise.
    traps
        What goes wrong easily, a sentence each.
    """

    name: str
    title: str
    origin: Origin
    file: str
    prepare: Literal["", "convert"]
    build: Build | None
    missing: str
    head: Head | None
    targets: tuple[str, ...]
    threshold: float | None
    outputs: str
    preprocessing: Preprocessing | None
    input: str
    crop: str
    faces: Mapping[str, object]
    traps: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.build is None) != bool(self.missing):
            raise ValueError(f"published network {self.name!r}: expected either build or what is missing")
        if self.build and self.preprocessing is None:
            raise ValueError(f"published network {self.name!r}: one that can be built needs preprocessing")
        if self.preprocessing is None and not self.input:
            raise ValueError(f"published network {self.name!r}: expected preprocessing, or its input in words")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"published network {self.name!r}: targets must be unique, got {', '.join(self.targets)}")
        for name in ("title", "file", "outputs", "crop"):
            if not getattr(self, name):
                raise ValueError(f"published network {self.name!r}: expected a text for {name}")

    @property
    def runs(self) -> bool:
        """Whether a weights file is all that a run needs beside this record."""
        return self.build is not None and self.head is not None and bool(self.targets)

    @property
    def starts_trainings(self) -> bool:
        """Whether it can be built, but its outputs are of another task."""
        return self.build is not None and not self.runs

    def card(self) -> Card:
        """What the card of its weights file would say."""
        build = self.build
        return Card(
            name=self.name,
            architecture=build.architecture if build else None,
            options=dict(build.options) if build else {},
            key_map=build.key_map if build else None,
            outputs=build.outputs if build else None,
            targets=self.targets,
            head=self.head or "multilabel",
            threshold=self.threshold,
            preprocessing=self.preprocessing or Preprocessing(),
            faces={**self.faces, "crop": self.crop},
            licence=self.origin.weights_licence,
            notes=" ".join((f"{self.title} ({self.origin.paper}).", *self.traps)),
        )

    def unsaid(self) -> list[str]:
        """Keys of section `model` that a job must give, because the record cannot."""
        known = {"head": self.head, "targets": self.targets, "preprocessing": self.preprocessing}
        return [key for key, value in known.items() if not value]


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
KNOWN: Registry[KnownNetwork] = Registry("published network")


def register(record: KnownNetwork) -> KnownNetwork:
    """Make a network known by its name.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    return KNOWN.add(record.name, record)


def known_network(name: str) -> KnownNetwork:
    """The record of a name.

    Raises
    ------
    InputError
        If there is none; the nearest is named.
    """
    try:
        return KNOWN[name]
    except ValueError as error:
        raise InputError(f"{error}; fer-batch networks lists them") from None


def known_card(spec: ModelSpec) -> Card:
    """The card that the record of `spec.known` makes, where the job says what the record cannot.

    Raises
    ------
    InputError
        If there is no such record, nothing builds its network, or the record cannot say what its outputs are.
    """
    record = known_network(spec.known or "")
    unsaid = [f"model.{key}" for key in record.unsaid() if getattr(spec, key) is None]
    if record.build is None and not (spec.architecture or spec.factory):
        raise InputError(
            f"model.known: no network here has the layout of {record.name}: {record.missing}; with a module of your "
            f"own, give {', '.join(['model.factory', *unsaid])}, and the record says the rest"
        )
    if unsaid and record.starts_trainings:
        raise InputError(
            f"model.known: {record.name} has outputs of another task ({record.outputs}); a training starts from it, "
            f"with network: {{known: {record.name}, checkpoint: {spec.checkpoint}}}"
        )
    if unsaid:
        raise InputError(f"model.known: give {' and '.join(unsaid)}; of {record.name} is only known: {record.outputs}")
    return record.card()


def known_section(name: str, given: Mapping[str, object]) -> dict[str, object]:
    """The section `network` of a training with what the record of a published network says, where the job does not.

    Parameters
    ----------
    name
        Of the record.
    given
        The section as the job has it; its keys win, those of `preprocessing` one by one.

    Raises
    ------
    ValueError
        If there is no such record, no weights file is named, or nothing builds its network.
    """
    try:
        record = known_network(name)
    except InputError as error:
        raise ValueError(str(error)) from None
    if not given.get("checkpoint"):
        raise ValueError(f"known: {name} needs checkpoint, the file of its weights; the program downloads none")
    filled: dict[str, object] = {"name": name}
    if not (given.get("architecture") or given.get("factory")):
        if record.build is None:
            raise ValueError(f"no network here has the layout of {name}: {record.missing}; give a factory of your own")
        build = record.build
        filled |= {"architecture": build.architecture, "options": dict(build.options), "key_map": build.key_map}
    if record.preprocessing is not None:
        own = given.get("preprocessing")
        filled["preprocessing"] = record.preprocessing.model_dump() | (dict(own) if isinstance(own, Mapping) else {})
    return {**filled, **{key: value for key, value in given.items() if key != "preprocessing" or key not in filled}}
