"""The toy sequence of methods G-01, as the tests of figures and of their layouts share it."""

from dataclasses import replace

import numpy as np
import pytest

from fer_batch.visualize.timeline_layout import Timeline

# AU01 on 3-13, AU02 A on 1-4 and 12-15 and B on 5-11, AU04 on 3-8.
TOY = Timeline(
    frames=np.arange(18),
    ok=np.ones(18, bool),
    targets=("AU01", "AU02", "AU04", "AU12"),
    clusters=(
        tuple("A" if 3 <= f <= 13 else None for f in range(18)),
        tuple("A" if f in (1, 2, 3, 4, 12, 13, 14, 15) else "B" if 5 <= f <= 11 else None for f in range(18)),
        tuple("A" if 3 <= f <= 8 else None for f in range(18)),
        (None,) * 18,
    ),
    stage_starts=(0, 1, 3, 5, 9, 12, 14, 16),
    probability=np.linspace(0, 1, 72).reshape(4, 18),
    threshold=0.5,
    fps=25.0,
)


@pytest.fixture
def toy_timeline():
    """The timeline of the toy sequence, with changes."""
    return lambda **changes: replace(TOY, **changes)


@pytest.fixture
def texts_of():
    """All texts of a matplotlib figure."""
    return lambda figure: [text.get_text() for axes in figure.axes for text in axes.texts]
