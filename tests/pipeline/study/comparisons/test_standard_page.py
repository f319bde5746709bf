"""What the page says of networks; test_standard_heatmaps.py reads that of a whole study."""

import math

import pytest

from fer_batch.pipeline.study.comparisons.standard_page import NetworkFacts, page

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


@pytest.mark.parametrize(
    ("classes", "words"),
    [(("fear",), "lime: mean IoU with the masks ."), (("neutral",), "No class has a mask, so maps are drawn")],
)
def test_the_finding_is_the_overlap_or_says_that_there_is_none(classes, words):
    found = page([variant((0,), classes=classes)], facts(n0=""), {}, "folder")
    assert found.lead.startswith(words)
