"""The page of classes: clusters of the stills of each class over the whole collection, with the stills that show them.

The stills of a page are few and anywhere in the collection, so only their rows are read.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.report.data import target_order
from fer_batch.pipeline.report.queries import literal
from fer_batch.pipeline.report.sequence import chip
from fer_batch.report.classes import FILE, ClassCluster, ClassesContents, Exemplar, SeenClass, classes_page
from fer_batch.report.page import Query, RunSummary
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.visualize.clusters import ClusterDecision, ClusterMap, has_spectrum, without_spectrum
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.hatches import texture
from fer_batch.visualize.heatmap import projection_on
from fer_batch.visualize.raster import SIDE, map_png, projection_png
from fer_batch.visualize.standard_face import line_face_svg
from fer_batch.visualize.vector_spectrum import spectrum_svg

FACE_PIXELS = 128  # side of an exemplar
_Row = dict[str, Any]


def has_classes(store: Store, partition: Partition) -> bool:
    """Whether there is a class of stills."""
    return _rows(store, partition, "class_prototypes", ["target"]).num_rows > 0


def _rows(
    store: Store, partition: Partition, table: str, columns: list[str] | None = None, where: pc.Expression | None = None
) -> pa.Table:
    return PartitionReader(store, partition).table(table, columns, where)


def classes_files(store: Store, partition: Partition, summary: RunSummary) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the page."""
    run = latest_run(store, partition)
    card = card_of(run)
    table = _rows(store, partition, "class_prototypes")
    rows = table.drop_columns(["relevance"]).to_pylist()
    maps = dict(enumerate(unpack_maps(table)))
    palette = Palette(tuple(card.get("targets") or PartitionReader(store, partition).targets()), summary.maps)
    names = {name for row in rows for name in row["exemplars"] or ()}
    stills = _Stills(store, partition, names, crop_size_of(run, card))
    by_class: dict[str, list[tuple[_Row, NDArray[np.float32]]]] = {}
    for number in sorted(range(len(rows)), key=lambda i: (len(rows[i]["cluster"] or ""), rows[i]["cluster"] or "")):
        by_class.setdefault(rows[number]["target"], []).append((rows[number], maps[number]))
    classes = tuple(_class(name, by_class[name], palette, stills) for name in sorted(by_class, key=target_order))
    contents = ClassesContents(classes, stills.faces, tuple(_queries(partition)))
    yield FILE, classes_page(summary, contents)


class _Stills:
    """The stills that are shown: crops, else drawings by their landmarks, and annotated classes.

    Parameters
    ----------
    names
        `sequence_id#frame_index`, as table `class_prototypes` has them.
    crop_size
        Pixels of the face crops, where known.
    """

    def __init__(self, store: Store, partition: Partition, names: Iterable[str], crop_size: int | None) -> None:
        ids = sorted({_sequence_id(name) for name in names})
        wanted = pc.field("sequence_id").isin(pa.array(ids, pa.string()))

        def rows(table: str, *columns: str, where: pc.Expression = wanted) -> list[_Row]:
            return _rows(store, partition, table, ["sequence_id", *columns], where).to_pylist()

        kept = wanted & pc.field("exemplar_jpeg").is_valid()
        crops = {row["sequence_id"]: row["exemplar_jpeg"] for row in rows("prototypes", "exemplar_jpeg", where=kept)}
        self.faces = {name: small_face(crops[name]) for name in ids if name in crops}
        self._truth = {row["sequence_id"]: row["emotion"] for row in rows("sequences", "emotion")}
        self._outlines: dict[str, str] = {}
        # Any crop tells the size: all of a run have one.
        size = crop_size or next((Image.open(io.BytesIO(crop)).height for crop in crops.values()), None)
        if size is not None and len(crops) < len(ids):
            for row in rows("frames", "landmarks", where=wanted & pc.field("landmarks").is_valid()):
                points = np.asarray(row["landmarks"], np.float64)
                if row["sequence_id"] not in crops and points.shape == (136,):
                    self._outlines[row["sequence_id"]] = line_face_svg((points.reshape(68, 2) + 0.5) * 100 / size)

    def exemplar(self, name: str) -> Exemplar:
        sequence_id = _sequence_id(name)
        truth = self._truth.get(sequence_id)
        if sequence_id in self.faces:
            return Exemplar(sequence_id, sequence_id, truth=truth)
        return Exemplar(sequence_id, None, self._outlines.get(sequence_id) or line_face_svg(), truth)


def _sequence_id(name: str) -> str:
    return name.rpartition("#")[0]


def small_face(crop: bytes) -> bytes:
    """A crop as large as a page of many shows it."""
    stored = Image.open(io.BytesIO(crop))
    if max(stored.size) <= FACE_PIXELS:
        return crop
    image = stored.convert("RGB")
    image.thumbnail((FACE_PIXELS, FACE_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def _class(
    name: str, found: Sequence[tuple[_Row, NDArray[np.float32]]], palette: Palette, stills: _Stills
) -> SeenClass:
    first, _ = found[0]
    n = sum(row["n_frames"] or 0 for row, _ in found)
    decision = ClusterDecision(
        target=name,
        clusters=tuple(ClusterMap(row["cluster"] or "", mean, row["n_frames"] or 0) for row, mean in found),
        eigenvalues=tuple(value for value in first["spectrum"] or () if value is not None),
        rule=first["rule"] or "",
        n_neighbors=first["n_neighbors"],
    )
    k = len(found)
    words = f"The smallest eigenvalues of {name}: {k} {'cluster' if k == 1 else 'clusters'}"
    return SeenClass(
        name=name,
        meaning=facs.AU_NAMES.get(facs.au_id(name) or 0, ""),
        clusters=tuple(_cluster(row, mean, n, palette, stills) for row, mean in found),
        n=n,
        spectrum=spectrum_svg(decision, words) if has_spectrum(decision) else "",
        note=without_spectrum(decision),
        n_clustered=first["n_clustered"],
        rule=first["rule"],
        n_neighbors=first["n_neighbors"],
        eigengap=first["eigengap"],
        silhouette=first["silhouette"],
    )


def _cluster(row: _Row, mean: NDArray[np.float32], n: int, palette: Palette, stills: _Stills) -> ClassCluster:
    label = (row["target"], row["cluster"] or "")
    known = bool(np.isfinite(mean).all())
    shown = projection_on(mean, SIDE, SIDE, palette.maps.top_x, "all")
    return ClassCluster(
        label=chip(label, palette),
        n=row["n_frames"],
        share=row["n_frames"] / n if row["n_frames"] is not None and n else None,
        mean=map_png(mean, palette.maps) if known else None,
        top=projection_png([(shown, texture(palette.style(*label), SIDE, SIDE))]) if known else None,
        exemplars=tuple(stills.exemplar(name) for name in row["exemplars"] or ()),
    )


def _queries(partition: Partition) -> Iterator[Query]:
    here = "\n  AND ".join(f"{name} = {literal(value)}" for name, value in asdict(partition).items())
    yield Query(
        "Classes and their clusters",
        "SELECT target, cluster, n_frames, n_clusters, rule, n_neighbors, eigengap, silhouette, exemplars\n"
        f"FROM class_prototypes\nWHERE {here}\nORDER BY target, length(cluster), cluster",
    )
    yield Query(
        "Mean maps and spectra",
        "SELECT target, cluster, height, width, scale, relevance, spectrum\n"
        f"FROM class_prototypes\nWHERE {here}\nORDER BY target, length(cluster), cluster",
    )
