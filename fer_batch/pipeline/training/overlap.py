"""Datasets of one training that are not apart: the same inputs twice would put tested people among the trained ones."""

from __future__ import annotations

import itertools
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fer_batch.sources.fetch import read_bytes
from fer_batch.storage.store import has_scheme
from fer_batch.types import InputError, MediaError, SequenceRef

HEAD = 65536  # bytes that are compared of two inputs of one name and size
ALIKE = 16  # of a dataset; some have one name and one size throughout
Known = tuple[str, SequenceRef]  # dataset and input
People = dict[str, dict[str, set[str]]]  # ids of subjects by subject space and dataset
COMPARED = 1000  # pairs at most; of a copied folder the first one is enough


def check_apart(sources: Mapping[str, Sequence[SequenceRef]]) -> None:
    """Refuse an input that is in two datasets: one file, or two of the same name, size and first bytes.

    Parameters
    ----------
    sources
        Inputs by dataset.

    Raises
    ------
    InputError
        If there is one; names both.
    """
    if len(sources) < 2:
        return
    files: dict[object, Known] = {}
    alike: dict[object, dict[str, list[SequenceRef]]] = defaultdict(lambda: defaultdict(list))
    for dataset, refs in sources.items():
        for ref in refs:
            if ref.skip_reason or ref.size <= 0:
                continue
            place = _place(ref)
            if place is not None:
                other, twin = files.setdefault(place, (dataset, ref))
                if other != dataset:
                    raise _twice(other, twin, dataset, ref)
            twins = alike[ref.kind, ref.size, len(ref.files), posixpath.basename(ref.sequence_id)][dataset]
            if len(twins) < ALIKE:
                twins.append(ref)
    pairs = list(_pairs(alike.values()))
    for (one, ref), (other, twin) in pairs[:: max(1, len(pairs) // COMPARED)]:
        head = _head(ref)
        if head is not None and head == _head(twin):
            raise _twice(one, ref, other, twin)


def check_spaces(subjects: People) -> None:
    """Refuse a subject that is in two subject spaces by its very id, as of two parts of one dataset.

    Parameters
    ----------
    subjects
        Ids by subject space and dataset.

    Raises
    ------
    InputError
        If there is one; says what to write for the same people, and what for others.
    """
    owners: dict[str, tuple[str, str]] = {}
    for space, datasets in subjects.items():
        for dataset, names in datasets.items():
            for name in sorted(names):
                other, whose = owners.setdefault(name, (dataset, space))
                if whose != space:
                    raise InputError(
                        f"sources: {other} and {dataset} both have the subject {name!r}; if their people are the "
                        f"same, give both one subject_space, such as {name.partition(':')[0]}; if not, give each its "
                        f"own, such as {other} and {dataset}"
                    )


def shared_subjects(subjects: People) -> list[str]:
    """Sentences about the subjects whose ids, without the prefix, are in datasets of different subject spaces.

    Parameters
    ----------
    subjects
        Ids by subject space and dataset, as `prefix:id`.
    """
    owners: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for space, datasets in subjects.items():
        for dataset, ids in datasets.items():
            for name in {name.partition(":")[2] for name in ids}:
                owners[name][space].append(dataset)
    shared: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, spaces in sorted(owners.items()):
        if len(spaces) > 1:
            shared[tuple(dataset for datasets in spaces.values() for dataset in datasets)].append(name)
    return [
        f"{' and '.join(datasets)} both have subjects {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}: splits "
        "take them for different people; if they are the same, give these sources one subject_space, or one of them "
        "will be trained on and tested"
        for datasets, names in shared.items()
    ]


def _twice(one: str, ref: SequenceRef, other: str, twin: SequenceRef) -> InputError:
    return InputError(
        f"sources: {ref.sequence_id!r} of dataset {one} and {twin.sequence_id!r} of dataset {other} are the same "
        "input, whose subjects would count as other people; name it in one of them"
    )


def _place(ref: SequenceRef) -> object:
    """What one file or folder is known by, whatever the way to it; None where it is not there."""
    if has_scheme(ref.uri):
        return ref.uri, ref.span
    try:
        found = os.stat(ref.uri)
    except OSError:
        return None
    return found.st_dev, found.st_ino, ref.span


def _pairs(alike: Iterable[Mapping[str, Sequence[SequenceRef]]]) -> Iterator[tuple[Known, Known]]:
    """Pairs of inputs of different datasets within each group."""
    for group in alike:
        for one, other in itertools.combinations(group, 2):
            for ref, twin in itertools.product(group[one], group[other]):
                yield (one, ref), (other, twin)


def _head(ref: SequenceRef) -> bytes | None:
    """First bytes of an input (of its middle frame); None where they cannot be read, which its decoding reports."""
    uri = ref.files[len(ref.files) // 2] if ref.files else ref.uri
    start, stop = ref.span or (0, HEAD)
    try:
        return read_bytes(uri, (start, min(stop, start + HEAD))) or None
    except MediaError:
        return None
