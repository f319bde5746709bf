"""A method keeps its line in every chart, and no two of a chart share one."""

from fer_batch.visualize.line_styles import line_styles
from fer_batch.visualize.rendering import RENDERING


def test_every_line_is_another_and_known_methods_keep_theirs():
    names = [*RENDERING, "mine", "yours"]
    styles = line_styles(names)
    assert len({(style.colour, style.dashes) for style in styles.values()}) == len(names)
    assert line_styles(["lime", "other", "z"])["z"] == styles["z"]
