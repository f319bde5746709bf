"""Hatches as textures and as tiles of SVG."""

import re

import numpy as np
import pytest

from fer_batch.visualize.colours import Style
from fer_batch.visualize.hatches import TILES, texture


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
