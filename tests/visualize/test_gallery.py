"""Small multiples of the commonest temporal prototypes."""

import numpy as np

from fer_batch.visualize.gallery import CommonPrototype, prototype_gallery
from fer_batch.visualize.stages import StagePanel


def stages(n: int) -> tuple[StagePanel, ...]:
    return tuple(StagePanel((("AU02", "A"),), (np.eye(28),), i, i, 1) for i in range(n))


def test_the_gallery_counts_what_it_does_not_draw(texts_of):
    figure = prototype_gallery([CommonPrototype(3, stages(8)), CommonPrototype(1, stages(2))], 6, max_panels=5)
    assert len(figure.axes[0].images) == 5 + 2
    text = texts_of(figure)
    assert any("3 sequences" in t and "50%" in t for t in text)
    assert "and 3\nmore" in text
    assert "and 1990\nmore" in texts_of(prototype_gallery([CommonPrototype(1, stages(10), 1990)], 1))
    assert any("no temporal prototype" in t for t in texts_of(prototype_gallery([], 0)))
