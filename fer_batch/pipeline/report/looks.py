"""What the page of looks shows: tables `looks` and `cluster_looks`, the faces of exemplars, emotions and outliers."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.query import connect
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.report.classes import small_face
from fer_batch.pipeline.report.data import target_order
from fer_batch.pipeline.report.queries import literal
from fer_batch.pipeline.report.sequence import chip
from fer_batch.prototypes.looks import look_name
from fer_batch.prototypes.stages import letter
from fer_batch.report.classes import Exemplar
from fer_batch.report.looks import (
    FILE,
    EmotionShare,
    LooksContents,
    LooksOfTarget,
    Outlier,
    ShownLook,
    looks_page,
)
from fer_batch.report.page import Query, RunSummary
from fer_batch.report.sequence import look_anchor, sequence_path
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.hatches import texture
from fer_batch.visualize.heatmap import projection_on
from fer_batch.visualize.raster import SIDE, map_png, projection_png
from fer_batch.visualize.standard_face import line_face_svg, standard_outline

LOOKS_OF_TARGET, EXEMPLARS, EMOTIONS, OUTLIERS = 12, 5, 4, 50  # shown at most
_SHOWN = pc.field("height").is_valid()
_Row = Mapping[str, Any]
_HERE = "dataset = $dataset AND model = $model AND explain = $explain"


def has_looks(store: Store, partition: Partition) -> bool:
    """Whether there is any look that a cluster has."""
    return PartitionReader(store, partition).table("looks", ["target"], _SHOWN).num_rows > 0


def looks_files(store: Store, partition: Partition, summary: RunSummary) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the page."""
    reader, run = PartitionReader(store, partition), latest_run(store, partition)
    card = card_of(run)
    every = reader.table("looks", where=_SHOWN)
    table = _first_of_targets(every)
    palette = Palette(tuple(card.get("targets") or reader.targets()), summary.maps)
    rows = table.drop_columns(["relevance", "centre"]).to_pylist()
    near = _Exemplars(reader, [name for row in rows for name in _near(row)], crop_size_of(run, card))
    connection = connect(store)
    outliers, n_outliers = _outliers(connection, partition, {(row["target"], row["look"]) for row in rows})
    outline, height = standard_outline()
    contents = LooksContents(
        targets=tuple(_targets(table, palette, near, _emotions(connection, partition), _anchors(every))),
        generation=rows[0]["generation"],
        outliers=outliers,
        n_outliers=n_outliers,
        faces=near.faces,
        links=near.links,
        outline=outline,
        height=height,
        queries=tuple(_queries(partition)),
    )
    yield FILE, looks_page(summary, contents)


def _first_of_targets(table: pa.Table) -> pa.Table:
    """The first looks of each target, in order, with column `n_looks`."""
    table = table.sort_by([("target", "ascending"), ("look", "ascending")])
    names = table["target"].to_pylist()
    counts = Counter(names)
    place = np.concatenate([np.arange(counts[name]) for name in dict.fromkeys(names)]) if names else np.zeros(0)
    table = table.append_column("n_looks", pa.array([counts[name] for name in names], pa.int64()))
    return table.filter(pa.array(place < LOOKS_OF_TARGET))


def _anchors(table: pa.Table) -> dict[str, dict[int, str]]:
    """Ids on the page of every look: letters of the pages of sequences lead to those that are not drawn too."""
    found: dict[str, dict[int, str]] = {}
    for target, look in zip(table["target"].to_pylist(), table["look"].to_pylist(), strict=True):
        found.setdefault(target, {})[look] = look_anchor(target, look)
    return found


def _near(row: _Row) -> list[str]:
    return (row["exemplars"] or [])[:EXEMPLARS]


