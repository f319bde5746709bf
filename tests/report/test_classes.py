"""The page of classes: from stored rows to what a reader sees."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.stages import draw_report as write_report
from fer_batch.report.chips import Chip
from fer_batch.report.classes import ClassCluster, ClassesContents, Exemplar, SeenClass, classes_page
from fer_batch.report.page import Query, RunSummary
from fer_batch.report.text import slug
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of
from fer_batch.storage.store import Store

HERE = Partition("stills", "net-01234567", "lrp-89abcdef")
NASTY = '"><script>alert(1)</script>.jpg'


def crop(side: int = 200) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def mean(x: int) -> dict:
    maps = np.zeros((1, 28, 28), np.float32)
    maps[0, 8:12, x : x + 4] = 2.0
    values, scale = pack_maps(maps)
    return {"height": 28, "width": 28, "scale": float(scale[0]), "relevance": values[0].ravel()}


def put(store: Store, table: str, rows: list[dict]) -> None:
    store.put(f"{HERE.folder(table)}/a.parquet", encode(rows_of(table, rows)))


@pytest.fixture
def store(tmp_path) -> Store:
    """Two classes; one still has its pixels, one its landmarks, one nothing, and a name that is no plain text."""
    store = Store(str(tmp_path))
    names = ("a/1.jpg", "b#c.jpg", "gone.jpg", NASTY)
    put(
        store,
        "sequences",
        [
            {"sequence_id": name, "kind": "still", "status": "done", "run_id": "r", "emotion": "fear" if i else None}
            for i, name in enumerate(names)
        ],
    )
    landmarks = np.linspace(10, 100, 136).tolist()
    put(
        store,
        "frames",
        [
            {"sequence_id": name, "frame_index": 0, "status": "ok", "landmarks": landmarks if i == 1 else None}
            for i, name in enumerate(names)
        ],
    )
    kept = [{"sequence_id": name, "target": "fear", "cluster": "A", "exemplar_frame": 0} for name in names]
    put(store, "prototypes", [row | {"exemplar_jpeg": crop()} for row in (kept[0], kept[3])] + kept[1:3])
    found = {"n_clusters": 2, "n_clustered": 8, "rule": "near_zero_gap", "n_neighbors": 3, "eigengap": 0.4321}
    put(
        store,
        "class_prototypes",
        [
            {"target": "fear", "cluster": "B", "n_frames": 2, "exemplars": ["gone.jpg#0", f"{NASTY}#0"]}
            | mean(20)
            | found
            | {"spectrum": [0.0, 0.0, 0.9, 1.1], "silhouette": 0.25},
            {"target": "fear", "cluster": "A", "n_frames": 6, "exemplars": ["a/1.jpg#0", "b#c.jpg#0"]}
            | mean(4)
            | found
            | {"spectrum": [0.0, 0.0, 0.9, 1.1], "silhouette": 0.25},
            {"target": "anger", "cluster": "A", "n_frames": 1, "exemplars": ["a/1.jpg#0"]} | mean(4),
        ],
    )
    return store


def page(store: Store) -> str:
    write_report(store)
    return store.read_bytes(f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}/classes.html").decode()


def plain(html: str) -> str:
    return " ".join(re.sub(r"<(style|svg)[^>]*>.*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_every_cluster_has_its_size_map_and_stills(store):
    html = page(store)
    text = plain(html)
    for words in ("fear_A 6 of 8 stills, 75 %", "fear_B 2 of 8 stills, 25 %", "anger_A 1 of 1 stills, 100 %"):
        assert words in text
    assert text.index("anger_A") < text.index("fear_A") < text.index("fear_B")
    assert "1 map: one cluster" in text, "no spectrum of one map"
    assert html.count('class="spectrum"') == 1
    assert "fear 8 2 6 2 8 near_zero_gap 3 0.432 0.25" in text
    assert html.count("data:image/png") == 6, "mean and Top-25 of each cluster"
    assert html.count("<li><svg") == 5
    assert "b#c.jpg" in text, "a name may hold a #"
    assert html.count("<small>fear</small>") == 3, "of those annotated"


def test_a_still_without_pixels_is_drawn_by_its_landmarks_and_else_as_anybody(store):
    html = page(store)
    faces = re.findall(r'<image id="(f\d+)"[^>]*href="data:image/jpeg;base64', html)
    assert len(faces) == 2, "once, however often it is shown"
    shown = re.findall(r'<li><svg viewBox="0 0 100 100" role="img" aria-label="([^"]*)">(.*?)</svg>', html)
    drawn = {name: inner for name, inner in shown if "<use" not in inner}
    assert set(drawn) == {"b#c.jpg", "gone.jpg"}
    assert drawn["b#c.jpg"] != drawn["gone.jpg"]


def test_faces_are_no_larger_than_the_page_shows_them(store):
    assert len(page(store)) < 90_000


def test_a_name_is_text_and_nothing_may_run(store):
    html = page(store)
    assert "<script" not in html
    assert "script-src &#39;none&#39;" in html
    assert "&#34;&gt;&lt;script&gt;alert(1)" in html


def test_the_page_is_there_while_there_are_classes_and_linked_from_all_others(store):
    page(store)
    folder = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"
    index = store.read_bytes(f"{folder}/index.html").decode()
    assert index.count('<a href="classes.html">Classes</a>') == 2, "in the navigation, and where the stills are"
    put(store, "class_prototypes", [])
    write_report(store)
    assert not store.exists(f"{folder}/classes.html")
    assert "classes.html" not in store.read_bytes(f"{folder}/index.html").decode()


def test_the_page_of_an_earlier_output_leaves_out_what_it_cannot_know(store):
    rows = [{"target": "fear", "cluster": "A", "n_frames": 3, "exemplars": ["a/1.jpg#0"], "spectrum": [0.0, 1.0, 1.2]}]
    table = rows_of("class_prototypes", [row | mean(4) for row in rows])
    old = table.drop_columns(["n_clusters", "n_clustered", "rule", "n_neighbors", "eigengap", "silhouette"])
    store.put(f"{HERE.folder('class_prototypes')}/a.parquet", encode(old))
    assert "fear 3 1 3 3 – – – – –" in plain(page(store))


def test_a_hatched_label_has_a_pattern_of_its_own():
    chips = (Chip("x_A", "#0072b2"), Chip("x_D", "#0072b2", tile="M0 6L6 0"))
    clusters = tuple(ClassCluster(chip, 1, 0.5, exemplars=(Exemplar(slug("x")),)) for chip in chips)
    seen = SeenClass("x", "", clusters, 2, note="2 maps: 2 clusters")
    contents = ClassesContents((seen,), queries=(Query("q", "SELECT 1"),))
    html = classes_page(RunSummary(title="d", dataset="d", model="m", explain="e"), contents).decode()
    assert html.count("background-image:url(data:image/svg+xml;base64,") == 1
    assert html.count("No mean map is stored.") == 2
