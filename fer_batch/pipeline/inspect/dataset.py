"""What an annotated dataset holds and lacks, from its names and its small label files; nothing is decoded."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict

import pyarrow as pa

from fer_batch.facs import DEFAULT_RULE, au_id
from fer_batch.sources.dataset import DATASETS, truth_form
from fer_batch.sources.listing import list_source
from fer_batch.sources.tree import Tree
from fer_batch.sources.truth import occurs, read_truth
from fer_batch.storage.store import has_scheme
from fer_batch.types import MediaError, SequenceRef

# Files of labels that are opened; beyond them nothing is, so that the answer comes in seconds.
LOCAL_FILES, REMOTE_FILES = 100_000, 2_000


class UnitCounts(TypedDict):
    """Frames with and without an Action Unit."""

    present: int
    absent: int


class DatasetFacts(TypedDict):
    """What `inspect` says of a dataset: counts, and sentences about what is missing."""

    kind: Literal["dataset"]
    format: str
    uri: str
    inputs: int
    kinds: dict[str, int]
    frames: int
    bytes: int
    subjects: int
    splits: dict[str, int]
    emotions: dict[str, int]
    units: dict[str, UnitCounts]
    with_annotations: int
    landmarks: int
    skipped: dict[str, int]
    missing: list[str]
    not_counted: list[str]
    example: str
    run: str
    also: list[str]


def dataset_facts(format: str, uri: str, also: Sequence[str] = ()) -> DatasetFacts:
    """Counts of inputs, subjects and labels, and sentences about what is missing.

    Parameters
    ----------
    format, uri
        As in the source section of a job.
    also
        Other formats that the folder is recognised as.
    """
    not_read = DATASETS[format].not_read
    refs = list_source(format, uri)
    labels = _count_labels(refs, LOCAL_FILES if not has_scheme(uri) else REMOTE_FILES)
    return {
        "kind": "dataset",
        "format": format,
        "uri": uri,
        "inputs": len(refs),
        "kinds": dict(Counter(ref.kind for ref in refs)),
        "frames": sum(len(ref.files) for ref in refs),
        "bytes": sum(max(ref.size, 0) for ref in refs),
        "subjects": len({ref.subject_id for ref in refs if ref.subject_id}),
        "splits": dict(sorted(Counter(ref.split for ref in refs if ref.split).items())),
        "emotions": dict(sorted(labels.emotions.items())),
        "units": labels.units(),
        "with_annotations": sum(bool(ref.annotation_uris or ref.labels) for ref in refs),
        "landmarks": sum(_has_landmarks(ref) for ref in refs),
        "skipped": dict(Counter(ref.skip_reason for ref in refs if ref.skip_reason)),
        "missing": [*_missing(format, refs, labels), *labels.problems()],
        "not_counted": [*labels.not_counted(), *(not_read(Tree(uri)) if not_read else [])],
        "example": refs[0].sequence_id,
        "run": job_line(format, uri, refs),
        "also": list(also),
    }


def job_line(format: str, uri: str, refs: Sequence[SequenceRef]) -> str:
    """The command that runs it.

    Parameters
    ----------
    format, uri
        As in the source section of a job.
    refs
        Its inputs.
    """
    record = DATASETS[format]
    name = record.job.name if record.job else "stills" if refs[0].kind == "still" else "clips"
    values = {"source.uri": uri}
    if record.job is None or record.job.format != format:
        values["source.format"] = format
    if record.job is None:  # its detector is dlib
        values["name"] = format
        values["faces.detector"] = "dataset" if all(map(_has_landmarks, refs)) else ""
    elif not any(ref.landmarks_uri or ref.face_box for ref in refs):
        values["faces.detector"] = "dlib"
    if record.is_cropped:
        values["faces.detector"] = "none"
    settings = [shlex.quote(f"{key}={value}") for key, value in values.items() if value]
    return " ".join(["fer-batch run", f"jobs/{name}.yaml", *(f"--set {value}" for value in settings), "--output OUT"])


def dataset_text(found: DatasetFacts) -> str:
    """The same for a person."""
    kinds = ", ".join(_count(n, kind.replace("_", " ")) for kind, n in found["kinds"].items())
    of = f" of {_count(found['subjects'], 'subject')}" if found["subjects"] else ""
    frames = f", {found['frames']:,} frames" if found["frames"] else ""
    size = f"{found['bytes'] / 1e6:,.1f} MB"
    lines = [f"dataset {found['format']}: {kinds}{of}{frames} ({size}), such as {found['example']}"]
    for what, counts in (("splits", found["splits"]), ("emotions", found["emotions"])):
        if counts:
            lines.append(f"  {what}: " + ", ".join(f"{name} {n:,}" for name, n in counts.items()))
    if found["units"]:
        units = ", ".join(f"{name} {n['present']:,}/{n['absent']:,}" for name, n in found["units"].items())
        lines.append(f"  frames with and without each Action Unit: {units}")
    lines += [f"  {_count(n, 'input')} skipped: {reason}" for reason, n in found["skipped"].items()]
    lines += [f"  {sentence}" for sentence in (*found["missing"], *found["not_counted"])]
    return "\n".join([*lines, f"  run it: {found['run']}"])


def _has_landmarks(ref: SequenceRef) -> bool:
    return bool(ref.landmarks_uri) or len(ref.landmarks) > 0 or ref.skip_reason is not None


@dataclass
class _Labels:
    """Labels of a dataset, counted input by input.

    Attributes
    ----------
    n_files
        Files of labels that there are.
    emotions
        Inputs by expression.
    present, absent
        Frames by Action Unit.
    bad
        Why labels of inputs cannot be read.
    n_unread
        Inputs whose labels were not opened.
    n_coded
        Inputs with Action Units.
    n_wrong_pspi
        Frames whose PSPI is another than that of their Action Units.
    """

    n_files: int
    emotions: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    n_unread: int = 0
    n_coded: int = 0
    n_wrong_pspi: int = 0

    def add(self, ref: SequenceRef) -> None:
        """Count the labels of an input, from its listing or its files."""
        if not ref.annotation_uris:
            self.emotions.update([ref.emotion] if ref.emotion else [])
            if not any(au_id(target) for target, _ in ref.labels):
                return
        try:
            truth = read_truth(replace(ref, landmarks_uri=None))
        except MediaError as error:
            self.bad.append(str(error))
            return
        self.emotions.update([truth.emotion] if truth.emotion and ref.annotation_uris else [])
        self._add_units(truth.annotations)

    def _add_units(self, annotations: pa.Table) -> None:
        targets = annotations["target"].to_pylist()
        known = occurs(annotations, DEFAULT_RULE)
        units = {target for target in targets if au_id(target)}
        for target, value in zip(targets, known.tolist(), strict=True):
            if target in units:
                self.present[target] += value == 1
                self.absent[target] += value == 0
        self.n_coded += bool(units)
        self.n_wrong_pspi += sum(str(raw).startswith("Action Units give") for raw in annotations["raw"].to_pylist())

    def units(self) -> dict[str, UnitCounts]:
        """Frames with and without each Action Unit."""
        names = sorted({*self.present, *self.absent})
        return {name: {"present": self.present[name], "absent": self.absent[name]} for name in names}

    def problems(self) -> list[str]:
        """Sentences about labels that cannot be read or contradict each other."""
        said = [f"labels of {_count(len(self.bad), 'input')} cannot be read: {self.bad[0]}"] if self.bad else []
        if self.n_wrong_pspi:
            said.append(f"PSPI of {_count(self.n_wrong_pspi, 'frame')} is not that of their Action Units")
        return said

    def not_counted(self) -> list[str]:
        """A sentence about labels that were not opened."""
        if not self.n_unread:
            return []
        return [f"not counted: labels of {_count(self.n_unread, 'input')}, which are in {self.n_files:,} files"]


def _count_labels(refs: Sequence[SequenceRef], most_files: int) -> _Labels:
    """Labels of the inputs; files are opened only where there are at most so many."""
    files = sum(truth_form(ref.truth).n_label_files(ref) for ref in refs if ref.annotation_uris)
    labels = _Labels(files)
    for ref in refs:
        if ref.annotation_uris and files > most_files:
            labels.n_unread += 1
        else:
            labels.add(ref)
    return labels


def _missing(format: str, refs: Sequence[SequenceRef], labels: _Labels) -> list[str]:
    """Sentences about what inputs lack, and about inputs that the whole collection has besides."""
    what = "still" if refs[0].kind == "still" else "sequence" if refs[0].kind == "image_sequence" else "video"
    n, sentences = len(refs), []
    for gap, n_gap in _gaps(refs, labels).items():
        if n_gap > 0:
            verb = gap if n_gap == 1 else gap.replace("has", "have", 1)
            hint = "; they need faces.detector: dlib or none" if "landmarks" in gap else ""
            sentences.append(f"{n_gap:,} of {_count(n, what)} {verb}{hint}")
    whole = DATASETS[format].whole
    if whole and n < whole.inputs:
        of = f" of {whole.subjects} subjects" if whole.subjects else ""
        sentences.append(f"the whole collection has {_count(whole.inputs, what)}{of}")
    return sentences


def _gaps(refs: Sequence[SequenceRef], labels: _Labels) -> dict[str, int]:
    """Inputs that lack something, by what it is."""
    considered = [ref for ref in refs if ref.skip_reason is None]
    counted = not labels.n_unread
    n_emotions = sum(labels.emotions.values())
    unlabelled = sum(not ref.annotation_uris and not ref.labels for ref in considered)
    return {
        "has no file": sum(ref.version == "missing" for ref in refs),
        "has no emotion label": len(considered) - n_emotions if counted and n_emotions else 0,
        "has no Action Unit label": len(considered) - labels.n_coded if counted and labels.n_coded else 0,
        "has no label": 0 if n_emotions or labels.n_coded else unlabelled,  # else the lines above say it
        "has no landmarks": sum(not _has_landmarks(ref) for ref in refs),
    }


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