def _targets(
    table: pa.Table,
    palette: Palette,
    near: _Exemplars,
    emotions: Mapping[tuple[str, int], Sequence[EmotionShare]],
    anchors: Mapping[str, Mapping[int, str]],
) -> Iterator[LooksOfTarget]:
    rows, maps = table.drop_columns(["relevance", "centre"]).to_pylist(), unpack_maps(table)
    for target in sorted({row["target"] for row in rows}, key=target_order):
        own = [(row, mean) for row, mean in zip(rows, maps, strict=True) if row["target"] == target]
        yield LooksOfTarget(
            name=target,
            meaning=facs.AU_NAMES.get(facs.au_id(target) or 0, ""),
            looks=tuple(_look(row, mean, palette, near, emotions.get((target, row["look"]), ())) for row, mean in own),
            n_looks=own[0][0]["n_looks"],
            others=tuple(
                anchors[target][look] for look in sorted(anchors[target].keys() - {r["look"] for r, _ in own})
            ),
            on_standard_face=own[0][0]["face"] != "crop",
        )


def _look(
    row: _Row, mean: NDArray[np.float32], palette: Palette, near: _Exemplars, emotions: Iterable[EmotionShare]
) -> ShownLook:
    colour = (row["target"], letter(row["look"] - 1))
    drawn = projection_on(mean, SIDE, SIDE, palette.maps.top_x, "all")
    return ShownLook(
        label=chip(colour, palette).named(f"{row['target']}{look_name(row['look'])}"),
        anchor=look_anchor(row["target"], row["look"]),
        n_sequences=row["n_sequences"] or 0,
        share=row["share"],
        n_subjects=row["n_subjects"] or 0,
        n_frames=row["n_frames"] or 0,
        place=row["place"] or "",
        place_share=row["place_share"],
        mu=row["mu"],
        stability=row["stability"],
        rare=bool(row["rare"]),
        previous="" if row["previous"] is None else f"{row['target']}{look_name(row['previous'])}",
        mean=map_png(mean, palette.maps),
        top=projection_png([(drawn, texture(palette.style(*colour), SIDE, SIDE))]),
        exemplars=tuple(near.exemplar(name) for name in _near(row)),
        emotions=tuple(emotions)[:EMOTIONS],
    )


class _Exemplars:
    """Crops of the frames that are shown, else drawings by their landmarks; emotions, and pages of their sequences.

    Parameters
    ----------
    reader
        Of the partition.
    names
        `sequence_id#frame_index`, as table `looks` has them.
    crop_size
        Pixels of the face crops, where known.
    """

    def __init__(self, reader: PartitionReader, names: Sequence[str], crop_size: int | None) -> None:
        ids, frames = {_split(name)[0] for name in names}, {_split(name)[1] for name in names}
        self._reader, self._wanted = reader, pc.field("sequence_id").isin(pa.array(sorted(ids), pa.string()))
        self._frames = pc.field("frame_index").isin(pa.array(sorted(frames), pa.int64()))
        crops = self._crops()
        self.faces = {name: small_face(crops[_split(name)]) for name in dict.fromkeys(names) if _split(name) in crops}
        rows = self._rows("sequences", ["sequence_id", "emotion", "kind"])
        self._truth = {row["sequence_id"]: row["emotion"] for row in rows}
        self.links = {name: sequence_path(name) for name in (r["sequence_id"] for r in rows if r["kind"] != "still")}
        self._size = crop_size or next((Image.open(io.BytesIO(crop)).height for crop in crops.values()), None)
        self._outlines = {} if len(self.faces) == len(set(names)) else self._landmarks()

    def _rows(self, table: str, columns: list[str], more: pc.Expression | None = None) -> list[Any]:
        where = self._wanted if more is None else self._wanted & more
        return self._reader.table(table, columns, where).to_pylist()

    def _crops(self) -> dict[tuple[str, int], bytes]:
        columns = ["sequence_id", "exemplar_frame", "exemplar_jpeg"]
        rows = self._rows("prototypes", columns, pc.field("exemplar_jpeg").is_valid())
        return {(row["sequence_id"], row["exemplar_frame"]): row["exemplar_jpeg"] for row in rows}

    def _landmarks(self) -> dict[tuple[str, int], str]:
        if self._size is None:
            return {}
        columns = ["sequence_id", "frame_index", "landmarks"]
        found = {}
        for row in self._rows("frames", columns, self._frames & pc.field("landmarks").is_valid()):
            points = np.asarray(row["landmarks"], np.float64).reshape(-1, 2)
            if points.shape == (68, 2):
                found[row["sequence_id"], row["frame_index"]] = line_face_svg((points + 0.5) * 100 / self._size)
        return found

    def exemplar(self, name: str) -> Exemplar:
        sequence_id, frame = _split(name)
        truth = self._truth.get(sequence_id)
        if name in self.faces:
            return Exemplar(sequence_id, name, truth=truth)
        return Exemplar(sequence_id, None, self._outlines.get((sequence_id, frame)) or line_face_svg(), truth)


