"""The light pictures of pages: SVG that parses and holds what it says, and PNG files that show what figures show."""

import io
import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer_batch.types import MapStyle
from fer_batch.visualize.clusters import ClusterDecision, ClusterMap
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.heatmap import bwr, coloured, faded, project_onto, projection_on
from fer_batch.visualize.raster import SIDE, map_png, projection_png
from fer_batch.visualize.standard_face import line_face_svg, standard_landmarks
from fer_batch.visualize.tags import tag_text, tags
from fer_batch.visualize.timeline_layout import Timeline
from fer_batch.visualize.vector import drawing, element, words
from fer_batch.visualize.vector_spectrum import spectrum_svg
from fer_batch.visualize.vector_timeline import MAX_COLUMNS, timeline_svg

# Methods G-01: AU01 on 3-13, AU02 A on 1-4 and 12-15 and B on 5-11, AU04 on 3-8.
TOY = Timeline(
    frames=np.arange(18),
    ok=np.ones(18, bool),
    targets=("AU01", "AU02", "AU04", "AU12"),
    clusters=(
        tuple("A" if 3 <= f <= 13 else None for f in range(18)),
        tuple("A" if f in (1, 2, 3, 4, 12, 13, 14, 15) else "B" if 5 <= f <= 11 else None for f in range(18)),
        tuple("A" if 3 <= f <= 8 else None for f in range(18)),
        (None,) * 18,
    ),
    stage_starts=(0, 1, 3, 5, 9, 12, 14, 16),
    probability=np.linspace(0, 1, 72).reshape(4, 18),
    threshold=0.5,
    fps=25.0,
)


def parts(svg: str, css: str) -> list[ET.Element]:
    return [node for node in ET.fromstring(svg).iter() if node.get("class") == css]


def test_g01_the_timeline_has_a_bar_for_every_run_and_a_line_for_every_change():
    svg = timeline_svg(TOY, Palette(TOY.targets), "toy")
    assert len(parts(svg, "run")) == 1 + 3 + 1
    assert len(parts(svg, "stage-boundary")) == 7
    names = [node.text for node in ET.fromstring(svg).iter("text")]
    assert "AU12" not in names, "a target that is never active has no row"
    assert names.count("A") == 4
    assert names.count("B") == 1
    first, second, third = parts(svg, "run")[1:4]
    assert first.get("fill") == third.get("fill") != second.get("fill")
    assert float(first.get("width")) == pytest.approx(4 / 7 * float(second.get("width")), rel=0.01)


