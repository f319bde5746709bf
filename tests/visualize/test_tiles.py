"""Pictures in rows and columns: nothing overlaps, nothing is lost, whatever the names."""

from itertools import combinations

import numpy as np
import pytest

from fer_batch.visualize.tiles import WRONG, Band, Tile, answer_title, fitted, one_line, text_width, tiles_figure

PICTURE = np.full((20, 20, 3), 90, np.uint8)
NASTY = (
    "$x^2$ _a_ <b>&amp;</b>",
    "line\nbreak\tand\x00control",
    "long_name_without_a_space_" * 4,
    "turn\u202eed",
    "表情",
)


def boxes(figure):
    """Boxes of all texts that say something, in inches."""
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    return {text: text.get_window_extent(renderer) for text in texts}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (1, 6), (6, 1), (3, 4)])
def test_texts_neither_overlap_nor_leave_the_figure(n_rows, n_columns):
    def tile(i):
        images = ((PICTURE,), (PICTURE, PICTURE), ())[i % 3]
        title = answer_title(NASTY[i % len(NASTY)], "happiness")
        return Tile(images, title, i % 2 == 0, NASTY[i % 5])

    names = [NASTY[i % len(NASTY)] for i in range(max(n_rows, n_columns))]
    tiles = [[tile(r + 2 * c) for c in range(n_columns)] for r in range(n_rows)]
    figure = tiles_figure([Band(names[:n_columns], names[:n_rows], tiles)] * 2, " ".join(NASTY), " ".join(NASTY))
    found = boxes(figure)
    for (_, one), (_, other) in combinations(found.items(), 2):
        overlap_x = min(one.x1, other.x1) - max(one.x0, other.x0)
        overlap_y = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert overlap_x < 1 or overlap_y < 2
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in found.values())
    assert all(box.x1 <= figure.bbox.x1 for box in found.values())
    n_pictures = 2 * sum(len(one.images) for row in tiles for one in row)
    assert len(figure.axes[0].images) == n_pictures


def test_a_wrong_answer_is_marked_by_a_cross_and_a_broken_frame_and_a_blank_says_why():
    tiles = [[Tile((PICTURE,), "a / b", True), Tile((PICTURE,), "a / a"), Tile(reason="nobody showed it")]]
    axes = tiles_figure([Band(["1", "2", "3"], [""], tiles)]).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert "✗ a / b" in texts and "a / a" in texts and "nobody showed it" in texts
    assert [line.get_linestyle() for line in axes.lines if line.get_color() == WRONG] == ["--"]
    assert len(axes.images) == 2


@pytest.mark.parametrize("tiles", [[], [[]], [[Tile()], [Tile()]]])
def test_tiles_that_do_not_fit_their_names_are_refused(tiles):
    with pytest.raises(ValueError, match=r"rows of .* tiles"):
        Band(["a"], ["x"], tiles)


def test_text_is_made_to_fit():
    assert fitted("one two three four", 0.45, 2) == "one two\nthree…"
    assert fitted("", 0.5, 2) == ""
    for text in ("abcdefghij", "WWWWWWW", "a b c d e f g h", "x" * 10_000):
        shown = fitted(text, 0.4, 1)
        assert shown.endswith("…") and text.startswith(shown[:-1].rstrip()) and text_width(shown) <= 0.4
    assert fitted("a long word_that_must_be_broken", 0.5, 9).replace("\n", "").replace(" ", "") == (
        "alongword_that_must_be_broken"
    )
    assert one_line("a\nb\u202ec\x07") == "a b c"
    assert answer_title("happiness", "happiness") == "happiness / happiness"
    assert answer_title("", "pain") == "? / pain"
    assert answer_title("surprise of joy", "contempt") == "surprise of joy /\ncontempt"
