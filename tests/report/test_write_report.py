"""From published tables to a report: every column that may be NULL is NULL somewhere."""

import datetime as dt
import io
import json
import re
import tracemalloc

import duckdb
import numpy as np
import pytest
from PIL import Image

from fer_batch import cli
from fer_batch.facs import DEFAULT_RULE
from fer_batch.pipeline.partition.episodes import shard_episodes
from fer_batch.pipeline.report import drawn as report_drawn
from fer_batch.pipeline.report import write as report
from fer_batch.pipeline.report.contents import index_contents
from fer_batch.pipeline.report.data import occurrences
from fer_batch.pipeline.report.index import overview_of
from fer_batch.pipeline.report.queries import queries
from fer_batch.pipeline.report.summary import summary_of
from fer_batch.pipeline.report.write import partitions, write_figures
from fer_batch.pipeline.stages import draw_report as write_report
from fer_batch.prototypes.episodes import EpisodeRule
from fer_batch.prototypes.temporal import cooccurrence, parse, prototype_text
from fer_batch.report.index import CHUNK_ROWS, Index
from fer_batch.report.sequence import sequence_path
from fer_batch.report.text import slug
from fer_batch.storage.parquet import Partition, decode, encode, pack_maps, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError
from fer_batch.visualize.colours import Palette

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
    0 AS episode_index, 0 AS duration_s, 0 AS peak_frame, [''] AS targets,
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


def add_toy(tables: dict[str, list[dict]], name: str, full: bool) -> None:
    """The toy sequence of G-01; `full` False leaves every column NULL that may be."""
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
                        "logit": (2.2 if target in active else -2.2) if full else None,
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
        row["cooccurrence_text"] = prototype_text(cooccurrence(parse(text)))
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
    add_toy(tables, "S1/toy.mp4", full=True)
    add_toy(tables, NASTY, full=False)
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


def test_a_page_begins_with_the_episodes_and_has_every_frame_behind_them(store):
    """The toy sequence is one episode between two rests; what has no evidence has none."""
    shard_episodes(store.uri, "a-00000", HERE, {"a-00000": {}}, EpisodeRule(smooth=1, min_run=1), "multilabel", 0.5)
    write_report(store)
    folder = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"
    toy = store.read_bytes(f"{folder}/{sequence_path('S1/toy.mp4')}").decode()
    order = [toy.index(f'<h2 id="{name}">') for name in ("episodes", "stages", "timeline", "episode-table", "table")]
    assert order == sorted(order)
    assert toy.count('<li id="episode-') == 1
    assert "frames 1–15" in toy[order[0] : order[1]]
    assert toy[order[0] : order[1]].count('<span class="ground">') == 1 + 6, "the peak, and six stages"
    assert toy[order[1] : order[2]].count('<span class="ground">') == 8, "every frame has its rests too"
    assert "episode_index" in toy
    nasty = store.read_bytes(f"{folder}/{sequence_path(NASTY)}").decode()
    assert "no target stays active for as long as an episode needs, or what is active lasts" in nasty
    assert "Whole episodes" in store.read_bytes(f"{folder}/patterns.html").decode()


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
    own = {f"sequences/{slug(name)}.html" for name in names}
    assert set(found) == {"index.html", "list-1.html", "patterns.html", *own}
    index, patterns = found["index.html"], found["patterns.html"]
    assert "moov atom &lt;b&gt;not&lt;/b&gt; found" in index
    assert "DEMO MODEL" in index
    assert "run <code>whole</code>" in index
    assert "1 different prototype in 2 sequences" in patterns, "faceless.mp4 and wall.mp4 have no temporal prototype"
    assert found["list-1.html"].count("<em>no face found</em>") == 2
    wall = found[f"sequences/{slug('wall.mp4')}.html"]
    assert "No face was found in any frame" in wall
    assert '<ol class="strip' not in wall
    assert "no face found <small>1 of 1 listed" in index
    assert "probability 0.75, active, not explained" in index, "two.jpg has no map"
    for group, text in (("AU12", "2 of 2 shown"), ("AU06", "1 of 1 shown"), ("NONE", "1 of 1 shown")):
        assert f"{group} <small>{text}" in index
    assert "0.62" in index
    assert "<script>alert" not in "".join(found.values())
    toy = found[f"sequences/{slug('S1/toy.mp4')}.html"]
    assert "8, 6 different" in toy
    assert toy.count("<li><span") == 8, "one panel for each stage"
    assert toy.count('class="annotated"') == 2, "frames 4 and 6"
    assert "whole" not in toy, "the page of a sequence does not change with the run"
    assert "&#39;&lt;script&gt;alert(1)" in found[f"sequences/{slug(NASTY)}.html"], "the SQL has the name as a literal"