@pytest.mark.parametrize(("n", "n_columns"), [(0, 0), (1, 1), (MAX_COLUMNS, MAX_COLUMNS), (90_000, MAX_COLUMNS)])
def test_a_timeline_of_any_length_is_drawn_in_bounded_size(n, n_columns):
    active = tuple("A" if (f // 7) % 2 else None for f in range(n))
    ok = np.arange(n) % 1000 != 5
    data = Timeline(np.arange(n), ok, ("AU12",), (active,), (0,) if n else (), np.full((1, n), 0.4), 0.5, 25.0)
    svg = timeline_svg(data, Palette(["AU12"]), "long")
    assert len(svg) < 900_000
    assert len(parts(svg, "run")) <= n_columns
    assert ("each column stands for 45 frames" in svg) == (n == 90_000)


def test_hatches_tell_clusters_apart_that_share_a_colour():
    clusters = (tuple("ADGJ"),)
    data = Timeline(np.arange(4), np.ones(4, bool), ("AU12",), clusters, (0, 1, 2, 3))
    root = ET.fromstring(timeline_svg(data, Palette(["AU12"]), "x"))
    tiles = {node.get("id") for node in root.iter() if node.tag.endswith("pattern")}
    used = {node.get("fill") for node in root.iter() if (node.get("fill") or "").startswith("url(")}
    assert len(tiles) == 3
    assert used == {f"url(#{tile})" for tile in tiles}


@pytest.mark.parametrize("n", [1, 2, 3, 20, 90])
def test_a_spectrum_marks_the_gap_after_the_clusters(n):
    values = tuple(np.linspace(0, 1.4, n).tolist())
    clusters = tuple(ClusterMap(letter, None, 4) for letter in "AB"[: min(2, n)])
    svg = spectrum_svg(ClusterDecision("AU12", clusters, values, "near_zero_gap", 3), "x")
    below, above = ([node.get("d").count("M") for node in parts(svg, "eigenvalues")] + [0, 0])[:2][::-1]
    assert sorted((below, above)) == sorted((len(clusters), n - len(clusters)))
    assert ("gap" in [node.text for node in ET.fromstring(svg).iter("text")]) == (n > 2)
    assert "near_zero_gap, k = 3" in svg


def test_no_eigenvalue_no_spectrum():
    assert spectrum_svg(ClusterDecision("AU12", (), (float("nan"),)), "x") == ""


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_text_in_a_picture_is_text(text):
    root = ET.fromstring(drawing(10, 10, words(text, 1, 2), element("g", id=text), label=text))
    assert root.get("aria-label") == text
    assert (root[0].text or "") == text
    assert [node.tag for node in root.iter()] == ["svg", "text", "g"]


def test_a_line_face_follows_its_landmarks_and_stands_in_for_none():
    points = standard_landmarks(100, 100)
    assert line_face_svg(points) == line_face_svg() == line_face_svg(np.full((68, 2), np.nan))
    assert line_face_svg(points + 1) != line_face_svg()
    ET.fromstring(f"<svg>{line_face_svg()}</svg>")
    with pytest.raises(ValueError, match="68 landmarks"):
        line_face_svg(points[:67])


def blob(y: int, x: int, side: int = 64) -> np.ndarray:
    maps = np.zeros((side, side), np.float32)
    maps[y : y + 6, x : x + 6] = np.arange(1, 37).reshape(6, 6)
    return maps


def test_a_map_as_png_has_the_colours_of_bwr():
    relevance = blob(4, 8) - 2 * blob(40, 30)
    shown = np.asarray(Image.open(io.BytesIO(map_png(relevance))).convert("RGB"), int)
    assert np.abs(shown - bwr(relevance)).max() <= 4
    for style in (MapStyle("two_sided"), MapStyle(colours="jet")):
        shown = np.asarray(Image.open(io.BytesIO(map_png(relevance, style))).convert("RGB"), int)
        assert np.abs(shown - coloured(relevance, style)).max() <= 9
        assert np.abs(shown - bwr(relevance)).max() > 9
    large = Image.open(io.BytesIO(map_png(np.ones((400, 300), np.float32))))
    assert large.size == (SIDE, SIDE)
    undefined = np.asarray(Image.open(io.BytesIO(map_png(np.full((8, 8), np.nan)))).convert("RGB"))
    assert (undefined == 204).all()


def test_projections_over_a_pale_face_are_what_project_onto_draws():
    face = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    layers = [(blob(4, 8), (0.0, 0.45, 0.7)), (blob(6, 11), (0.9, 0.6, 0.0))]
    shown = [(projection_on(relevance, 64, 64, 25.0, "all"), rgb) for relevance, rgb in layers]
    top = np.asarray(Image.open(io.BytesIO(projection_png(shown))).convert("RGBA"), float)
    alpha = top[..., 3:] / 255
    composed = faded(face) * (1 - alpha) + top[..., :3] * alpha
    assert np.abs(composed - project_onto(face, layers)).mean() < 1.5
    inside = sum(one for one, _ in shown) > 0
    assert np.abs(composed - project_onto(face, layers))[inside].max() < 26


def test_tags_lie_on_their_projections_and_share_a_place_where_these_do():
    labels = [("AU02", "A"), ("AU12", "B"), ("AU25", "A"), ("pain", "")]
    shown = [blob(4, 8), blob(40, 30), blob(40, 31), np.zeros((64, 64))]
    (x, y, first), (_, _, second) = tags(labels, shown)
    assert shown[0][int(y * 64), int(x * 64)] == shown[0].max()
    assert (first, second) == ("2A", "12B 25A")
    assert tag_text(("pain", "")) == "pai"


@given(
    st.lists(st.tuples(st.integers(0, 57), st.integers(0, 57)), min_size=2, max_size=12), st.sampled_from([0.05, 0.08])
)
def test_no_tag_covers_another_however_many_meet(spots, em):
    labels = [(f"AU{number:02d}", "A") for number in range(1, len(spots) + 1)]
    found = tags(labels, [blob(y, x) for y, x in spots], em)
    assert sorted(name for *_, text in found for name in text.split()) == sorted(tag_text(label) for label in labels)
    boxes = [(x, y, len(text) * 0.6 * em / 2, em / 2) for x, y, text in found]
    for (x, y, w, h), (x2, y2, w2, h2) in itertools.combinations(boxes, 2):
        assert abs(x - x2) >= w + w2 - 1e-9 or abs(y - y2) >= h + h2 - 1e-9
    assert all(w - 1e-9 <= x and h - 1e-9 <= y for x, y, w, h in boxes)


def test_a_tag_leaves_the_corner_to_what_stands_there():
    labels = [("AU01", "A"), ("AU02", "A")]
    spots = [blob(0, 0) * 2 + blob(20, 50), blob(50, 20)]
    assert tags(labels, spots)[0][:2] < (0.1, 0.1)
    x, y, name = tags(labels, spots, corner=(0.2, 0.1))[0]
    assert (name, spots[0][int(y * 64), int(x * 64)] > 0) == ("1A", True)
    assert x > 0.5
    (alone,) = tags(labels[:1], [blob(0, 0)], corner=(0.2, 0.1))
    assert alone[2] == "1A", "rather there than nowhere"
