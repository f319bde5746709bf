"""A spectrum as SVG."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fer_batch.visualize.clusters import ClusterDecision, ClusterMap
from fer_batch.visualize.vector_spectrum import spectrum_svg


def parts(svg: str, css: str) -> list[ET.Element]:
    return [node for node in ET.fromstring(svg).iter() if node.get("class") == css]


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


def test_a_split_by_steps_has_no_gap():
    clusters = (ClusterMap("A", None, 4), ClusterMap("B", None, 4))
    svg = spectrum_svg(ClusterDecision("AU12", clusters, (0.0, 0.1, 0.9, 1.2), "steps", 3), "x")
    assert "gap" not in [node.text for node in ET.fromstring(svg).iter("text")]
