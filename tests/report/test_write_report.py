"""From published tables to a report: every column that may be NULL is NULL somewhere."""

import datetime as dt
import io
import json

import duckdb
import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.report import _Annotations, _queries, partitions, write_report
from fer_batch.report.page import slug
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

HERE = Partition("clips", "net-01234567", "lrp-89abcdef")
TOY = (
    ("", 0, 0),
    ("AU02_A", 1, 2),
    ("AU01_A AU02_A AU04_A", 3, 4),
    ("AU01_A AU02_B AU04_A", 5, 8),
    ("AU01_A AU02_B", 9, 11),
    ("AU01_A AU02_A", 12, 13),
    ("AU02_A", 14, 15),
    ("", 16, 17),
)
# Two rows of every column that the pages ask for, of two explanations of one video.
EVERY_ROW = """(SELECT 'it''s.mp4' AS sequence_id, 'o''clips' AS dataset, 'net-01234567' AS model, true AS active,
    unnest(['lrp-89abcdef', 'lime-01234567']) AS explain, 0 AS stage_index, 0 AS first_frame, 0 AS last_frame,
    0 AS n_frames, 0 AS n_missing_frames, '' AS text, 0 AS frame_index, '' AS target, '' AS cluster, 0 AS probability,
    0 AS mu, 0 AS exemplar_frame, 0 AS height, 0 AS width, 0 AS scale, [0] AS relevance)"""
NASTY = "<script>alert(1)</script>/a b#1.mp4"


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def blob(x: int) -> np.ndarray:
    maps = np.zeros((1, 32, 32), np.float32)
    maps[0, 8:12, x : x + 4] = 3.5
    return maps


def sequence(name: str, kind: str = "video", status: str = "done", reason: str | None = None, **more) -> dict:
    return {"sequence_id": name, "kind": kind, "status": status, "reason": reason, "run_id": "r", **more}


def told(tables: dict[str, list[dict]], name: str, full: bool) -> None:
    """The toy story of G-01; `full` False leaves every column NULL that may be."""
    rest = {"fps": 25.0, "n_decoded": 18, "emotion": "surprise", "subject_id": "S1"} if full else {}
    tables["sequences"].append(sequence(name, **rest))
    seen: dict[str, list[int]] = {}
    for index, (text, first, last) in enumerate(TOY):
        labels = text.split()
        for label in labels:
            seen.setdefault(label, []).extend(range(first, last + 1))
        tables["stages"].append(
            {
                "sequence_id": name,
                "stage_index": index,
                "first_frame": first,
                "last_frame": last,
                "n_frames": last - first + 1,
                "n_missing_frames": 0 if full else None,
                "labels": labels,
                "text": f"({', '.join(labels or ['NONE'])})",
            }
        )
        for frame in range(first, last + 1):
            landmarks = np.linspace(4, 28, 136).tolist() if full else None
            tables["frames"].append({"sequence_id": name, "frame_index": frame, "status": "ok", "landmarks": landmarks})
            active = dict(label.split("_") for label in labels)
            for target in ("AU01", "AU02", "AU04"):
                tables["detections"].append(
                    {
                        "sequence_id": name,
                        "frame_index": frame,
                        "target": target,
                        "probability": 0.9 if full else None,
                        "active": target in active,
                        "cluster": active.get(target),
                    }
                )
    for label, frames in seen.items():
        target, cluster = label.split("_")
        values, scale = pack_maps(blob(4 if cluster == "A" else 20))
        row = {"sequence_id": name, "target": target, "cluster": cluster, "n_frames": len(frames)}
        if full:
            row |= {
                "first_frame": frames[0],
                "exemplar_frame": frames[0],
                "exemplar_jpeg": jpeg(),
                "height": 32,
                "width": 32,
                "scale": float(scale[0]),
                "relevance": values[0].ravel(),
                "n_clusters": 2 if target == "AU02" else 1,
                "spectrum": [0.0, 0.0, 0.9],
                "rule": "near_zero_gap",
                "n_neighbors": 3,
            }
        tables["prototypes"].append(row)
    text = " -> ".join(f"({', '.join(labels.split() or ['NONE'])})" for labels, _, _ in TOY)
    row = {"sequence_id": name, "text": text, "n_frames": 18, "n_stages": 8}
    if full:
        row |= {"emotion": "surprise", "n_distinct_stages": 6, "reduction": 1 - 8 / 18, "n_missing_frames": 0}
    tables["temporal_prototypes"].append(row)


