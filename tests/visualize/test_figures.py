"""Stage strips, timelines and cluster figures of the toy sequence and of awkward ones."""

import io
import time
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from fer_batch.visualize.clusters import (
    ClusterDecision,
    ClusterMap,
    cluster_figure,
    projection_figure,
)
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.figure import save
from fer_batch.visualize.gallery import CommonPrototype, prototype_gallery
from fer_batch.visualize.stages import StagePanel, panel_image, stage_strips, thumbnail_strip
from fer_batch.visualize.timeline import timeline
from fer_batch.visualize.timeline_layout import Timeline, runs

TOY_SETS = (
    "",
    "AU02_A",
    "AU01_A AU02_A AU04_A",
    "AU01_A AU02_B AU04_A",
    "AU01_A AU02_B",
    "AU01_A AU02_A",
    "AU02_A",
    "",
)
TOY_SPANS = ((0, 0), (1, 2), (3, 4), (5, 8), (9, 11), (12, 13), (14, 15), (16, 17))
TARGETS = ("AU01", "AU02", "AU04", "AU12")
CENTRES = {"AU01_A": (0.5, 0.3), "AU02_A": (0.3, 0.3), "AU02_B": (0.7, 0.3), "AU04_A": (0.5, 0.45)}


def blob(label: str, size: int = 28) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    cx, cy = CENTRES.get(label, (0.5, 0.7))
    return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.01)


def panel(text: str, first: int, last: int, **more) -> StagePanel:
    labels = tuple((label.rpartition("_")[0], label.rpartition("_")[2]) for label in text.split())
    return StagePanel(labels, tuple(blob(label) for label in text.split()), first, last, last - first + 1, **more)


TOY = [panel(text, *span) for text, span in zip(TOY_SETS, TOY_SPANS, strict=True)]


def toy_timeline(**changes) -> Timeline:
    clusters = [[None] * 18 for _ in TARGETS]
    for text, (first, last) in zip(TOY_SETS, TOY_SPANS, strict=True):
        for label in text.split():
            for frame in range(first, last + 1):
                clusters[TARGETS.index(label[:4])][frame] = label[-1]
    values = {
        "frames": np.arange(18),
        "ok": np.ones(18, bool),
        "targets": TARGETS,
        "clusters": tuple(map(tuple, clusters)),
        "stage_starts": tuple(first for first, _ in TOY_SPANS),
        "probability": np.linspace(0, 1, 72).reshape(4, 18),
        "threshold": 0.5,
        "fps": 25.0,
    }
    return Timeline(**(values | changes))