def index_rows(store: Store) -> list[list]:
    """Rows of the index, stages as text."""
    base = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"
    script = store.read_bytes(f"{base}/data/sequences-1.js").decode("ascii")
    data = json.loads(script.removeprefix("ferRows(1,").removesuffix(");\n"))
    return [[*row[:10], [data["stages"][i] for i in row[10]], row[11]] for row in data["rows"]]


def test_a_clip_that_was_read_in_part_is_shown_red_with_its_prototype(store):
    path = f"{HERE.folder('sequences')}/a-00000.parquet"
    rows = decode(store.read_bytes(path)).to_pylist()
    lost = {"status": "partial", "reason": "ended after 18 frames: <lost>"}
    rows = [row | lost if row["sequence_id"] == "S1/toy.mp4" else row for row in rows]
    store.put(path, encode(rows_of("sequences", rows)))
    write_report(store)
    toy = next(row for row in index_rows(store) if row[0] == "S1/toy.mp4")
    assert toy[3:6] == ["partial", lost["reason"], 18]
    assert toy[10][:2] == ["(NONE)", "(AU02_A)"]
    shown = pages(store)
    words = "ended after 18 frames: &lt;lost&gt;"
    assert f'<p class="failed">Less was read than is there: {words}</p>' in shown[toy[8]]
    assert f'<small class="failed">partial: {words}</small> <span class="stage none">(NONE)' in shown["list-1.html"]
    assert f'<td class="failed">partial</td><td>{words}</td>' in shown["index.html"]


def test_the_rows_of_the_index_have_all_that_filters_need(store):
    write_report(store)
    rows = {row[0]: row for row in index_rows(store)}
    assert len(rows) == 6
    toy = rows["S1/toy.mp4"]
    assert toy[1:8] == ["S1", "surprise", "done", None, 18, 0, 0.5556]
    assert toy[8:10] == [f"sequences/{slug('S1/toy.mp4')}.html", f"thumbnails/{slug('S1/toy.mp4')}.jpg"]
    assert toy[10][:2] == ["(NONE)", "(AU02_A)"]
    assert toy[11] == [1, 2, 2, 4, 3, 2, 2, 2]
    assert rows["broken.avi"][3:5] == ["failed", "moov atom <b>not</b> found"]
    assert rows["old.mp4"][3] == "skipped"
    assert rows["wall.mp4"][3] == "done"
    assert rows["wall.mp4"][9:] == ["", [], []]


def test_the_sql_of_a_page_gives_the_rows_of_its_own_partition():
    asked = queries("it's.mp4", Partition("o'clips", "net-01234567", "lrp-89abcdef"))
    assert len(asked) == 4
    for query in asked:
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
    folder = f"report/mixed/{other.model}/{other.explain}"
    assert b"AU12 <small>1 of 1 shown" in store.read_bytes(f"{folder}/index.html")
    assert b"AU12" in store.read_bytes(f"{folder}/sequences/{slug('b.mp4')}.html")


