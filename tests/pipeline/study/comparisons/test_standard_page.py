"""What the page says of networks; test_standard_heatmaps.py reads that of a whole study."""

import math

import numpy as np
import pytest

from fer_batch.pipeline.study.comparisons import standard_page as module
from fer_batch.pipeline.study.comparisons.standard_page import NetworkFacts, page
from fer_batch.regions import expression_masks
from fer_batch.visualize.standard_sheets import sheet_figure

from .test_standard_rows import variant


def facts(**start):
    return tuple(
        NetworkFacts(f"{name}-x", name, file or "", file is not None, (math.nan,)) for name, file in start.items()
    )


def test_networks_are_on_the_sheet_of_their_kind_and_unknown_accuracy_is_not_drawn():
    networks = facts(n0="", n1="a/w.pth", n2=None)
    assert [one.kind for one in networks] == ["Networks from scratch", "Pretrained networks", "Networks"]
    found = page([variant(pretrained=("n1",))], networks, {}, "folder")
    titles = [section.title for section in found.sections]
    assert titles[:1] + titles[2:5] == ["Networks", "Networks from scratch", "Pretrained networks", "Networks"]
    first = found.sections[0]
    assert [row[1] for row in first.tables[0].rows] == ["nothing (from scratch)", "w.pth", "not known: it was given"]
    assert first.figures == () and [row[3] for row in first.tables[0].rows] == [None] * 3
    assert "folder/EXPLANATION/grey" in found.sections[-1].lead


def test_sh_d_and_m_twelve_networks_of_five_folds_have_a_table_and_sheets_of_6_24_and_48_panels(monkeypatch):
    """Four networks from scratch and eight pretrained ones, six classes."""
    sheets = []

    def drawn(panels, *more, **how):
        sheets.append(sum(panel is not None for row in panels for panel in row))
        return sheet_figure([panels[0][:1]], [""], [""])  # one panel stands for the sheet: seconds are saved

    monkeypatch.setattr(module, "sheet_figure", drawn)
    classes = tuple(expression_masks())
    maps = variant(tuple(range(12)), tuple(f"n{seed}" for seed in range(4, 12)), classes)
    accuracy = np.random.default_rng(0).random((12, 5)).round(3)
    networks = tuple(
        NetworkFacts(f"n{i}-x", f"n{i}", "w.pth" if i > 3 else "", True, tuple(accuracy[i])) for i in range(12)
    )
    found = page([maps], networks, expression_masks(), "folder")
    assert sheets == [6, 6, 24, 48]  # masks, H_c, and H_jc of either kind
    table = found.sections[0].tables[1]
    assert table.columns == ("Network", *(f"Fold {k}" for k in range(5)), "Mean") and len(table.rows) == 12
    np.testing.assert_allclose([row[1:-1] for row in table.rows], accuracy)
    np.testing.assert_allclose([row[-1] for row in table.rows], accuracy.mean(1))


@pytest.mark.parametrize(
    ("classes", "words"),
    [(("fear",), "lime: mean IoU with the masks ."), (("neutral",), "No class has a mask, so maps are drawn")],
)
def test_the_finding_is_the_overlap_or_says_that_there_is_none(classes, words):
    found = page([variant((0,), classes=classes)], facts(n0=""), {}, "folder")
    assert found.lead.startswith(words)
