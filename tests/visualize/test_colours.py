"""Colours that everyone can distinguish."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from fer_batch.visualize.colours import Palette, _contrast, letter_index

TOY = {("AU01", "A"): "#0072b2", ("AU02", "A"): "#e69f00", ("AU02", "B"): "#f0e442", ("AU04", "A"): "#009e73"}
# Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
SEEN_BY = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
DATASETS = {
    "TP": (1, 2, 4, 5, 6, 7, 15, 16, 17, 18, 20, 22),
    "BP4D": (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
    "DISFA": (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26),
    "VP": (4, 6, 7, 9, 10, 25, 26, 27),
    "fifteen": (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25),
}


def differences(fills, seen_by="full"):
    rgb = np.array([[int(f[i : i + 2], 16) / 255 for i in (1, 3, 5)] for f in fills])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(SEEN_BY[seen_by]).T
    linear = linear.clip(0, 1)
    lab = rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))
    return np.array([deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2)])


def test_the_toy_sequence_has_the_colours_of_the_paper():
    palette = Palette(["AU04", "AU02", "AU01"])
    assert {label: palette.style(*label).fill for label in TOY} == TOY


@pytest.mark.parametrize("aus", DATASETS.values(), ids=DATASETS)
def test_action_units_of_one_sequence_differ_for_every_kind_of_colour_vision(aus):
    palette = Palette(f"AU{au:02d}" for au in aus)
    fills = [palette.style(f"AU{au:02d}").fill for au in aus]
    assert differences(fills).min() > 9
    for vision in ("protanopia", "deuteranopia", "tritanopia"):
        assert differences(fills, vision).min() > 5, vision


@pytest.mark.parametrize("aus", DATASETS.values(), ids=DATASETS)
def test_a_few_clusters_of_each_action_unit_differ_too(aus):
    palette = Palette(f"AU{au:02d}" for au in aus)
    fills = [palette.style(f"AU{au:02d}", letter).fill for au in aus for letter in "ABC"]
    assert differences(fills).min() > 7
    for vision in ("protanopia", "deuteranopia", "tritanopia"):
        assert differences(fills, vision).min() > 3.5, vision


def test_later_clusters_repeat_colours_only_with_a_hatch():
    palette = Palette([f"AU{au:02d}" for au in DATASETS["fifteen"]] + [f"class {i}" for i in range(12)])
    looks = [palette.style(target, letter) for target in sorted(palette._slots) for letter in "ABCDEFGH"]
    assert len({(look.fill, look.hatch) for look in looks}) == len(looks)


def test_order_and_company_do_not_change_an_action_units_colour():
    alone, together = Palette(["AU12"]), Palette(["pain", "AU12", "AU01", "zebra"])
    assert alone.style("AU12") == together.style("AU12") == Palette([]).style("AU12")
    names = ["b", "AU12", "AU13", "AU28", "a", "happiness"]
    one, other = Palette(names), Palette(reversed(names))
    assert [one.style(name) for name in names] == [other.style(name) for name in names]


def test_names_that_are_not_action_units_get_distinct_families():
    names = [f"class {i}" for i in range(14)]
    palette = Palette(names)
    assert len({palette.style(name).fill for name in names}) == 14


def test_letters_can_be_read_on_every_colour():
    palette = Palette([])
    for au, letter in itertools.product(range(1, 28), "ABC"):
        style = palette.style(f"AU{au:02d}", letter)
        assert _contrast(style.fill, style.ink) >= 3.9


def test_a_label_without_a_letter_is_an_outline():
    style = Palette(["AU01"]).style("AU01", "")
    assert (style.fill, style.edge) == ("#ffffff", TOY["AU01", "A"])


def test_letters_count_like_columns_of_a_spreadsheet():
    assert [letter_index(s) for s in ("A", "C", "Z", "AA", "AB", "BA")] == [0, 2, 25, 26, 27, 52]
    with pytest.raises(ValueError, match="A to Z"):
        letter_index("a1")
