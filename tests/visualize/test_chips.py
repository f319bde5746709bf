"""Labels on their colours and hatches."""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_hex

from fer_batch.visualize.colours import Palette
from fer_batch.visualize.stages import StagePanel, panel_image, stage_strips


def blob(size: int = 28) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    return np.exp(-((columns - 0.5) ** 2 + (rows - 0.7) ** 2) / 0.01)


def look(palette: Palette, letter: str) -> tuple[str, np.ndarray]:
    """Chip and projection of a cluster of AU12."""
    one = StagePanel((("AU12", letter),), (blob(),), 0, 0, 1)
    (figure,) = stage_strips([one], palette)
    (name,) = [text for text in figure.axes[0].texts if text.get_text() == f"AU12_{letter}"]
    patch = name.get_bbox_patch()
    return f"{to_hex(patch.get_facecolor())}{patch.get_hatch() or ''}", panel_image(one, palette)


def test_clusters_that_share_a_colour_differ_by_hatch_on_chips_and_projections():
    palette = Palette(["AU12"])
    looks = {letter: look(palette, letter) for letter in "ABCDEFGHIJ"}
    assert len({chip for chip, _ in looks.values()}) == len(looks)
    pictures = [picture.astype(int) for _, picture in looks.values()]
    for one, other in combinations(pictures, 2):
        inside = (one != other).any(2)
        assert np.count_nonzero(inside) > 20, "another colour, or another texture"
    plain, dotted = looks["A"][1].astype(int), looks["D"][1].astype(int)
    differs = np.abs(plain - dotted).max(2)
    assert differs.max() > 80, "lines that are seen"
    assert (differs[blob(224) < 0.01] == 0).all(), "and only on the projection"
