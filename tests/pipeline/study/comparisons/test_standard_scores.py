"""Tables of a page, with what is printed beside."""

from fer_batch.evaluate.published_heatmaps import GAYA_MOREY
from fer_batch.pipeline.study.comparisons.standard_scores import likeness_section, overlap_section
from fer_batch.report.page import Published

from .test_standard_rows import variant


def test_tables_hold_numbers_and_name_no_paper_where_nothing_is_printed():
    maps = variant()
    section = overlap_section(maps.scores, maps.networks, maps.masks, ": lime")
    assert section.title == "Overlap with the masks: lime"
    assert [table.title for table in section.tables] == ["IoU", "Precision", "Recall", "F1", "mu"]
    last = {"mu": ["chance"]}
    for table in section.tables:
        assert table.columns == ("", "fear", "mean") and table.source == ""
        expected = last.get(table.title, ["mean", "mean of the maps"])
        assert [row[0] for row in table.rows] == ["n0", "n1", "n2", *expected]
        assert all(isinstance(cell, float) for row in table.rows for cell in row[1:])


def test_published_heights_stand_where_there_are_both_kinds():
    one = likeness_section(variant(pretrained=("n0",)).scores, "")
    assert one.notes == () and len(one.figures) == 1 and one.tables[0].source == ""
    both = likeness_section(variant(range(4), pretrained=("n0", "n1")).scores, "")
    assert both.tables[0].source == GAYA_MOREY and "divides pretrained networks" in both.notes[0]
    assert len(both.tables[0].columns) == 8 and len(both.tables[0].rows) == 1  # nothing is printed of fear
    assert not any(isinstance(cell, Published) for cell in both.tables[0].rows[0])