def words(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def panels_drawn(figure) -> int:
    return sum((image.get_gid() or "").startswith("stage-") for axes in figure.axes for image in axes.images)


def test_g01_the_strip_has_one_panel_per_stage_with_its_labels_and_duration():
    (figure,) = stage_strips(TOY)
    assert panels_drawn(figure) == 8
    text = words(figure)
    assert text.count("NONE") == 2
    assert text.count("AU02_A") == 4
    assert text.count("AU02_B") == 2
    assert "frames 5–8" in text
    assert "4 frames" in text


@pytest.mark.parametrize(("n", "n_pages"), [(1, 1), (3, 1), (7, 1), (18, 1), (19, 2), (60, 4)])
def test_strips_of_3_to_60_stages_keep_every_panel_inside_pages_that_print_readably(n, n_pages):
    pages = stage_strips([panel("AU01_A", i, i, seconds=0.04, n_missing_frames=i % 2) for i in range(n)])
    assert len(pages) == n_pages
    assert sum(map(panels_drawn, pages)) == n
    assert [text for page in pages for text in words(page) if text.startswith("frame")] == [
        f"frame {i}" for i in range(n)
    ]
    for figure in pages:
        width, height = figure.get_size_inches()
        assert width <= 11.7
        assert height <= 8.7
        boxes = [image.get_extent() for image in figure.axes[0].images]
        assert min(b[0] for b in boxes) >= 0
        assert max(b[1] for b in boxes) <= width
        assert max(b[2] for b in boxes) <= height
        assert len({(round(b[0], 3), round(b[3], 3)) for b in boxes}) == len(boxes), "no panel covers another"
        assert min(text.get_fontsize() for text in figure.axes[0].texts) >= 6
    said = [text for page in pages for text in words(page) if text.startswith("stages ")]
    assert len(said) == (0 if n_pages == 1 else n_pages)
    assert n_pages == 1 or said[-1].endswith(f" to {n} of {n}")


@pytest.mark.parametrize("n", [3, 19, 60])
def test_every_projection_of_a_strip_is_named_where_it_lies(n):
    labels = [f"AU{au:02d}_{letter}" for au, letter in ((1, "A"), (2, "A"), (2, "B"), (4, "A"), (12, "A"), (25, "C"))]
    pages = stage_strips([panel(" ".join(labels), i, i) for i in range(n)])
    names = " ".join(text for page in pages for text in words(page)).split()
    for name in ("1A", "2A", "2B", "4A", "12A", "25C"):
        assert names.count(name) == n


def test_a_row_of_many_labels_takes_its_room_from_the_page():
    many = " ".join(f"AU{au:02d}_A" for au in range(1, 13))
    pages = stage_strips([panel(many, i, i) for i in range(18)])
    assert [panels_drawn(page) for page in pages] == [12, 6]


def look(palette: Palette, letter: str) -> tuple[str, np.ndarray]:
    """Chip and projection of a cluster of AU12."""
    one = StagePanel((("AU12", letter),), (blob("AU12_A"),), 0, 0, 1)
    (figure,) = stage_strips([one], palette)
    (name,) = [text for text in figure.axes[0].texts if text.get_text() == f"AU12_{letter}"]
    patch = name.get_bbox_patch()
    return f"{to_hex(patch.get_facecolor())}{patch.get_hatch() or ''}", panel_image(one, palette)


def test_clusters_that_share_a_colour_differ_by_hatch_on_chips_and_projections():
    palette = Palette(["AU12"])
    looks = {letter: look(palette, letter) for letter in "ABCDEFGHIJ"}
    assert len({chip for chip, _ in looks.values()}) == len(looks)
    pictures = [picture.astype(int) for _, picture in looks.values()]
    for one, other in combinations(pictures, 2):
        inside = (one != other).any(2)
        assert np.count_nonzero(inside) > 20, "another colour, or another texture"
    plain, dotted = looks["A"][1].astype(int), looks["D"][1].astype(int)
    differs = np.abs(plain - dotted).max(2)
    assert differs.max() > 80, "lines that are seen"
    assert (differs[blob("AU12_A", 224) < 0.01] == 0).all(), "and only on the projection"


def test_no_stage_at_all_is_said():
    assert any("no stage" in text for text in words(stage_strips([])[0]))
    assert thumbnail_strip([]).shape == (56, 56, 3)


def test_a_panel_shows_each_label_in_its_colour_where_its_map_is():
    palette = Palette(["AU01", "AU02", "AU04"])
    picture = panel_image(TOY[2], palette, 200).astype(int)
    for label in ("AU01_A", "AU02_A", "AU04_A"):
        x, y = (round(200 * c) for c in CENTRES[label])
        wanted = 255 * np.array(palette.style(label[:4], "A").rgb)
        assert np.abs(picture[y, x] - wanted).max() < 40, label


def test_a_none_stage_and_a_label_without_a_map_show_the_plain_face():
    palette = Palette(["AU01"])
    nothing = panel_image(StagePanel((), (), 0, 1, 2), palette)
    undefined = panel_image(StagePanel((("AU01", ""),), (None,), 0, 1, 2), palette)
    for picture in (nothing, undefined):
        assert (picture[..., 0] == picture[..., 2]).all()
    assert nothing.mean() > undefined.mean(), "paler, so that it reads as rest"


def test_every_label_needs_its_map_slot():
    with pytest.raises(ValueError, match="2 labels, 1 maps"):
        StagePanel((("AU01", "A"), ("AU02", "A")), (None,), 0, 1, 2)


def test_g01_the_timeline_colours_runs_by_cluster_and_marks_the_stages():
    figure = timeline(toy_timeline())
    rows = figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["AU01", "AU02", "AU04"], "AU12 is never active"
    bars = [c for c in rows.collections if c.get_paths()]
    colours = {to_hex(c.get_facecolor()[0]): len(c.get_paths()) for c in bars}
    assert colours == {"#0072b2": 1, "#e69f00": 2, "#f0e442": 1, "#009e73": 1}
    letters = [text.get_text() for text in rows.texts if text.get_text() in ("A", "B")]
    assert sorted(letters) == ["A", "A", "A", "A", "B"]
    boundaries = [line.get_xdata()[0] for line in rows.lines if line.get_gid() == "stage-boundary"]
    assert boundaries == [first for first, _ in TOY_SPANS[1:]]


def test_missing_frames_are_hatched_and_named():
    ok = np.ones(18, bool)
    ok[6:8] = False
    figure = timeline(toy_timeline(ok=ok))
    missing = [patch for patch in figure.axes[0].patches if patch.get_gid() == "missing"]
    assert [(p.get_x(), p.get_width()) for p in missing] == [(6, 2)]
    assert "no usable face" in figure.axes[1].get_xlabel()


def test_ground_truth_is_a_line_under_its_row_even_where_the_network_sees_nothing():
    truth = np.zeros((4, 18), bool)
    truth[0, 2:5] = truth[3, 9] = True
    figure = timeline(toy_timeline(annotated=truth))
    rows = figure.axes[0]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["AU01", "AU02", "AU04", "AU12"]
    lines = [path.get_extents() for c in rows.collections if c.get_gid() == "annotated" for path in c.get_paths()]
    assert [(box.x0, box.x1, int(box.y0)) for box in lines] == [(2, 5, 0), (9, 10, 3)]
    assert "annotated" in figure.axes[1].get_xlabel()
    assert "annotated" not in timeline(toy_timeline()).axes[1].get_xlabel()


def test_sampled_frames_keep_their_own_numbers():
    starts = tuple(5 * first for first, _ in TOY_SPANS)
    figure = timeline(toy_timeline(frames=np.arange(0, 90, 5), stage_starts=starts, fps=None), probability=False)
    (rows,) = figure.axes
    figure.canvas.draw()
    assert [t.get_text() for t in rows.get_xticklabels()][:3] == ["0", "5", "10"]
    assert "every 5th frame" in rows.get_xlabel()
    boundaries = [line.get_xdata()[0] for line in rows.lines if line.get_gid() == "stage-boundary"]
    assert boundaries == [first for first, _ in TOY_SPANS[1:]]


@pytest.mark.parametrize(
    "data",
    [
        Timeline(np.arange(0), np.zeros(0, bool), (), ()),
        Timeline(np.arange(3), np.zeros(3, bool), ("AU01",), ((None,) * 3,)),
        Timeline(np.arange(3), np.ones(3, bool), ("AU01",), (("", None, "AB"),), (0, 1, 2)),
        Timeline(np.array([7]), np.ones(1, bool), ("$x^{$ <b>",), (("A",),), (7,), np.array([[np.nan]])),
    ],
    ids=["no frame", "no face", "letters", "one frame, a name that looks like mathematics"],
)
def test_awkward_sequences_still_give_a_picture(data):
    assert save(timeline(data)).startswith(b"\x89PNG")


def test_a_timeline_refuses_rows_that_do_not_match_its_frames():
    with pytest.raises(ValueError, match="18 frames"):
        toy_timeline(ok=np.ones(17, bool))
    with pytest.raises(ValueError, match="ascend"):
        toy_timeline(frames=np.zeros(18, int))


def test_runs_cover_every_active_frame_once():
    letters = ["A", "A", None, "", "", "B", "A"]
    assert list(runs(letters)) == [(0, 2, "A"), (3, 2, ""), (5, 1, "B"), (6, 1, "A")]
    assert list(runs([])) == []


DECISION = ClusterDecision(
    "AU02",
    (ClusterMap("A", blob("AU02_A"), 8), ClusterMap("B", blob("AU02_B"), 7)),
    (0.0, 0.01, 0.8, 0.9, 1.0),
    "near_zero",
    3,
)


def test_the_spectrum_names_the_chosen_number_of_clusters_and_shows_each():
    figure = cluster_figure(DECISION)
    axes = {a.get_label(): a for a in figure.axes}
    assert axes["spectrum"].get_title("left") == "2 clusters"
    assert len(axes["maps"].images) == 4
    text = words(figure)
    assert {"AU02_A", "AU02_B", "8 frames", "7 frames", "gap"} <= set(text)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [((1,), "1 map: one cluster"), ((2,), "2 maps: one cluster"), ((1, 1), "2 maps: 2 clusters"), ((2, 1), None)],
)
def test_fewer_than_three_maps_have_a_sentence_instead_of_a_spectrum(sizes, sentence):
    clusters = tuple(ClusterMap(letter, blob("AU02_A"), n) for letter, n in zip("AB", sizes, strict=False))
    figure = cluster_figure(ClusterDecision("AU02", clusters, (0.0, 2.0), "near_zero", 1))
    assert ("spectrum" in {axes.get_label() for axes in figure.axes}) == (sentence is None)
    assert sentence is None or sentence in words(figure)


