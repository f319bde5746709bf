"""Stages in numbers: seconds only where there is a clock."""

from fer_batch.report.stages import Stage, stages_table


def test_a_row_for_each_stage():
    stages = [Stage("(NONE)", 0, 3, 4), Stage("(AU12_A)", 4, 9, 5, n_missing_frames=1, seconds=0.24)]
    table = stages_table(stages)
    assert table.columns[-1] == "Seconds"
    assert table.rows == ((1, "(NONE)", 0, 3, 4, 0, None), (2, "(AU12_A)", 4, 9, 5, 1, 0.24))
    assert stages_table(stages[:1]).rows == ((1, "(NONE)", 0, 3, 4, 0),)
    assert stages_table([]) is None
