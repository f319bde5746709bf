"""The verdict page of a partition: figures, sentences, and the frames with the lowest and the highest mu."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from fer_batch import facs
from fer_batch.evaluate.published import published_name
from fer_batch.evaluate.verdict import two_digits
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import evaluation_of
from fer_batch.pipeline.partition.evaluation_figures import Evaluation
from fer_batch.pipeline.partition.evaluation_sql import EXAMPLES, PARTITION
from fer_batch.pipeline.partition.evaluation_text import evaluation_tables, notes
from fer_batch.regions import region_outlines
from fer_batch.report.page import DataTable, Picture, Query, RunSummary
from fer_batch.report.verdict import STATES, Example, TargetVerdict, VerdictContents, verdict_files
from fer_batch.storage.parquet import Partition, unpack_maps
from fer_batch.storage.store import Store
from fer_batch.types import MapStyle
from fer_batch.visualize.figure import png
from fer_batch.visualize.heatmap import overlay, resize_face
from fer_batch.visualize.regions import outlined
from fer_batch.visualize.standard_face import line_face

PIXELS = 280  # side of an example


@dataclass(frozen=True)
class _Pick:
    """A frame that is shown."""

    target: str
    sequence_id: str
    frame_index: int
    mu: float


def has_verdict(store: Store, partition: Partition) -> bool:
    """Whether any relevance of the partition met a region."""
    found = connect(store).execute(
        f"SELECT 1 FROM detections WHERE {PARTITION} AND mu IS NOT NULL LIMIT 1", partition.key
    )
    return bool(found.fetchall())


def verdict_page(store: Store, partition: Partition, summary: RunSummary) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the page and its pictures."""
    connection = connect(store)
    result = evaluation_of(store, partition, connection)
    yield from verdict_files(summary, _contents(store, result, connection, summary.maps))


def _contents(
    store: Store, result: Evaluation, connection: duckdb.DuckDBPyConnection, maps: MapStyle
) -> VerdictContents:
    picks = _picks(result, connection)
    examples = _examples(store, result.partition, picks, connection, maps)
    targets = []
    folds = result.people.fold_f1 if result.people.known else {}
    for verdict in result.verdicts:
        found = verdict.localisation
        targets.append(
            TargetVerdict(
                target=verdict.target,
                name=facs.AU_NAMES.get(facs.au_id(verdict.target) or 0, ""),
                sentence=verdict.sentence,
                state=verdict.state,
                f1=verdict.f1,
                mean=found.mean,
                low=found.low,
                high=found.high,
                chance=found.chance,
                weighted=found.weighted,
                n=found.n,
                n_undefined=found.n_undefined,
                n_subjects=found.n_subjects,
                fold_f1=folds.get(verdict.target),
                examples=tuple(examples.get(verdict.target, ())),
            )
        )
    return VerdictContents(
        tuple(targets),
        tuple(_tables(result, connection)),
        tuple(_notes(result, picks)),
        tuple(_queries(result)),
        result.people.warning,
        _new_people(result),
        result.conservation.sentence if result.conservation else "",
        bool(result.conservation and result.conservation.alarming),
    )


def _new_people(result: Evaluation) -> DataTable | None:
    if result.new is None or not result.new.verdicts:
        return None
    rows = []
    for verdict in result.new.verdicts:
        found = verdict.localisation
        known = "–" if math.isnan(found.low) else f"{found.low:.3f} to {found.high:.3f}"
        f1, mu, chance = (
            None if value is None or math.isnan(value) else round(value, 3)
            for value in (verdict.f1, found.mean, found.chance)
        )
        rows.append((verdict.target, STATES[verdict.state], f1, mu, known, chance, found.n, found.n_subjects))
    n = len(result.people.new)
    return DataTable(
        f"Only the {'person' if n == 1 else f'{n:,} people'} it was not trained on",
        ("Target", "Verdict", "F1", "mu", "95 % interval", "Chance", "n", "Subjects"),
        tuple(rows),
        "The sentences below are of everybody; their F1 on new people is from this table.",
    )


def _tables(result: Evaluation, connection: duckdb.DuckDBPyConnection) -> Iterator[DataTable]:
    """F1 and mu beside other data sets and explanations of the network, as table `evaluation` has them, and papers."""
    rows = connection.execute(
        "SELECT dataset, explain, target, metric, value, n, baseline FROM evaluation WHERE model = $model "
        "AND metric IN ('f1', 'mu', 'mu_active') AND fold IS NULL AND \"group\" IS NULL AND target IS NOT NULL "
        "ORDER BY ALL",
        {"model": result.partition.model},
    )
    others: dict[Partition, Evaluation] = {}
    for dataset, explain, target, metric, value, n, baseline in rows.fetchall():
        where = Partition(dataset, result.partition.model, explain)
        value = math.nan if value is None else value
        others.setdefault(where, Evaluation(where)).add(metric, value, n, target, baseline=baseline)
    results = [result, *(other for where, other in others.items() if where != result.partition)]
    if len(results) > 1 or published_name(result.partition.dataset):
        for table in evaluation_tables([replace(found, statistics=[]) for found in results]):
            yield DataTable(table.title, table.columns, table.rows, table.caption)


def _picks(result: Evaluation, connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, list[_Pick]]]:
    """Frames with a map, and the two that are shown, by target."""
    annotated = [verdict.target for verdict in result.verdicts if verdict.f1 is not None]
    picks = {}
    for target, n, low, high in connection.execute(EXAMPLES, result.key | {"annotated": annotated}).fetchall():
        both = [_Pick(target, low[1], low[2], low[0]), _Pick(target, high[1], high[2], -high[0])]
        picks[target] = (n, both if both[0] != both[1] else both[:1])
    return picks


