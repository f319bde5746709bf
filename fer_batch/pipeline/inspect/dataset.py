"""What an annotated dataset holds and lacks, from its names and its small label files; nothing is decoded."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fer_batch.facs import DEFAULT_RULE, au_id
from fer_batch.sources.dataset import DATASETS, truth_form
from fer_batch.sources.listing import list_source
from fer_batch.sources.tree import Tree
from fer_batch.sources.truth import occurs, read_truth
from fer_batch.storage.store import has_scheme
from fer_batch.types import MediaError, SequenceRef

# Files of labels that are opened; beyond them nothing is, so that the answer comes in seconds.
LOCAL_FILES, REMOTE_FILES = 100_000, 2_000


def dataset_facts(format: str, uri: str) -> dict[str, Any]:
    """Counts of inputs, subjects and labels, and sentences about what is missing.

    Parameters
    ----------
    format, uri
        As in the source section of a job.
    """
    not_read = DATASETS[format].not_read
    refs = list_source(format, uri)
    labels = _labels(refs, LOCAL_FILES if not has_scheme(uri) else REMOTE_FILES)
    skipped = Counter(ref.skip_reason for ref in refs if ref.skip_reason)
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
        "emotions": labels["emotions"],
        "units": labels["units"],
        "with_annotations": sum(bool(ref.annotation_uris or ref.labels) for ref in refs),
        "landmarks": sum(_has_landmarks(ref) for ref in refs),
        "skipped": dict(skipped),
        "missing": [*_missing(format, refs, labels), *labels["problems"]],
        "not_counted": [*labels["not_counted"], *(not_read(Tree(uri)) if not_read else [])],
        "example": refs[0].sequence_id,
        "run": job_line(format, uri, refs),
    }


def job_line(format: str, uri: str, refs: Sequence[SequenceRef]) -> str:
    """The command that runs it."""
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


def dataset_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    kinds = ", ".join(_count(n, kind.replace("_", " ")) for kind, n in found["kinds"].items())
    of = f" of {_count(found['subjects'], 'subject')}" if found["subjects"] else ""
    frames = f", {found['frames']:,} frames" if found["frames"] else ""
    size = f"{found['bytes'] / 1e6:,.1f} MB"
    lines = [f"dataset {found['format']}: {kinds}{of}{frames} ({size}), such as {found['example']}"]
    for what in ("splits", "emotions"):
        if found[what]:
            lines.append(f"  {what}: " + ", ".join(f"{name} {n:,}" for name, n in found[what].items()))
    if found["units"]:
        units = ", ".join(f"{name} {n['present']:,}/{n['absent']:,}" for name, n in found["units"].items())
        lines.append(f"  frames with and without each Action Unit: {units}")
    lines += [f"  {_count(n, 'input')} skipped: {reason}" for reason, n in found["skipped"].items()]
    lines += [f"  {sentence}" for sentence in (*found["missing"], *found["not_counted"])]
    return "\n".join([*lines, f"  run it: {found['run']}"])


def _has_landmarks(ref: SequenceRef) -> bool:
    return bool(ref.landmarks_uri) or len(ref.landmarks) > 0 or ref.skip_reason is not None


def _labels(refs: Sequence[SequenceRef], n_files: int) -> dict[str, Any]:
    """Inputs of each emotion and frames of each Action Unit, from the listing or from so many files."""
    emotions: Counter[str] = Counter()
    present: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    bad: list[str] = []
    n_wrong_pspi = n_unread = n_coded = 0
    cost = sum(truth_form(ref.truth).n_label_files(ref) for ref in refs if ref.annotation_uris)
    for ref in refs:
        if ref.annotation_uris and cost > n_files:
            n_unread += 1
            continue
        if not ref.annotation_uris:
            emotions.update([ref.emotion] if ref.emotion else [])
            if not any(au_id(target) for target, _ in ref.labels):
                continue
        try:
            truth = read_truth(replace(ref, landmarks_uri=None))
        except MediaError as error:
            bad.append(str(error))
            continue
        emotions.update([truth.emotion] if truth.emotion and ref.annotation_uris else [])
        targets = truth.annotations["target"].to_pylist()
        known = occurs(truth.annotations, DEFAULT_RULE)
        units = {target for target in targets if au_id(target)}
        for target, value in zip(targets, known.tolist(), strict=True):
            if target in units:
                present[target] += value == 1
                absent[target] += value == 0
        n_coded += bool(units)
        n_wrong_pspi += sum(str(raw).startswith("Action Units give") for raw in truth.annotations["raw"].to_pylist())
    problems = [f"labels of {_count(len(bad), 'input')} cannot be read: {bad[0]}"] if bad else []
    if n_wrong_pspi:
        problems.append(f"PSPI of {_count(n_wrong_pspi, 'frame')} is not that of their Action Units")
    not_counted = []
    if n_unread:
        not_counted.append(f"not counted: labels of {_count(n_unread, 'input')}, which are in {cost:,} files")
    return {
        "emotions": {name: emotions[name] for name in sorted(emotions)},
        "units": {name: {"present": present[name], "absent": absent[name]} for name in sorted({*present, *absent})},
        "n_coded": n_coded,
        "problems": problems,
        "not_counted": not_counted,
    }


def _missing(format: str, refs: Sequence[SequenceRef], labels: dict[str, Any]) -> list[str]:
    what = "still" if refs[0].kind == "still" else "sequence" if refs[0].kind == "image_sequence" else "video"
    n, sentences = len(refs), []
    considered = sum(ref.skip_reason is None for ref in refs)
    counted = not labels["not_counted"]
    gaps = {
        "has no file": sum(ref.version == "missing" for ref in refs),
        "has no emotion label": considered - sum(labels["emotions"].values()) if counted and labels["emotions"] else 0,
        "has no Action Unit label": considered - labels["n_coded"] if counted and labels["n_coded"] else 0,
        "has no label": sum(not ref.annotation_uris and not ref.labels for ref in refs if ref.skip_reason is None),
        "has no landmarks": sum(not _has_landmarks(ref) for ref in refs),
    }
    if gaps["has no label"] and (labels["emotions"] or labels["n_coded"]):
        gaps["has no label"] = 0  # said above
    for gap, n_gap in gaps.items():
        if n_gap > 0:
            verb = gap if n_gap == 1 else gap.replace("has", "have", 1)
            hint = "; they need faces.detector: dlib or none" if "landmarks" in gap else ""
            sentences.append(f"{n_gap:,} of {_count(n, what)} {verb}{hint}")
    whole = DATASETS[format].whole
    if whole and n < whole.inputs:
        of = f" of {whole.subjects} subjects" if whole.subjects else ""
        sentences.append(f"the whole collection has {_count(whole.inputs, what)}{of}")
    return sentences


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
