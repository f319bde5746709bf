"""The timeline as SVG."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fer_batch.visualize.colours import Palette
from fer_batch.visualize.timeline_layout import Timeline
from fer_batch.visualize.vector_timeline import MAX_COLUMNS, timeline_svg


def parts(svg: str, css: str) -> list[ET.Element]:
    return [node for node in ET.fromstring(svg).iter() if node.get("class") == css]


def test_g01_the_timeline_has_a_bar_for_every_run_and_a_line_for_every_change(toy_timeline):
    svg = timeline_svg(toy_timeline(), Palette(toy_timeline().targets), "toy")
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


def test_hatches_distinguish_clusters_that_share_a_colour():
    clusters = (tuple("ADGJ"),)
    data = Timeline(np.arange(4), np.ones(4, bool), ("AU12",), clusters, (0, 1, 2, 3))
    root = ET.fromstring(timeline_svg(data, Palette(["AU12"]), "x"))
    tiles = {node.get("id") for node in root.iter() if node.tag.endswith("pattern")}
    used = {node.get("fill") for node in root.iter() if (node.get("fill") or "").startswith("url(")}
    assert len(tiles) == 3
    assert used == {f"url(#{tile})" for tile in tiles}