def test_a_second_report_draws_what_changed_and_leaves_nothing_else(store, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "draw_shard", lambda *args: (drawn.append(args[1]), report_drawn.draw_shard(*args))[1])
    write_report(store)
    assert drawn == ["a-00000.parquet"]
    before = {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}
    # A page of a sequence that is gone: it may show a face.
    folder = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"
    for gone in ("sequences/gone.html", "figures/gone-0123456789/stages.png", "data/sequences-9.js"):
        store.put(f"{folder}/{gone}", b"a face")
    write_report(store)
    assert drawn == ["a-00000.parquet"], "the pages are those of the tables"
    assert before == {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}
    changed = store.read_bytes(f"{HERE.folder('stages')}/a-00000.parquet")
    store.put(f"{HERE.folder('stages')}/a-00000.parquet", changed)
    write_report(store)
    assert len(drawn) == 2, "the tables were written again"
    truth = [{"sequence_id": "zzz.mp4", "frame_index": 1, "target": "AU04", "occurrence": True}]
    store.put(f"{HERE.folder('annotations')}/b-00001.parquet", encode(rows_of("annotations", truth)))
    write_report(store)
    assert len(drawn) == 2, "ground truth of other sequences changes nothing"
    truth[0]["sequence_id"] = "S1/toy.mp4"
    store.put(f"{HERE.folder('annotations')}/b-00001.parquet", encode(rows_of("annotations", truth)))
    write_report(store)
    assert len(drawn) == 3, "and their own does"
    assert before.keys() == {entry.path for entry in store.walk("report")}


def test_a_report_that_was_killed_is_finished_by_the_next(store, monkeypatch):
    write_report(store)
    before = {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}
    store.delete("report")
    puts = []

    def put(self, path, data, real=Store.put):
        if path.startswith("report/"):
            puts.append(path)
            if len(puts) == 4:
                raise KeyboardInterrupt
        real(self, path, data)

    monkeypatch.setattr(Store, "put", put)
    with pytest.raises(KeyboardInterrupt):
        write_report(store)
    assert not any("drawn/" in path for path in puts)
    monkeypatch.undo()
    write_report(store)
    assert before == {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}


def test_tasks_of_shards_draw_the_same_pages(store, monkeypatch):
    write_report(store)
    before = {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}
    store.delete("report")
    monkeypatch.setattr(report, "SPREAD_FROM", 1)
    seen = []
    write_report(store, progress=seen.append, compute=lambda tasks: [task.compute(scheduler="sync") for task in tasks])
    assert sum(seen) == 10
    assert before == {entry.path: store.read_bytes(f"report/{entry.path}") for entry in store.walk("report")}


def test_figures_for_print_are_drawn_for_who_asks(store):
    write_report(store)
    written = write_figures(store, ["S1/toy.mp4"])
    folder = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}/figures/{slug('S1/toy.mp4')}"
    names = [path.removeprefix(store.url(folder) + "/") for path in written]
    assert names[:3] == ["stages.png", "timeline.png", f"clusters-{slug('AU01')}.png"]
    assert len(names) == 2 + 3 + 4, "strip, timeline, three targets, four clusters"
    assert all(store.read_bytes(f"{folder}/{name}").startswith(b"\x89PNG") for name in names)
    write_report(store)
    assert store.exists(f"{folder}/stages.png"), "they stay while the sequence does"
    store.put(f"{folder}/stages-02.png", b"of a longer sequence")
    assert write_figures(store, ["S1/toy.mp4"]) == written
    assert set(store.names(folder)) == set(names)
    with pytest.raises(InputError, match=r"S1/toy\.mp4"):
        write_figures(store, ["S1/toy.mp"])


def test_maps_look_as_the_job_or_the_command_says(store, capsys):
    write_report(store)
    before = pages(store)
    (page,) = [path for path in before if path.startswith("sequences/") and "toy" in path]
    assert "<span>Top 25 %</span><span>Top 10 %</span>" in before[page]
    assert "red for the target, blue against it, white neither" in before[page]
    root = store.uri
    assert cli.main(["report", root, "--colours", "jet", "--top-x", "50"]) == 0
    after = pages(store)
    assert "<span>Top 50 %</span><span>Top 20 %</span>" in after[page]
    assert "hold 50 percent of the positive relevance" in after[page]
    assert "red where it says most" in after[page]
    assert pictures(after[page]) != pictures(before[page])
    write_report(store)
    assert pages(store) == before
    run = {"run_id": "r", "config": json.dumps({"report": {"normalise": "two_sided", "top_x": 40.0}})}
    store.put(f"{HERE.folder('runs')}/r.parquet", encode(rows_of("runs", [run])))
    write_report(store)
    assert "each sign scaled to its own maximum" in pages(store)[page]
    assert "<span>Top 40 %</span><span>Top 16 %</span>" in pages(store)[page]
    assert cli.main(["report", root, "--colours", "hot"]) == 1
    assert "colours is bwr or jet, got 'hot'" in capsys.readouterr().err


