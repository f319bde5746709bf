"""Stage strips, panels and thumbnails of the toy sequence and of awkward ones."""

import numpy as np
import pytest

from fer_batch.visualize.colours import Palette
from fer_batch.visualize.stages import StagePanel, panel_image, stage_strips, thumbnail_strip

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


def panels_drawn(figure) -> int:
    return sum((image.get_gid() or "").startswith("stage-") for axes in figure.axes for image in axes.images)


def test_g01_the_strip_has_one_panel_per_stage_with_its_labels_and_duration(texts_of):
    (figure,) = stage_strips(TOY)
    assert panels_drawn(figure) == 8
    text = texts_of(figure)
    assert text.count("NONE") == 2
    assert text.count("AU02_A") == 4
    assert text.count("AU02_B") == 2
    assert "frames 5–8" in text
    assert "4 frames" in text


@pytest.mark.parametrize(("n", "n_pages"), [(1, 1), (3, 1), (7, 1), (18, 1), (19, 2), (60, 4)])
def test_strips_of_3_to_60_stages_keep_every_panel_inside_pages_that_print_readably(n, n_pages, texts_of):
    pages = stage_strips([panel("AU01_A", i, i, seconds=0.04, n_missing_frames=i % 2) for i in range(n)])
    assert len(pages) == n_pages
    assert sum(map(panels_drawn, pages)) == n
    assert [text for page in pages for text in texts_of(page) if text.startswith("frame")] == [
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
    said = [text for page in pages for text in texts_of(page) if text.startswith("stages ")]
    assert len(said) == (0 if n_pages == 1 else n_pages)
    assert n_pages == 1 or said[-1].endswith(f" to {n} of {n}")


@pytest.mark.parametrize("n", [3, 19, 60])
def test_every_projection_of_a_strip_is_named_where_it_lies(n, texts_of):
    labels = [f"AU{au:02d}_{letter}" for au, letter in ((1, "A"), (2, "A"), (2, "B"), (4, "A"), (12, "A"), (25, "C"))]
    pages = stage_strips([panel(" ".join(labels), i, i) for i in range(n)])
    names = " ".join(text for page in pages for text in texts_of(page)).split()
    for name in ("1A", "2A", "2B", "4A", "12A", "25C"):
        assert names.count(name) == n


def test_a_row_of_many_labels_takes_its_room_from_the_page():
    many = " ".join(f"AU{au:02d}_A" for au in range(1, 13))
    pages = stage_strips([panel(many, i, i) for i in range(18)])
    assert [panels_drawn(page) for page in pages] == [12, 6]


def test_no_stage_at_all_is_said(texts_of):
    assert any("no stage" in text for text in texts_of(stage_strips([])[0]))
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


def test_a_stage_without_any_map_says_that_it_was_not_explained(texts_of):
    bare = StagePanel((("AU01", ""), ("AU02", "")), (None, None), 0, 1, 2)
    mixed = StagePanel((("AU01", ""), ("AU02", "A")), (None, blob("AU02_A")), 0, 1, 2)
    not_stored = StagePanel((("AU02", "A"),), (None,), 0, 1, 2)
    assert bare.unexplained == bare.labels
    assert mixed.unexplained == (("AU01", ""),)
    assert not_stored.unexplained == (), "a letter comes from a map, stored or not"
    assert texts_of(stage_strips([bare, mixed, not_stored])[0]).count("active, not explained") == 1


def test_a_thumbnail_strip_is_small_and_says_when_it_is_cut():
    whole, cut = thumbnail_strip(TOY[:3], side=40), thumbnail_strip(TOY, side=40, limit=3)
    assert whole.shape == (40, 3 * 44 - 4, 3)
    assert cut.shape[1] == whole.shape[1] + 24
    assert (cut[20, -20:] < 200).any(), "dots at the end"
