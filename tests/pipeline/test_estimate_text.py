"""An estimate in words."""

from dataclasses import replace

from fer_batch.pipeline.estimate import Estimate
from fer_batch.pipeline.estimate_text import bytes_text, estimate_lines
from fer_batch.pipeline.ranges import Range

HOURS = Range(2.0, 1.5, 3.0)
FOUND = Estimate(
    n_tried=6, n_frames_tried=144, seconds=8.6, device="cpu", n_cpus=2, frames=Range.exactly(123_456),
    explain_hours=HOURS, prototypes_hours=HOURS, report_hours=HOURS.times(1 / 60), decode_cpu_hours=HOURS,
    tables_cpu_hours=HOURS, network_hours=HOURS, maps_hours=HOURS, bytes=Range(3.1e9, 2.9e9, 3.45e9),
    stage_bytes=Range(1e9, 1e9, 1.2e9), objects=Range(1234.2, 1200, 1300), cost=Range(12.3, 10, 20),
)  # fmt: skip


def test_every_figure_has_its_range_and_the_lines_say_how_they_came_about():
    lines = "\n".join(estimate_lines(FOUND))
    assert "6 inputs, 144 frames of them, taken through the whole job in this process in 9 s, network on CPU" in lines
    assert "frames      123,000\n" in lines, "no range where it is known"
    assert "explain     2.0 h (1.5 h to 3.0 h) on 2 CPUs (decode 2.0 h, network 2.0 h, maps 2.0 h)" in lines
    assert "storage     3.1 GB (2.9 GB to 3.45 GB); while it runs up to 1.2 GB more" in lines
    assert "objects     1,234 (1,200 to 1,300)" in lines
    assert "cost        12.30 (10.00 to 20.00)" in lines
    assert "none of the tried" not in lines
    unexplained = "\n".join(estimate_lines(replace(FOUND, maps_hours=Range.exactly(0.0))))
    assert "none of the tried frames was explained" in unexplained
    assert "cost" not in "\n".join(estimate_lines(replace(FOUND, cost=None)))


def test_bytes_are_in_powers_of_1000():
    assert [bytes_text(n) for n in (0, 999, 1000, 999_600, 2.5e13)] == ["0 B", "999 B", "1 kB", "1 MB", "25 TB"]
