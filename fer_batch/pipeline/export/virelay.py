"""Prototypes as ViRelAy projects: each cluster of each sequence is a sample, with its mean map and its exemplar's face.

ViRelAy knows no time and one map a picture, so a sample is what stands for a cluster of frames. Each target is a
category, and its prototypes are clustered once more over all sequences, which is the view that ViRelAy is made for.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import cv2
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs, spray
from fer_batch.output.reader import PartitionReader, Reader, ShardReader
from fer_batch.spray.affinity import default_neighbours, nearest_neighbours, neighbour_graph
from fer_batch.spray.features import averaged, features
from fer_batch.spray.laplacian import spectrum
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.types import InputError
from fer_batch.visualize.standard_face import line_face

if TYPE_CHECKING:
    from fer_batch.export.virelay import Category, SampleWriter

MAX_POINTS = 5000  # of a target that are clustered and drawn: ViRelAy sends them to the browser in one piece
SIDE = 28  # pixels that maps are averaged down to for clustering
EIGENVALUES = 32
SAMPLES = "samples.csv"  # which prototype a sample is: ViRelAy itself shows only its number
_COLUMNS = ("sample", "sequence_id", "target", "cluster", "n_frames", "first_frame", "exemplar_frame")
_BLOCK = 64  # prototypes that are read at a time
Row = Mapping[str, Any]  # of table `prototypes`
# Of each target: numbers of samples, and of their clusters.
Members: TypeAlias = "dict[str, tuple[array[int], array[int]]]"


def to_virelay(store: Store, found: list[Partition], target: Store) -> list[str]:
    """Write `<dataset>/<model>/<explain>/project.yaml` and the files it names.

    Parameters
    ----------
    store
        The output.
    found
        Partitions that are exported.
    target
        The folder of the export.

    Raises
    ------
    InputError
        If h5py is not installed.
    """
    try:
        import fer_batch.export.virelay  # noqa: F401  (needs h5py)
    except ImportError:
        raise InputError("--to virelay needs h5py: pip install 'fer_batch[export]'") from None
    return [_write_project(store, partition, target) for partition in found]


def _write_project(store: Store, partition: Partition, target: Store) -> str:
    from fer_batch.export import virelay

    folder = f"{partition.dataset}/{partition.model}/{partition.explain}"
    first = next(_prototypes(store, partition), None)
    if first is None:
        return f"{folder}: no prototypes, so no project"
    targets = PartitionReader(store, partition).targets()
    side = _side(first[0])
    with ExitStack() as stack:
        dataset, attribution, analysis, listed = (
            stack.enter_context(target.staged(f"{folder}/{name}"))
            for name in (virelay.DATASET, virelay.ATTRIBUTION, virelay.ANALYSIS, SAMPLES)
        )
        samples = stack.enter_context(virelay.SampleWriter(dataset, attribution, side, len(targets)))
        listing = stack.enter_context(open(listed, "w", encoding="utf-8", newline=""))
        members = _append_all(samples, listing, _prototypes(store, partition), targets, side)
        categories = stack.enter_context(virelay.AnalysisWriter(analysis))
        sampled = []
        for name in (name for name in targets if name in members):
            index, clusters, sentence = _even_sample(name, members)
            sampled += sentence
            categories.append(_category(samples, name, index, clusters))
        n = samples.n
    _put_texts(partition, target, folder, targets, side)
    return "; ".join(
        [f"{target.url(f'{folder}/{virelay.PROJECT}')}: {n} prototypes of {len(members)} targets", *sampled]
    )


def _even_sample(target: str, members: Members) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Numbers of samples and clusters of a target, at most `MAX_POINTS`, and a sentence where some are left out."""
    index, clusters = (np.array(column, np.int64) for column in members[target])
    if len(index) <= MAX_POINTS:
        return index, clusters, []
    even = np.linspace(0, len(index) - 1, MAX_POINTS).round().astype(np.int64)
    return index[even], clusters[even], [f"{target}: {MAX_POINTS} of {len(index)} clustered"]


def _put_texts(partition: Partition, target: Store, folder: str, targets: Sequence[str], side: tuple[int, int]) -> None:
    """Write the label map and, last, the project that names all files."""
    from fer_batch.export import virelay

    names = {name: _display_name(name) for name in targets}
    target.put(f"{folder}/{virelay.LABELS}", virelay.label_map(targets, names).encode())
    title = f"{partition.dataset} {partition.model} {partition.explain}"
    text = virelay.project(title, partition.model, partition.dataset, partition.explain, side)
    target.put(f"{folder}/{virelay.PROJECT}", text.encode())


def _prototypes(store: Store, partition: Partition) -> Iterator[tuple[Row, ShardReader]]:
    """Rows of table `prototypes` with their `map`, and the shard they are of; undefined maps are left out."""
    columns = [*_COLUMNS[1:], "exemplar_jpeg", "height", "width", "scale", "relevance"]
    for shard in PartitionReader(store, partition).shards():
        for rows in shard.batches("prototypes", columns, _BLOCK):
            plain = rows.drop_columns(["relevance"]).to_pylist()
            for row, relevance in zip(plain, unpack_maps(rows), strict=True):
                if row["scale"]:
                    yield {**row, "map": relevance}, shard


