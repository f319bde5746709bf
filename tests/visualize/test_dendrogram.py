import numpy as np
import pytest

from fer_batch.evaluate.similarity import dendrogram
from fer_batch.visualize.dendrogram import dendrogram_figure

RNG = np.random.default_rng(0)
BASE = RNG.random((2, 8, 8))
MAPS = np.stack([BASE[i // 2] + 0.1 * RNG.random((8, 8)) for i in range(4)])
NAMES = ["a1", "a2", "b1", "b2"]


def test_brackets_stand_at_the_heights_of_the_merges_and_reach_their_leaves():
    links = dendrogram(MAPS).links
    axes = dendrogram_figure(links, NAMES, {"b1", "b2"}, "anger", "pretrained").axes[0]
    brackets = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert sorted(max(line.get_xdata()) for line in brackets) == pytest.approx(sorted(links[:, 2]))
    order = [tick.get_text() for tick in axes.get_yticklabels()]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset(NAMES[:2]), frozenset(NAMES[2:])}
    leaves = sorted(y for line in brackets for x, y in zip(*line.get_data(), strict=True) if x == 0)
    assert leaves == [0, 1, 2, 3]
    said = [text.get_text() for text in axes.texts]
    assert all(f"{height:.2f}" in said for height in links[:, 2]) and "● pretrained" in said


def test_the_axis_is_from_0_to_1_unless_a_merge_is_beyond():
    near, far = dendrogram(MAPS), dendrogram(np.stack([BASE[0], -BASE[0]]))
    assert dendrogram_figure(near.links, NAMES).axes[0].get_xlim() == (0, 1)
    assert dendrogram_figure(far.links, NAMES[:2]).axes[0].get_xlim()[1] > far.heights[-1] == pytest.approx(2)


def test_names_that_are_no_leaves_are_refused():
    with pytest.raises(ValueError, match="links of 3 names"):
        dendrogram_figure(dendrogram(MAPS).links, NAMES[:3])