def test_a_stage_without_any_map_says_that_it_was_not_explained():
    bare = StagePanel((("AU01", ""), ("AU02", "")), (None, None), 0, 1, 2)
    mixed = StagePanel((("AU01", ""), ("AU02", "A")), (None, blob("AU02_A")), 0, 1, 2)
    not_stored = StagePanel((("AU02", "A"),), (None,), 0, 1, 2)
    assert bare.unexplained == bare.labels
    assert mixed.unexplained == (("AU01", ""),)
    assert not_stored.unexplained == (), "a letter comes from a map, stored or not"
    assert words(stage_strips([bare, mixed, not_stored])[0]).count("active, not explained") == 1


def test_a_timeline_without_a_face_says_so():
    silent = {"clusters": ((None,) * 18,) * 4, "probability": None}
    assert "no target is ever active" in words(timeline(toy_timeline(**silent)))
    assert "no face was found in any frame" in words(timeline(toy_timeline(**silent, ok=np.zeros(18, bool))))


@pytest.mark.parametrize(
    "decision",
    [
        ClusterDecision("AU02", ()),
        ClusterDecision("AU02", (ClusterMap("A", None, 1),), (), "single"),
        ClusterDecision("AU02", tuple(ClusterMap(c, blob("x"), 1) for c in "ABCDEFG"), (0.0,) * 7),
        ClusterDecision("AU02", (ClusterMap("A", np.full((4, 4), np.nan), 1),), (0.0, float("nan"))),
    ],
    ids=["nothing", "no map", "more clusters than eigenvalues", "undefined"],
)
def test_awkward_decisions_still_give_a_picture(decision):
    assert save(cluster_figure(decision)).startswith(b"\x89PNG")


