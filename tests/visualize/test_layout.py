"""What figure and SVG have in common: the layouts that both draw, worked by hand."""

import re

import numpy as np
import pytest

from fer_batch.visualize.colours import Style
from fer_batch.visualize.hatches import TILES, texture
from fer_batch.visualize.spectrum_layout import ClusterDecision, ClusterMap, spectrum_layout
from fer_batch.visualize.timeline_layout import Bar, Timeline, layout


def test_a_timeline_by_hand():
    data = Timeline(
        frames=np.array([10, 12, 14, 16, 18, 20]),
        ok=np.array([True, True, False, True, True, True]),
        targets=("AU01", "AU02", "a target with a long name"),
        clusters=(("A", "A", "A", "A", None, ""), (None,) * 6, (None, None, None, None, None, "B")),
        stage_starts=(10, 12, 18),
        threshold=0.5,
        fps=2.0,
        annotated=np.array([[0, 1, 1, 0, 0, 0], [0] * 6, [0] * 6], dtype=bool),
    )
    plan = layout(data)
    assert [(row.index, row.name) for row in plan.rows] == [(0, "AU01"), (2, "a target with a l…")]
    # the stage that starts at frame 12 cuts the run of A after its first column
    assert plan.rows[0].bars == (Bar(0, 4, "A", (1, 3)), Bar(5, 1, "", (5, 1)))
    assert plan.rows[0].annotated == ((1, 2),)
    assert plan.missing == ((2, 1),)
    assert plan.stages == ((1, 0, 1), (2, 1, 4), (3, 4, 6))
    assert plan.empty == ""
    assert plan.curve_title == "probability, 0 to 1, dashed: threshold 0.5"
    assert plan.tick(data, 3) == ("16", "8.00 s")
    assert list(plan.notes.values()) == [
        "every 2th frame was analysed", "black line: annotated", "hatched: no usable face"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n_clusters", "values", "gap", "title"),
    [
        (2, (0.0, 0.1, 0.6), (0.1, 0.6), "2 clusters"),
        (1, (0.0,), None, "1 cluster"),
        (0, (), None, "0 clusters"),
        (1, (0.0, float("nan"), 0.3), (0.0, 0.3), "1 cluster"),
    ],
)
def test_a_spectrum_by_hand(n_clusters, values, gap, title):
    clusters = tuple(ClusterMap(letter, None, 3) for letter in "ABC"[:n_clusters])
    plan = spectrum_layout(ClusterDecision("AU01", clusters, values, "eigengap", 3))
    assert (plan.gap, plan.title, plan.details) == (gap, title, "eigengap, k = 3")


def points_on(path):
    """Points on the lines and full circles of an SVG path of a tile, shape (n, 2)."""
    at, found = np.zeros(2), []
    for command, text in re.findall(r"([MLHVAvh])([^MLHVAvh]*)", path):
        numbers = [float(number) for number in text.split()]
        if command == "A":  # a circle around the middle
            angle = np.linspace(0, 2 * np.pi, 60)
            found.append(3 + numbers[0] * np.stack([np.sin(angle), np.cos(angle)], axis=1))
            continue
        x, y = at
        if command in "ML":
            end = numbers
        elif command in "Hh":
            end = [numbers[0] + (x if command == "h" else 0), y]
        else:
            end = [x, numbers[0] + (y if command == "v" else 0)]
        if command != "M":
            found.append(np.linspace(at, end, 60))
        at = np.array(end)
    return np.concatenate(found)


@pytest.mark.parametrize("hatch", TILES)
def test_a_texture_repeats_the_tile_of_the_svg(hatch):
    """At ten pixels a unit the texture is dark along the path."""
    side, unit = 1080, 10  # pixels; 18 tiles of 6 units
    lines = 1 - texture(Style("#ffffff", "#000000", "#000000", hatch), side, side)[..., 0]
    tile = lines[: 6 * unit, : 6 * unit]
    np.testing.assert_allclose(lines[6 * unit : 12 * unit, : 6 * unit], tile, atol=1e-6)
    points = points_on(TILES[hatch]) * unit
    rows, columns = np.floor(points[:, 1]).astype(int) % (6 * unit), np.floor(points[:, 0]).astype(int) % (6 * unit)
    assert (tile[rows, columns] > 0.3).mean() > 0.95
