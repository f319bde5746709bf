"""FER2013 (Goodfellow et al. 2013) and FER+ (Barsoum et al. 2016): pictures in a table, and their later labels."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple, TypedDict, Unpack

from fer_batch.sources.dataset import Dataset, Whole, register
from fer_batch.sources.labels import NO_EXPRESSION, ExpressionCodes
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import InputError, SequenceRef

SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
CODES = ExpressionCodes("fer2013", 0, ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"))
PLUS_CODES = ExpressionCodes(
    "fer_plus",
    0,
    (
        *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
        *("uncertain", "non_face"),
    ),
)
WHOLE = Whole(inputs=35_887, subjects=None)
FOLDERS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")


class _Labels(TypedDict, total=False):
    """Fields of a ref that its label gives."""

    emotion: str
    labels: tuple[tuple[str, float], ...]
    raw_labels: tuple[tuple[str, str], ...]
    skip_reason: str
    truth_version: str


class _Line(NamedTuple):
    """One picture of the table; `span` is where its pixels are."""

    span: tuple[int, int]
    code: str
    usage: str
    crc: int


def list_fer2013(tree: Tree) -> Iterator[SequenceRef]:
    """One row per line, named by its number as FER+ does; the pixels stay in the table until a worker needs them."""
    path = tree.need("fer2013.csv", "icml_face_data.csv", files=True)
    for index, line in enumerate(_lines(tree, path)):
        try:
            kind = CODES.expression(int(line.code)) if line.code else None
        except ValueError as error:
            raise InputError(f"{tree.url(path)}, picture {index}: {error}") from None
        known: _Labels = {"truth_version": line.code}
        if kind:
            known |= {"emotion": kind, "labels": ((kind, 1.0),), "raw_labels": ((kind, line.code),)}
        yield _still(tree, path, index, line, **known)


def list_fer_plus(tree: Tree) -> Iterator[SequenceRef]:
    """The same pictures with the majority of ten votes; from fer2013.csv, or from the folders made of it."""
    path = tree.find("fer2013.csv", files=True)
    if path is None:
        yield from _folders(tree)
        return
    labels = tree.need("fer2013new.csv", files=True)
    text = tree.text(labels)
    rows = csv.DictReader(io.StringIO(text))  # in the order of the table; a face that is none has no name
    where = tree.url(labels)
    if not set(VOTES) <= set(rows.fieldnames or ()):
        raise InputError(f"{where}: expected the columns {', '.join(VOTES)}; got {', '.join(rows.fieldnames or ())}")
    votes = [_counts([row[name] for name in VOTES], f"{where}, line {rows.line_num}") for row in rows]
    lines = list(_lines(tree, path))
    if len(votes) != len(lines):
        raise InputError(f"{tree.url(path)} has {len(lines)} pictures, but fer2013new.csv has {len(votes)} rows")
    for index, (line, counts) in enumerate(zip(lines, votes, strict=True)):
        yield _still(tree, path, index, line, **_voted(counts))


def _folders(tree: Tree) -> Iterator[SequenceRef]:
    root = tree.need(*FOLDERS).rpartition("/")[0]
    for folder in (name for name in tree.children(root)[0] if name in FOLDERS):
        base = f"{root}/{folder}".lstrip("/")
        pictures = {entry.path.rpartition("/")[2]: entry for entry in tree.walk(base, IMAGES)}
        votes = _folder_votes(tree, f"{base}/label.csv", pictures)
        for name, entry in pictures.items():
            known: _Labels = _voted(votes[name]) if name in votes else {}
            yield SequenceRef(
                sequence_id=f"{folder}/{name}",
                kind="still",
                uri=tree.url(entry.path),
                size=entry.size,
                version=entry.version,
                split=FOLDERS[folder],
                **known,
            )


def _folder_votes(tree: Tree, path: str, pictures: Container[str]) -> dict[str, dict[str, int]]:
    """Votes by picture from the table of a folder; none where there is no table."""
    if not tree.store.exists(path):
        return {}
    where, votes = tree.url(path), {}
    rows = csv.reader(io.StringIO(tree.text(path)))
    for row in rows:
        if row and row[0] in pictures:
            votes[row[0]] = _counts(row[2:], f"{where}, line {rows.line_num}")
    return votes


def _counts(cells: Sequence[str | None], where: str) -> dict[str, int]:
    """Votes by name; an empty cell is none."""
    try:
        return dict(zip(VOTES, (int(float(cell or 0)) for cell in cells), strict=True))
    except ValueError:
        raise InputError(f"{where}: expected {len(VOTES)} numbers of votes, got {list(cells)!r}") from None


def _still(tree: Tree, path: str, index: int, line: _Line, **known: Unpack[_Labels]) -> SequenceRef:
    return SequenceRef(
        sequence_id=f"fer{index:07d}.png",
        kind="still",
        uri=tree.url(path),
        size=line.span[1] - line.span[0],
        version=f"{line.crc:x}",
        span=line.span,
        split=SPLITS.get(line.usage),
        **known,
    )


def _lines(tree: Tree, path: str) -> Iterator[_Line]:
    """Pictures of the table; copies differ in the order of their columns, and some lack the last."""
    with tree.store.fs.open(tree.store.path(path), "rb") as handle:
        head = handle.readline()
        names = [name.strip().strip('"').lower() for name in head.decode("utf-8-sig").split(",")]
        if "pixels" not in names:
            raise InputError(f"{tree.url(path)}: expected the columns emotion, pixels, Usage; got {', '.join(names)}")
        start = len(head)
        for line in handle:
            cells = line.split(b",")
            if len(cells) == len(names):
                row = dict(zip(names, cells, strict=True))
                before = sum(len(cell) + 1 for cell in cells[: names.index("pixels")])
                pixels = row["pixels"]
                begin = start + before + (len(pixels) - len(pixels.lstrip(b' "')))
                stop = begin + len(pixels.strip(b' "\r\n'))
                code, usage = (row.get(name, b"").decode().strip().strip('"') for name in ("emotion", "usage"))
                yield _Line((begin, stop), code, usage, zlib.crc32(pixels))
            elif line.strip():
                raise InputError(f"{tree.url(path)}: expected {len(names)} columns, got {len(cells)} in {line[:60]!r}")
            start += len(line)


def _voted(votes: Mapping[str, int]) -> _Labels:
    """Label of the majority; none where the most votes are shared, no face where NF or unknown has them."""
    most = max(votes.values())
    leaders = [code for code, count in enumerate(votes.values()) if count == most and count]
    raw = json.dumps(dict(votes))
    kind = PLUS_CODES.expression(leaders[0]) if len(leaders) == 1 else None
    if kind is None:
        return {"truth_version": raw}
    if kind in NO_EXPRESSION:
        return {"skip_reason": NO_EXPRESSION[kind], "truth_version": raw}
    return {"emotion": kind, "labels": ((kind, 1.0),), "raw_labels": ((kind, raw),), "truth_version": raw}


FER2013 = register(
    Dataset(
        name="fer2013",
        title="FER2013",
        row_per="line of the table",
        labels="expression",
        face="the picture: `faces.detector: none`",
        listing=list_fer2013,
        options={},
        marks=(r"(^|/)(fer2013|icml_face_data)\.csv$",),
        tables=("fer2013.csv", "icml_face_data.csv"),
        truth=None,
        codes=CODES,
        scales=(),
        whole=WHOLE,
        job=None,
        is_cropped=True,
        not_read=None,
    )
)
FER_PLUS = register(
    Dataset(
        name="fer_plus",
        title="FER+",
        row_per="line of the table",
        labels="expression: the majority of the votes",
        face="the picture: `faces.detector: none`",
        listing=list_fer_plus,
        options={},
        marks=(r"(^|/)(fer2013new\.csv|fer2013(train|valid|test))$", r"fer2013"),
        tables=("fer2013new.csv",),
        truth=None,
        codes=PLUS_CODES,
        scales=(),
        whole=WHOLE,
        job=None,
        is_cropped=True,
        not_read=None,
    )
)
