"""AffectNet, the release of aligned faces with four `.npy` files beside each."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.sources.dataset import Dataset, Job, TruthForm, Whole, register
from fer_batch.sources.datasets.affectnet import CODES
from fer_batch.sources.fetch import NotThere, read_bytes
from fer_batch.sources.label_files import Frames, Points, Row, annotation_table
from fer_batch.sources.labels import NO_EXPRESSION
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import MediaError, SequenceRef

SPLITS = {"train_set": "train", "val_set": "val"}


def list_affectnet_npy(tree: Tree) -> Iterator[SequenceRef]:
    """One row per picture; its `.npy` files are opened on the worker, never here."""
    root = tree.need(*SPLITS).rpartition("/")[0]
    for folder_name, split in SPLITS.items():
        if folder_name not in tree.children(root)[0]:
            continue
        folder = f"{root}/{folder_name}".lstrip("/")
        versions = _versions(tree, f"{folder}/annotations")
        for entry in tree.scan(f"{folder}/images", IMAGES):
            stem = entry.path.rpartition(".")[0]
            version, has_labels, has_points = versions.get(stem, (0, False, False))
            beside = tree.url(f"{folder}/annotations/{stem}")
            yield SequenceRef(
                sequence_id=f"{folder_name}/images/{entry.path}",
                kind="still",
                uri=tree.url(f"{folder}/images/{entry.path}"),
                size=entry.size,
                version=entry.version,
                split=split,
                truth=TRUTH.name,
                annotation_uris=(beside,) if has_labels else (),
                landmarks_uri=beside + "_lnd.npy" if has_points else None,
                truth_version=f"{version:x}" if version else "",
            )


def _versions(tree: Tree, folder: str) -> dict[str, tuple[int, bool, bool]]:
    """Of each picture: a version of its files together, whether it has labels, whether it has landmarks."""
    found: dict[str, tuple[int, bool, bool]] = {}
    for entry in tree.scan(folder, (".npy",)):  # a million of them: nothing but a number is kept of each
        stem, _, kind = entry.path.removesuffix(".npy").rpartition("_")
        version, labels, points = found.get(stem, (0, False, False))
        version += zlib.crc32(f"{kind}:{entry.size}:{entry.version}".encode())
        found[stem] = version, labels or kind != "lnd", points or kind == "lnd"
    return found


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Expression, valence and arousal of a still."""
    rows: list[Row] = []
    for kind in ("exp", "val", "aro"):
        where = f"{uris[0]}_{kind}.npy"
        try:
            values = load_npy(read_bytes(where), where).ravel()
        except NotThere:
            continue
        if values.size != 1:
            raise MediaError(f"{where}: expected one number, got shape {values.shape}")
        number = float(values[0])
        if kind != "exp":
            if number >= -1.0:  # -2 says that it is not given
                rows.append((0, "valence" if kind == "val" else "arousal", number, None, None))
            continue
        try:
            name = CODES.expression(number)
        except ValueError as error:
            raise MediaError(f"{where}: {error}") from None
        if name not in NO_EXPRESSION:
            rows.append((0, name, None, True, f"{number:g}"))
    return annotation_table(rows)


def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points of a still."""
    values = load_npy(read_bytes(uri), uri)
    if values.size != 136:
        raise MediaError(f"{uri}: expected 136 numbers x, y, ..., got shape {values.shape}")
    return {0: values.reshape(68, 2).astype(np.float32)}


def load_npy(data: bytes, where: str) -> NDArray[np.float64]:
    """Numbers of a `.npy` file, which may hold them as text: float64, of the file's shape. Nothing is unpickled.

    Raises
    ------
    MediaError
        If it is none, or holds objects.
    """
    try:
        return np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
    except (ValueError, EOFError, OSError) as error:
        raise MediaError(f"{where}: expected numbers in a .npy file: {error}") from None


TRUTH = TruthForm(
    name="affectnet_npy",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=lambda ref: 3,
)

AFFECTNET_NPY = register(
    Dataset(
        name="affectnet_npy",
        title="AffectNet, `.npy` files",
        row_per="picture",
        labels="expression, `valence`, `arousal`",
        face="68 landmarks",
        listing=list_affectnet_npy,
        options={},
        # AffectNet+ has a train_set too, beside its validation_set; a copy without val_set is known by its files.
        marks=(r"(^|/)(train|val)_set$", r"(^|/)val_set$|_(exp|val|aro|lnd)\.npy$"),
        tables=(),
        truth=TRUTH,
        codes=CODES,
        scales=("valence", "arousal"),
        whole=Whole(inputs=291_650, subjects=None),
        job=Job("affectnet", format="affectnet"),
        is_cropped=False,
        not_read=None,
    )
)