def _examples(
    store: Store,
    partition: Partition,
    picks: dict[str, tuple[int, list[_Pick]]],
    connection: duckdb.DuckDBPyConnection,
    style: MapStyle,
) -> dict[str, list[Example]]:
    """Maps of the picked frames over the very frame where its pixels were kept, else over a drawing of its face."""
    wanted = [pick for _, both in picks.values() for pick in both]
    if not wanted:
        return {}
    rows = _rows_of(wanted, partition, connection)
    run = latest_run(store, partition)
    size = crop_size_of(run, card_of(run)) or _stored_size(partition, connection)
    examples: dict[str, list[Example]] = {}
    maps = unpack_maps(rows)
    for row, values in zip(rows.drop(["relevance"]).to_pylist(), maps, strict=True):
        pick = wanted[row["number"]]
        both = picks[pick.target][1]
        which = "the only mu" if len(both) == 1 else "lowest mu" if pick is both[0] else "highest mu"
        picture = _picture(values, row["jpeg"], row["landmarks"], size, pick.target, style)
        shown = "" if row["jpeg"] else " (drawn from its landmarks: its pixels were not kept)"
        caption = f"{pick.sequence_id}, frame {pick.frame_index}{shown}"
        alt = f"Relevance for {pick.target} in frame {pick.frame_index} of {pick.sequence_id}, region outlined"
        examples.setdefault(pick.target, []).append(
            Example(f"{which} {two_digits(pick.mu)}", Picture(png(picture), alt, caption))
        )
    return examples


def _stored_size(partition: Partition, connection: duckdb.DuckDBPyConnection) -> int | None:
    """Side of the crops by one that was kept: a map may be far smaller than the crop it explains."""
    kept = connection.execute(
        f"SELECT exemplar_jpeg FROM prototypes WHERE {PARTITION} AND exemplar_jpeg IS NOT NULL LIMIT 1", partition.key
    ).fetchone()
    return None if kept is None else Image.open(io.BytesIO(kept[0])).height


def _rows_of(wanted: list[_Pick], partition: Partition, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Map, landmarks and crop of the picked frames, in their order; `number` counts the picks."""
    picked = pa.table(
        {
            "number": list(range(len(wanted))),
            "target": [pick.target for pick in wanted],
            "sequence_id": [pick.sequence_id for pick in wanted],
            "frame_index": [pick.frame_index for pick in wanted],
        }
    )
    connection.register("picked", picked)
    # Any target's exemplar shows the same frame.
    return connection.sql(
        f"""
        SELECT number, height, width, scale, relevance, landmarks, jpeg
        FROM (SELECT * FROM relevance WHERE {PARTITION}) JOIN picked USING (sequence_id, frame_index, target)
        JOIN (SELECT sequence_id, frame_index, landmarks FROM frames WHERE {PARTITION}) USING (sequence_id, frame_index)
        LEFT JOIN (
            SELECT sequence_id, exemplar_frame AS frame_index, any_value(exemplar_jpeg) AS jpeg
            FROM prototypes WHERE {PARTITION} GROUP BY ALL
        ) USING (sequence_id, frame_index)
        ORDER BY number
        """,
        params=partition.key,
    ).to_arrow_table()


def _picture(
    relevance: NDArray[np.float32],
    jpeg: bytes | None,
    landmarks: list[float],
    size: int | None,
    target: str,
    style: MapStyle,
) -> NDArray[np.uint8]:
    """The map over the face, with the region outlined; shape (PIXELS, PIXELS, 3)."""
    points = np.asarray(landmarks, np.float64).reshape(68, 2)
    face = None if jpeg is None else np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    side = face.shape[0] if face is not None else size or max(relevance.shape)
    # Pixel centres at integers on both grids.
    shown = (points + 0.5) * PIXELS / side - 0.5
    ground = line_face(PIXELS, PIXELS, shown) if face is None else resize_face(face, PIXELS, PIXELS)
    outlines = region_outlines(shown[None], target)
    image = overlay(ground, relevance, style)
    return image if outlines is None else outlined(image, outlines[0])


def _notes(result: Evaluation, picks: dict[str, tuple[int, list[_Pick]]]) -> Iterator[str]:
    yield from notes(result)
    short = [v.target for v in result.verdicts if v.target in picks and picks[v.target][0] < v.localisation.n]
    if short:
        yield f"Examples are picked among the frames whose maps were kept, which are fewer for {', '.join(short)}."
    if result.verdicts and not picks:
        yield "No map of a single frame was kept (keep_relevance), so there are no examples."


def _queries(result: Evaluation) -> Iterator[Query]:
    here = "\n  AND ".join(f"{name} = {_literal(value)}" for name, value in result.key.items())
    yield Query(
        "Every figure of this page",
        'SELECT target, "group", metric, value, n, baseline\n'
        f'FROM evaluation\nWHERE {here}\nORDER BY target, "group", metric',
    )
    yield Query(
        "Mean mu of all detections, by hand",
        "SELECT target, avg(mu) AS mu, count(mu) AS n, avg(CASE WHEN mu IS NOT NULL THEN region_share END) AS chance\n"
        f"FROM detections\nWHERE {here}\n  AND active\nGROUP BY target\nORDER BY target",
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