def test_the_projection_figure_shows_the_map_and_one_projection_per_share():
    figure = projection_figure(blob("AU02_A"))
    assert {"relevance", "Top-25 %", "Top-10 %"} <= set(words(figure))


def test_the_gallery_counts_what_it_does_not_draw():
    figure = prototype_gallery([CommonPrototype(3, tuple(TOY)), CommonPrototype(1, tuple(TOY[:2]))], 6, max_panels=5)
    assert len(figure.axes[0].images) == 5 + 2
    text = words(figure)
    assert any("3 sequences" in t and "50%" in t for t in text)
    assert "and 3\nmore" in text
    assert any("no temporal prototype" in t for t in words(prototype_gallery([], 0)))


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_the_same_figure_has_the_same_bytes(file_format):
    one, other = (save(timeline(toy_timeline()), file_format) for _ in range(2))
    assert one == other
    assert len(one) > 1000


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="png"):
        save(timeline(toy_timeline()), "gif")


def test_a_thumbnail_strip_is_small_and_says_when_it_is_cut():
    whole, cut = thumbnail_strip(TOY[:3], side=40), thumbnail_strip(TOY, side=40, limit=3)
    assert whole.shape == (40, 3 * 44 - 4, 3)
    assert cut.shape[1] == whole.shape[1] + 24
    assert (cut[20, -20:] < 200).any(), "dots at the end"


def test_ordinary_figures_take_well_under_half_a_second():
    save(stage_strips(TOY[:1])[0])  # fonts are loaded once
    start = time.process_time()
    image = Image.open(io.BytesIO(save(stage_strips(TOY)[0])))
    save(timeline(toy_timeline()))
    # Three times the promise of 0.5 s a figure, for slow machines that run other things beside the tests.
    assert time.process_time() - start < 3.0
    assert image.width > 800
