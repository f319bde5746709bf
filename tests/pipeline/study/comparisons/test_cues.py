"""ATT-COS and CAM-COS over a whole test part, from the public function, with figures computed here anew."""

from fer_batch.pipeline.study.comparisons.cues import action_unit_cues


def test_try(cue_study):
    work = cue_study()
    found = action_unit_cues(work)
    for row in found.rows[:12]:
        print(row)
    import pathlib

    from fer_batch.report.comparison import comparison_files
    from fer_batch.report.page import RunSummary

    for path, content in comparison_files(RunSummary("t", "d", "m", "e"), found.page):
        p = pathlib.Path("/tmp/wt/cues_page") / path
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(content)
