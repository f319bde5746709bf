"""The page of looks: from stored rows to what a reader sees, and the links to it."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.stages import draw_report
from fer_batch.report.sequence import look_anchor, sequence_path
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of
from fer_batch.storage.store import Store

HERE = Partition("clips", "net-01234567", "lrp-89abcdef")
NASTY = '"><script>alert(1)</script>.mp4'
NAMES = ("a.mp4", "b.mp4", "c.mp4", NASTY)
EMOTIONS = ("surprise", "surprise", "fear", None)


def crop() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (112, 112, 3)).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def mean(y: int) -> dict:
    maps = np.zeros((1, 35, 28), np.float32)
    maps[0, y : y + 4, 12:16] = 2.0
    values, scale = pack_maps(maps)
    return {"height": 35, "width": 28, "scale": float(scale[0]), "relevance": values[0].ravel(), "face": "standard"}


def put(store: Store, table: str, rows: list[dict]) -> None:
    store.put(f"{HERE.folder(table)}/a.parquet", encode(rows_of(table, rows)))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Four sequences of AU12: A of the first and B of the second at the mouth, C of the last where no other is."""
    store = Store(str(tmp_path_factory.mktemp("out")))
    each = list(zip(NAMES, EMOTIONS, strict=True))
    put(store, "sequences", [
        {"sequence_id": name, "kind": "video", "status": "done", "run_id": "r", "emotion": emotion, "fps": 25.0}
        for name, emotion in each
    ])  # fmt: skip
    put(store, "frames", [{"sequence_id": name, "frame_index": 0, "status": "ok"} for name in NAMES])
    clusters = [("a.mp4", "A", 1), ("a.mp4", "B", 2), ("b.mp4", "B", 1), ("c.mp4", "A", 2), (NASTY, "C", 3)]
    put(store, "prototypes", [
        {"sequence_id": name, "target": "AU12", "cluster": letter, "n_frames": 2, "exemplar_frame": 0,
         "exemplar_jpeg": crop() if name == "a.mp4" else None} | {k: v for k, v in mean(20).items() if k != "face"}
        for name, letter, _ in clusters
    ])  # fmt: skip
    put(store, "cluster_looks", [
        {"sequence_id": name, "target": "AU12", "cluster": letter, "look": look, "distance": 0.01, "generation": 2}
        for name, letter, look in clusters
    ])  # fmt: skip
    put(store, "stages", [
        {"sequence_id": name, "stage_index": 0, "first_frame": 0, "last_frame": 0, "n_frames": 1,
         "labels": [f"AU12_{letter}"], "text": f"(AU12_{letter})"}
        for name, letter in (("a.mp4", "A"), ("b.mp4", "B"), ("c.mp4", "A"), (NASTY, "C"))
    ])  # fmt: skip
    put(store, "temporal_prototypes", [
        {"sequence_id": name, "text": "(AU12_A)", "emotion": emotion, "n_frames": 1, "n_stages": 1}
        for name, emotion in each
    ])  # fmt: skip
    shared = {"target": "AU12", "generation": 2, "n_clusters": 2, "n_frames": 4, "centre": [1.0]}
    put(store, "looks", [
        shared | {"look": 1, "n_sequences": 2, "share": 0.5, "n_subjects": 2, "place": "mouth", "place_share": 0.8,
                  "mu": 0.625, "stability": 0.9, "rare": False, "exemplars": ["a.mp4#0", "b.mp4#0"]} | mean(24),
        shared | {"look": 2, "n_sequences": 2, "share": 0.5, "n_subjects": 1, "place": "eyes", "place_share": 0.6,
                  "rare": False, "previous": 1, "exemplars": ["c.mp4#0"]} | mean(8),
        shared | {"look": 3, "n_sequences": 1, "share": 0.25, "n_subjects": 1, "place": "jaw", "place_share": 0.7,
                  "rare": True, "isolation": 0.91, "exemplars": [f"{NASTY}#0"]} | mean(30),
    ])  # fmt: skip
    draw_report(store)
    return store


FOLDER = f"report/{HERE.dataset}/{HERE.model}/{HERE.explain}"


def page(store: Store, file: str = "looks.html") -> str:
    return store.read_bytes(f"{FOLDER}/{file}").decode()


def plain(html: str) -> str:
    return " ".join(re.sub(r"<(style|svg)[^>]*>.*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_every_look_says_where_it_is_who_has_it_and_in_which_emotions(store):
    html = page(store)
    text = plain(html)
    assert "AU12@1 mouth 80 % · 2 sequences, 50 % of those with AU12" in text
    assert "μ 0.62 · stability 0.90" in text
    assert "was AU12@1" in text, "of a look that had another name in the generation before"
    assert "surprise 2 of 2 (100 %, × 1.50)" in text
    assert "fear 1 of 1 (100 %, × 1.50) · surprise 1 of 2 (50 %, × 0.75)" in text
    assert html.count("data:image/png") == 6, "mean and Top-25 of each look"
    assert len(re.findall(r'<image id="f\d+"[^>]*href="data:image/jpeg;base64', html)) == 1


def test_outliers_are_listed_with_their_distance_and_lead_to_their_page(store):
    html = page(store)
    assert "AU12_C AU12@3 1 0.91" in plain(html)
    assert f'<td><a href="{sequence_path(NASTY)}">' in html
    assert f'href="#{look_anchor("AU12", 3)}"' in html
    assert "<script" not in html


def test_the_letters_of_a_sequence_lead_to_their_looks(store):
    html = page(store, sequence_path("a.mp4"))
    for letter, look in (("A", 1), ("B", 2)):
        place = look_anchor("AU12", look)
        link = rf'<a class="chip k\d+" href="../looks.html#{place}" title="AU12@{look} [^>]*>AU12_{letter}</a>'
        assert re.search(link, html)
    assert "AU12 A AU12@1 2" in plain(html), "and in the table of clusters"
    assert page(store).count(f'id="{look_anchor("AU12", 1)}"') == 1
    assert "AU12@1" in page(store, sequence_path("b.mp4"))


def test_looks_that_no_cluster_has_are_not_shown_and_links_go_with_the_looks(store):
    assert "looks.html" in page(store, "index.html")
    put(store, "looks", [{"target": "AU12", "look": 1, "generation": 1, "centre": [1.0], "face": "standard"}])
    store.delete(HERE.folder("cluster_looks"))
    draw_report(store)
    html = page(store, sequence_path("a.mp4"))
    assert "@1" not in html
    assert "looks.html" not in html
    assert not store.exists(f"{FOLDER}/looks.html")