def still(tables: dict[str, list[dict]], name: str, targets: tuple[str, ...], mapped: bool) -> None:
    tables["sequences"].append(sequence(name, "still", emotion="happiness"))
    tables["frames"].append({"sequence_id": name, "frame_index": 0, "status": "ok"})
    for target in ("AU06", "AU12"):
        row = {
            "sequence_id": name,
            "frame_index": 0,
            "target": target,
            "probability": 0.75,
            "active": target in targets,
        }
        tables["detections"].append(row)
    for target in targets if mapped else ():
        values, scale = pack_maps(blob(10))
        tables["prototypes"].append(
            {"sequence_id": name, "target": target, "cluster": "A", "n_frames": 1, "exemplar_frame": 0, "height": 32}
            | {"width": 32, "scale": float(scale[0]), "relevance": values[0].ravel(), "exemplar_jpeg": jpeg()}
        )


@pytest.fixture
def store(tmp_path) -> Store:
    names = ("sequences", "frames", "detections", "prototypes", "stages", "temporal_prototypes")
    tables: dict[str, list[dict]] = {name: [] for name in names}
    told(tables, "S1/toy.mp4", full=True)
    told(tables, NASTY, full=False)
    still(tables, "faces/one.jpg", ("AU12",), mapped=True)
    still(tables, "faces/two.jpg", ("AU06", "AU12"), mapped=False)
    still(tables, "faces/none.jpg", (), mapped=False)
    # A still of a wall and a video of one: rows in every table that say that there is nothing.
    tables["sequences"] += [sequence("A wall.jpg", "still"), sequence("wall.mp4")]
    tables["frames"] += [
        {"sequence_id": name, "frame_index": 0, "status": "no_face"} for name in ("A wall.jpg", "wall.mp4")
    ]
    tables["temporal_prototypes"].append({"sequence_id": "wall.mp4", "text": "", "n_frames": 0, "n_stages": 0})
    tables["sequences"] += [
        sequence("broken.avi", status="failed", reason="moov atom <b>not</b> found"),
        sequence("old.mp4", status="skipped"),
        sequence("faceless.mp4"),
    ]
    store = Store(str(tmp_path / "out"))
    for name, rows in tables.items():
        store.put(f"{HERE.folder(name)}/a-00000.parquet", encode(rows_of(name, rows)))
    figures = [
        {"target": "AU01", "metric": "mu", "value": 0.62, "n": 9},
        {"target": "AU01", "metric": "mu", "group": "x"},
    ]
    store.put(f"{HERE.folder('evaluation')}/e.parquet", encode(rows_of("evaluation", figures)))
    truth = [
        {"sequence_id": "S1/toy.mp4", "frame_index": 4, "target": "AU04", "occurrence": True},
        {"sequence_id": "S1/toy.mp4", "frame_index": 5, "target": "AU04", "occurrence": False, "intensity": 3.0},
        {"sequence_id": "S1/toy.mp4", "frame_index": 6, "target": "AU04", "intensity": 2.0},
        {"sequence_id": "S1/toy.mp4", "frame_index": 7, "target": "AU04", "intensity": 0.0},
        {"sequence_id": NASTY, "frame_index": 1, "target": "AU04", "occurrence": True},
    ]
    store.put(f"{HERE.folder('annotations')}/a-00000.parquet", encode(rows_of("annotations", truth)))
    config = {"model": {"checkpoint": "demo", "threshold": 0.5}, "faces": {"size": 32}}
    counts = {"found": 8, "done": 6, "failed": 1, "skipped": 1, "already_done": 0}
    began = dt.datetime(2026, 11, 20, 20, tzinfo=dt.UTC)
    runs = [
        {"run_id": "whole", "started_at": began, "config": json.dumps(config), "counts": json.dumps(counts)},
        {"run_id": "killed", "started_at": began + dt.timedelta(hours=1), "config": "{}"},
    ]
    store.put(f"{HERE.folder('runs')}/r.parquet", encode(rows_of("runs", runs)))
    return store


def pages(store: Store) -> dict[str, str]:
    base = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"
    return {
        entry.path: store.read_bytes(f"{base}/{entry.path}").decode("utf-8")
        for entry in store.walk(base)
        if entry.path.endswith(".html")
    }


