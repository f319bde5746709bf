"""AffectNet+ (Fard et al. 2024): a JSON file beside each picture, whose keys differ between copies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.sources.dataset import Dataset, Job, TruthForm, annotation_uris, register
from fer_batch.sources.datasets.affectnet import CODES
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import Frames, Points, Row, annotation_table
from fer_batch.sources.labels import NO_EXPRESSION
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import InputError, MediaError, SequenceRef

SPLITS = {"train_set": "train", "validation_set": "val"}
SCALES = ("valence", "arousal", "age")


def list_affectnet_plus(tree: Tree, *, unlabelled: bool = False) -> Iterator[SequenceRef]:
    """One row per picture that people annotated; `unlabelled` adds those that they did not."""
    human = tree.find("human_annotated")
    if human is None:  # given from the inside
        human = tree.need("human_annotated", *SPLITS).rpartition("/")[0]
    splits = {name: split for name, split in SPLITS.items() if name in tree.children(human)[0]}
    if not splits:
        raise InputError(f"{tree.url(human)}: expected the folders train_set and validation_set")
    folders = [(f"{human}/{name}".lstrip("/"), split) for name, split in splits.items()]
    other = tree.find("no_human_annotated") if unlabelled else None
    for folder, split in [*folders, *([(other, None)] if other else [])]:
        beside = {entry.path.rpartition(".")[0]: entry for entry in tree.scan(f"{folder}/annotations", (".json",))}
        for entry in tree.walk(f"{folder}/images", IMAGES):
            stem = entry.path.removeprefix(f"{folder}/images/").rpartition(".")[0]
            annotation = beside.get(stem)
            uri = tree.url(f"{folder}/annotations/{annotation.path}") if annotation else None
            yield tree.file(
                entry.path.removeprefix(human.rpartition("/")[0]).lstrip("/"),
                "still",
                entry,
                [annotation] if annotation else [],
                split=split,
                truth=TRUTH.name,
                annotation_uris=(uri,) if uri else (),
                landmarks_uri=uri,
            )


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Expression and scales; every other key is kept as JSON in `raw` of a row `metadata`."""
    known = _read(uris[0])
    rows: list[Row] = []
    code = _number(known.pop("human_label", None))
    if code is not None:
        try:
            name = CODES.expression(code)
        except ValueError as error:
            raise MediaError(f"{uris[0]}: {error}") from None
        if name not in NO_EXPRESSION:
            rows.append((0, name, None, True, f"{code:g}"))
    for name in SCALES:
        value = _number(known.get(name))
        if value is not None and value > -2:
            rows.append((0, name, value, None, None))
            del known[name]
    known = {key: value for key, value in known.items() if "landmark" not in key}
    return annotation_table([*rows, (0, "metadata", None, None, json.dumps(known, sort_keys=True))])


def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points, where a key with `landmark` in its name has them."""
    for key, value in _read(uri).items():
        if "landmark" in key:
            try:
                return {0: np.asarray(value, np.float32).reshape(68, 2)}
            except (ValueError, TypeError):
                return {}
    return {}


def _read(uri: str) -> dict[str, object]:
    """Values by key in lower case with `_`, also those one level down."""
    try:
        values = json.loads(read_bytes(uri))
    except ValueError as error:
        raise MediaError(f"{uri}: expected JSON: {error}") from None
    if not isinstance(values, dict):
        raise MediaError(f"{uri}: expected a JSON object, got {type(values).__name__}")
    inner = [value for key, value in values.items() if isinstance(value, dict) and "metadata" in key.lower()]
    return {key.lower().replace("-", "_"): value for each in (*inner, values) for key, value in each.items()}


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


TRUTH = TruthForm(
    name="affectnet_plus",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=annotation_uris,
)

AFFECTNET_PLUS = register(
    Dataset(
        name="affectnet_plus",
        title="AffectNet+",
        row_per="picture",
        labels="expression, `valence`, `arousal`, `age`; every other key as JSON in `raw` of target `metadata`",
        face="landmarks where a key has 136 numbers",
        listing=list_affectnet_plus,
        options={"unlabelled": "`unlabelled: true` adds what no person annotated"},
        marks=(r"(^|/)(human_annotated|validation_set)$|(^|/)(train|validation)_set/annotations/[^/]+\.json$",),
        tables=(),
        truth=TRUTH,
        codes=CODES,
        scales=SCALES,
        whole=None,
        job=Job("affectnet", format="affectnet"),
        is_cropped=True,
        not_read=None,
    )
)
