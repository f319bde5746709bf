"""Short names on projections: on their spot, none over another."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.visualize.tags import tag_text, tags


def blob(y: int, x: int, side: int = 64) -> np.ndarray:
    maps = np.zeros((side, side), np.float32)
    maps[y : y + 6, x : x + 6] = np.arange(1, 37).reshape(6, 6)
    return maps


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