def test_the_report_of_an_output_says_what_its_tables_say(store):
    seen = []
    where = write_report(store, progress=seen.append)
    assert where == store.url(f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}/index.html")
    assert sum(seen) == 10
    found = pages(store)
    names = ("S1/toy.mp4", NASTY, "faceless.mp4", "wall.mp4")
    assert set(found) == {"index.html", *(f"sequences/{slug(name)}.html" for name in names)}
    index = found["index.html"]
    assert "moov atom &lt;b&gt;not&lt;/b&gt; found" in index
    assert "DEMO MODEL" in index
    assert "run <code>whole</code>" in index
    assert "1 different prototype in 2 sequences" in index, "faceless.mp4 and wall.mp4 have no story"
    assert index.count("<em>no face found</em>") == 2
    wall = found[f"sequences/{slug('wall.mp4')}.html"]
    assert "No face was found in any frame" in wall
    assert "-stages.svg" not in wall
    assert "-stages.png" not in wall
    assert "no face found <small>1 of 1 listed" in index
    assert "probability 0.75, active, not explained" in index, "two.jpg has no map"
    for group, text in (("AU12", "2 of 2 shown"), ("AU06", "1 of 1 shown"), ("NONE", "1 of 1 shown")):
        assert f"{group} <small>{text}" in index
    assert "0.62" in index
    assert "<script>alert" not in "".join(found.values())
    assert "8, 6 different" in found[f"sequences/{slug('S1/toy.mp4')}.html"]
    assert "&#39;&lt;script&gt;alert(1)" in found[f"sequences/{slug(NASTY)}.html"], "the SQL has the name as a literal"


def test_the_sql_of_a_page_gives_the_rows_of_its_own_partition():
    queries = _queries("it's.mp4", Partition("o'clips", "net-01234567", "lrp-89abcdef"))
    assert len(queries) == 3
    for query in queries:
        connection = duckdb.connect()
        connection.execute(f"CREATE TABLE {query.sql.split('FROM ')[1].split()[0]} AS SELECT * FROM {EVERY_ROW}")
        assert len(connection.execute(query.sql).fetchall()) == 1


def test_a_still_before_a_video_of_the_same_file_of_tables_does_not_hide_its_columns(store):
    rows = [sequence("a.jpg", "still"), sequence("b.mp4")]
    other = Partition("mixed", "net-01234567", "lrp-89abcdef")
    store.put(f"{other.folder('sequences')}/a-00000.parquet", encode(rows_of("sequences", rows)))
    frames = [{"sequence_id": name, "frame_index": 0, "status": "ok"} for name in ("a.jpg", "b.mp4")]
    store.put(f"{other.folder('frames')}/a-00000.parquet", encode(rows_of("frames", frames)))
    seen = [row | {"target": "AU12", "active": True} for row in frames]
    for row in seen:
        del row["status"]
    store.put(f"{other.folder('detections')}/a-00000.parquet", encode(rows_of("detections", seen)))
    write_report(store, dataset="mixed")
    index = store.read_bytes(f"report/mixed/{other.model}/{other.explain}/index.html").decode()
    assert "AU12 <small>1 of 1 shown" in index
    assert "b.mp4" in index


def test_a_second_report_of_the_same_tables_is_the_same_and_leaves_nothing_else(store):
    write_report(store, max_pages=1)
    before = {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}
    # A page of a sequence that is gone: it may show a face.
    store.put(f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}/sequences/gone.html", b"a face")
    write_report(store, max_pages=1)
    assert before == {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}


def test_sequences_beyond_the_limit_keep_their_row_and_the_index_says_so(store):
    write_report(store, max_pages=1)
    found = pages(store)
    assert len(found) == 2
    assert "Pages with pictures were made for 1 of 4 sequences" in found["index.html"]
    assert "S1/toy.mp4" in found["index.html"]


def test_several_partitions_have_a_report_each_and_a_list(store):
    other = Partition("clips", "other-01234567", HERE.explain)
    store.put(f"{other.folder('sequences')}/a-00000.parquet", encode(rows_of("sequences", [sequence("x.mp4")])))
    assert partitions(store) == [HERE, other]
    where = write_report(store, card={"licence": "CC-BY <4>", "demo": False}, max_pages=0)
    assert where == store.url("report/index.html")
    listing = store.read_bytes("report/index.html").decode()
    for partition in (HERE, other):
        link = f"clips/{partition.model}/{partition.explain}/index.html"
        assert f'href="{link}"' in listing
        assert store.exists(f"report/{link}")
    assert "CC-BY &lt;4&gt;" in pages(store)["index.html"]
    assert "DEMO MODEL" not in pages(store)["index.html"]


def test_ground_truth_is_what_occurs_or_has_an_intensity(store):
    annotations = _Annotations(store, HERE)
    assert {name: frames.tolist() for name, frames in annotations.of("S1/toy.mp4").items()} == {"AU04": [4, 6]}
    assert annotations.of("another.mp4") == {}


def test_nothing_to_report_is_said_in_one_sentence(store, tmp_path):
    with pytest.raises(InputError, match="dataset=other"):
        write_report(store, dataset="other")
    with pytest.raises(InputError, match="no published tables"):
        write_report(Store(str(tmp_path / "empty")))
