import io

import numpy as np
import pytest
from PIL import Image

from fer_batch.visualize.figure import save
from fer_batch.visualize.heatmap import jet
from fer_batch.visualize.standard_sheets import heatmap_panel, mask_panel, sheet_figure

SHAPE = (275, 224)


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(save(figure))).convert("RGB")).astype(int)


def test_a_panel_is_drawn_pixel_for_pixel_in_its_colours():
    heatmap = np.zeros(SHAPE)
    heatmap[:, 112:] = 1.0
    drawn = pixels(sheet_figure([[heatmap_panel(heatmap)]], [""], ["fear"]))
    low, high = jet(heatmap)[0, 0], jet(heatmap)[0, -1]
    for colour in (low, high):
        same = (np.abs(drawn - colour.astype(int)) <= 2).all(-1)
        rows, columns = np.flatnonzero(same.any(1)), np.flatnonzero(same.any(0))
        assert abs(len(rows) - 275) <= 4 and abs(len(columns) - 112) <= 2
    assert (np.abs(drawn - high.astype(int)) <= 2).all(-1).sum() > 0.9 * 275 * 112  # but for the lines of the face


def test_an_outline_follows_the_mask():
    mask = np.zeros(SHAPE, bool)
    mask[100:150, 60:160] = True
    without, outlined = (
        pixels(sheet_figure([[heatmap_panel(np.zeros(SHAPE), mask=one)]], [""], ["a"])) for one in (None, mask)
    )
    rows, columns = np.nonzero((without != outlined).any(-1))
    assert abs((rows.max() - rows.min()) - 50) <= 4 and abs((columns.max() - columns.min()) - 100) <= 4


def test_rows_columns_and_missing_maps_have_their_places():
    panel = mask_panel(np.eye(*SHAPE, dtype=bool), "n 3")
    figure = sheet_figure([[panel, None], [panel, panel]], ["one", "two"], ["a", "b"], "T", "a note", True)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"one", "two", "a", "b", "T", "n 3", "no map", "a note", "highest"} <= set(said)
    assert len(figure.axes[0].images) == 4  # three panels and the bar


def test_a_mask_is_blue_on_a_face_that_stays_grey():
    mask = np.zeros(SHAPE, bool)
    mask[:50] = True
    image = mask_panel(mask).image
    red, _, blue = (image[..., channel].astype(int) for channel in range(3))
    assert (blue[:50] > red[:50]).all() and (abs(red[50:] - blue[50:]) < 5).all()


@pytest.mark.parametrize(("panels", "rows", "columns"), [([], [], ["a"]), ([[None]], ["x"], ["a", "b"])])
def test_a_sheet_of_nothing_is_refused(panels, rows, columns):
    with pytest.raises(ValueError, match="expected"):
        sheet_figure(panels, rows, columns)