def _side(prototype: Row) -> tuple[int, int]:
    """Height and width of faces and maps: that of the crop where one is stored."""
    if prototype["exemplar_jpeg"] is None:
        return prototype["height"], prototype["width"]
    width, height = Image.open(io.BytesIO(prototype["exemplar_jpeg"])).size
    return height, width


def _append_all(
    samples: SampleWriter,
    listing: TextIO,
    prototypes: Iterator[tuple[Row, ShardReader]],
    targets: Sequence[str],
    side: tuple[int, int],
) -> Members:
    """Write every prototype; of each target the numbers of its samples, and of their clusters in their sequences."""
    members: Members = {}
    place = {name: k for k, name in enumerate(targets)}
    out = csv.DictWriter(listing, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    out.writeheader()
    for row, shard in prototypes:
        logits = _logits(shard.of(row["sequence_id"]), row["exemplar_frame"], targets)
        number = samples.append(
            _face(row["exemplar_jpeg"], side), _resized(row["map"], side), place[row["target"]], logits
        )
        out.writerow({**row, "sample": number})
        index, clusters = members.setdefault(row["target"], (array("q"), array("q")))
        index.append(number)
        clusters.append(_cluster_number(row["cluster"]))
    return members


def _logits(reader: Reader, frame: int, targets: Sequence[str]) -> NDArray[np.float32]:
    """Logits of one frame; 0 where undefined, because ViRelAy's pages cannot read NaN."""
    rows = reader("detections", ("frame_index", "target", "logit"))
    rows = rows.filter(pc.equal(rows["frame_index"], frame))
    of = dict(zip(rows["target"].to_pylist(), rows["logit"].to_pylist(), strict=True))
    return np.array([of.get(name) or 0.0 for name in targets], np.float32)


def _face(jpeg: bytes | None, side: tuple[int, int]) -> NDArray[np.uint8]:
    """The crop, or a drawing where no faces are stored."""
    if jpeg is None:
        return line_face(*side)
    face = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return face if face.shape[:2] == side else np.asarray(cv2.resize(face, side[::-1]), np.uint8)


def _resized(relevance: NDArray[np.float32], side: tuple[int, int]) -> NDArray[np.float32]:
    if relevance.shape == side:
        return relevance
    return np.asarray(cv2.resize(relevance, side[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _cluster_number(letters: str) -> int:
    """0 for A, 25 for Z, 26 for AA: the inverse of `prototypes.stages.letter`."""
    number = 0
    for character in letters:
        number = 26 * number + ord(character) - ord("A") + 1
    return number - 1


def _category(samples: SampleWriter, target: str, index: NDArray[np.int64], clusters: NDArray[np.int64]) -> Category:
    """Prototypes of one target: clustered over all sequences, and as points to look at."""
    from fer_batch.export.virelay import Category

    blocks = [averaged(samples.relevance(part), SIDE) for part in np.array_split(index, -(-len(index) // _BLOCK))]
    maps = np.concatenate(blocks)
    rows, defined = features(maps)
    spectral, eigenvalues = _spectral(rows)
    return Category(
        target,
        index,
        {"collection": spray.cluster(maps).labels, "sequence": clusters},
        {
            "pca": (_spread_out(_principal(rows), defined), None),
            "spectral": (_spread_out(spectral, defined), eigenvalues),
        },
    )


def _spectral(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First eigenvectors of the neighbour graph, at least two columns, and their eigenvalues."""
    n = len(rows)
    if n < 2:
        return np.zeros((n, 2)), np.zeros(n)
    neighbours, _ = nearest_neighbours(rows, default_neighbours(n))
    values, vectors, _ = spectrum(neighbour_graph(neighbours), EIGENVALUES)
    return vectors, values


def _principal(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Positions along the two directions of greatest variance; on each, the point farthest out is positive."""
    from sklearn.decomposition import PCA

    points = np.zeros((len(rows), 2))
    if len(rows) > 1:
        found = PCA(min(2, *rows.shape), svd_solver="covariance_eigh").fit_transform(rows)
        farthest = np.abs(found).argmax(axis=0)
        points[:, : found.shape[1]] = found * np.where(found[farthest, range(found.shape[1])] < 0, -1.0, 1.0)
    return points


def _spread_out(points: NDArray[np.float64], defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points of the defined maps in their places among all; the others lie at the origin."""
    found = np.zeros((len(defined), points.shape[1]))
    found[defined] = points
    return found


def _display_name(target: str) -> str:
    """`AU12 Lip Corner Puller`; a target that is no Action Unit has only its own name."""
    number = target[2:]
    known = facs.AU_NAMES.get(int(number)) if target.startswith("AU") and number.isdigit() else None
    return f"{target} {known}" if known else target