def _split(name: str) -> tuple[str, int]:
    sequence_id, _, frame = name.rpartition("#")
    return sequence_id, int(frame)


def _emotions(connection: duckdb.DuckDBPyConnection, partition: Partition) -> dict[tuple[str, int], list[EmotionShare]]:
    """Of each look, in how many sequences of each emotion it is seen, by falling lift."""
    rows = connection.execute(
        f"WITH shown AS (SELECT sequence_id, emotion FROM sequences WHERE {_HERE} AND emotion IS NOT NULL "
        "AND status IN ('done', 'partial')), "
        "each AS (SELECT emotion, count(*) AS n, sum(count(*)) OVER () AS n_all FROM shown GROUP BY emotion), "
        f"seen AS (SELECT DISTINCT sequence_id, target, look FROM cluster_looks WHERE {_HERE} AND look IS NOT NULL), "
        "counted AS (SELECT target, look, emotion, count(*) AS seen_in, "
        "sum(count(*)) OVER (PARTITION BY target, look) AS everywhere FROM seen JOIN shown USING (sequence_id) "
        "GROUP BY target, look, emotion) "
        "SELECT target, look, emotion, seen_in, n, (seen_in / n) / (everywhere / n_all) AS lift "
        "FROM counted JOIN each USING (emotion) ORDER BY lift DESC, seen_in DESC, emotion",
        partition.key,
    ).fetchall()
    found: dict[tuple[str, int], list[EmotionShare]] = {}
    for target, look, emotion, seen_in, n, lift in rows:
        found.setdefault((target, look), []).append(EmotionShare(emotion, seen_in, n, lift))
    return found


def _outliers(
    connection: duckdb.DuckDBPyConnection, partition: Partition, shown: set[tuple[str, int]]
) -> tuple[tuple[Outlier, ...], int]:
    """The farthest outliers, and how many there are; those looks that are on the page are linked."""
    rows = connection.execute(
        f"WITH here AS (SELECT * FROM cluster_looks WHERE {_HERE}), known AS (SELECT * FROM looks WHERE {_HERE}), "
        f"inputs AS (SELECT sequence_id, kind FROM sequences WHERE {_HERE}) "
        "SELECT sequence_id, kind, here.target, cluster, here.look, n_sequences, "
        "CASE WHEN here.look IS NULL THEN here.distance ELSE isolation END AS far, count(*) OVER () "
        "FROM here JOIN inputs USING (sequence_id) "
        "LEFT JOIN known ON known.target = here.target AND known.look = here.look WHERE rare OR here.look IS NULL "
        f"ORDER BY far DESC NULLS LAST, sequence_id, here.target, cluster LIMIT {OUTLIERS}",
        partition.key,
    ).fetchall()
    found = [
        Outlier(
            sequence_id,
            "" if kind == "still" else sequence_path(sequence_id),
            target,
            cluster,
            "" if look is None else f"{target}{look_name(look)}",
            look_anchor(target, look) if (target, look) in shown else "",
            n_sequences,
            far,
        )
        for sequence_id, kind, target, cluster, look, n_sequences, far, _ in rows
    ]
    return tuple(found), rows[0][-1] if rows else 0


def _queries(partition: Partition) -> Iterator[Query]:
    here = "\n  AND ".join(f"{name} = {literal(value)}" for name, value in asdict(partition).items())
    yield Query(
        "Looks",
        "SELECT target, look, place, place_share, n_sequences, share, n_subjects, n_clusters, n_frames, stability, mu\n"
        f"FROM looks\nWHERE {here}\nORDER BY target, look",
    )
    yield Query(
        "Clusters of one look",
        "SELECT sequence_id, target, cluster, look, distance\n"
        f"FROM cluster_looks\nWHERE {here}\n  AND look = 1\nORDER BY target, distance",
    )