def pictures(page: str) -> list[str]:
    return re.findall(r'data:image/png;base64,[^"]+', page)


def test_several_partitions_have_a_report_each_and_a_list(store):
    other = Partition("clips", "other-01234567", HERE.explain)
    store.put(f"{other.folder('sequences')}/a-00000.parquet", encode(rows_of("sequences", [sequence("x.mp4")])))
    assert partitions(store) == [HERE, other]
    where = write_report(store, card={"licence": "CC-BY <4>", "demo": False})
    assert where == store.url("report/index.html")
    listing = store.read_bytes("report/index.html").decode()
    for partition in (HERE, other):
        link = f"clips/{partition.model}/{partition.explain}/index.html"
        assert f'href="{link}"' in listing
        assert store.exists(f"report/{link}")
    assert "CC-BY &lt;4&gt;" in pages(store)["index.html"]
    assert "DEMO MODEL" not in pages(store)["index.html"]


def test_ground_truth_is_what_occurs_or_has_an_intensity(store):
    found = occurrences(store, HERE.dataset, ["S1/toy.mp4", "another.mp4"], DEFAULT_RULE)
    assert {name: frames.tolist() for name, frames in found["S1/toy.mp4"].items()} == {"AU04": [4, 6]}
    assert set(found) == {"S1/toy.mp4"}


def test_nothing_to_report_is_said_in_one_sentence(store, tmp_path):
    with pytest.raises(InputError, match="dataset=other"):
        write_report(store, dataset="other")
    with pytest.raises(InputError, match="no published tables"):
        write_report(Store(str(tmp_path / "empty")))


def test_5000_sequences_are_indexed_in_files_of_bounded_size_and_little_memory(tmp_path):
    store, here = Store(str(tmp_path / "out")), Partition("large", "net-01234567", "lrp-89abcdef")
    n, n_shards, stages = 5000, 10, 6
    names = [f"S{i // 50:03d}/{i:04d}.mp4" for i in range(n)]
    for shard in range(n_shards):
        own = names[shard * n // n_shards : (shard + 1) * n // n_shards]
        label = [f"AU{1 + shard:02d}_A"]
        tables = {
            "sequences": [sequence(name, emotion="fear") for name in own],
            "stages": [
                {"sequence_id": name, "stage_index": k, "n_frames": 4, "labels": label, "text": f"({label[0]}, x{k})"}
                for name in own
                for k in range(stages)
            ],
            "temporal_prototypes": [{"sequence_id": name, "text": "", "n_frames": 4 * stages} for name in own],
        }
        for table, rows in tables.items():
            store.put(f"{here.folder(table)}/a-{shard:05d}.parquet", encode(rows_of(table, rows)))
    del tables, rows, own
    written: dict[str, bytes] = {}
    reachable: set[str] = set()
    index = Index(summary_of(here, {}, {}))
    tracemalloc.start()

    def put(files) -> None:
        for path, content in files:
            written[path] = content if path == "index.html" else content[:0]
            if path.endswith(".js"):
                assert len(content) < 200_000
                packed = json.loads(content.decode("ascii").split(",", 1)[1].removesuffix(");\n"))
                reachable.update(row[8] for row in packed["rows"])

    paged: set[str] = set()
    overview = overview_of(store, here, index, put, paged)
    put(index.pages(index_contents(store, here, Palette(), None, overview)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6, "one shard and one file of rows"
    assert paged == set(names)
    assert reachable == {sequence_path(name) for name in names}
    assert len(written["index.html"]) < 60_000, "rows are not in the page"
    assert sum(path.endswith(".js") for path in written) == n // CHUNK_ROWS
    assert overview.by_group["fear"].total() == n
