"""Seconds per image of a study."""

from fer_batch.pipeline.study.comparisons.runtime import runtime


def test_each_network_has_its_own_durations_and_what_was_not_measured_is_null(study, tmp_path):
    nets = [study.network(n=10, name="a", fold=0), study.network(n=10, name="a", fold=1), study.network(n=10, name="b")]
    cells = [study.cell(tmp_path, net, "lime", seconds=s) for net, s in zip(nets, (10.0, 30.0, None), strict=True)]
    found = runtime(study.work(tmp_path, cells))
    assert [(row.model, row.value, row.n) for row in found.rows] == [("a", 2.0, 20), ("b", None, 0)]
    (table,) = found.page.sections[0].tables
    assert [row[:2] for row in table.rows] == [("lime, a", "a"), ("lime, b", "b")]
    assert "as measured where it ran" in table.caption
    unmeasured = runtime(study.work(tmp_path, cells[2:]))
    assert unmeasured.page.sections[0].figures == () and unmeasured.page.lead == "No method was measured."
