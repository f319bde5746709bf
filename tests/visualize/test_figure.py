"""Figures as files: the same bytes, known formats, in little time."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from fer_batch.visualize.figure import save
from fer_batch.visualize.stages import StagePanel, stage_strips
from fer_batch.visualize.timeline import timeline


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_the_same_figure_has_the_same_bytes(file_format, toy_timeline):
    one, other = (save(timeline(toy_timeline()), file_format) for _ in range(2))
    assert one == other
    assert len(one) > 1000


def test_an_unknown_format_is_refused_with_the_known_ones(toy_timeline):
    with pytest.raises(ValueError, match="png"):
        save(timeline(toy_timeline()), "gif")


def test_ordinary_figures_take_well_under_half_a_second(toy_timeline):
    panels = [StagePanel((("AU02", "A"),), (np.eye(28),), i, i, 1) for i in range(8)]
    save(stage_strips(panels[:1])[0])  # fonts are loaded once
    start = time.process_time()
    image = Image.open(io.BytesIO(save(stage_strips(panels)[0])))
    save(timeline(toy_timeline()))
    # Three times the promise of 0.5 s a figure, for slow machines that run other things beside the tests.
    assert time.process_time() - start < 3.0
    assert image.width > 800
