import numpy as np
import pytest

from fer_batch.visualize.fold_bars import fold_bars_figure


def test_a_bar_is_the_mean_and_every_fold_a_dot():
    axes = fold_bars_figure(["a", "b"], [[0.5, 0.7], [0.9]], "accuracy", {"b"}, "brown: pretrained").axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.6, 0.9])
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0.5, 0.7], [0.9]]
    assert {"0.60", "0.90", "brown: pretrained"} <= {text.get_text() for text in axes.texts}


def test_an_unknown_fold_is_left_out_and_an_unknown_network_says_so():
    axes = fold_bars_figure(["a", "b"], [[np.nan, 0.7], [np.nan]], "accuracy").axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.7])
    assert "not known" in {text.get_text() for text in axes.texts}
    with pytest.raises(ValueError, match="folds of 2 names"):
        fold_bars_figure(["a", "b"], [[0.5]], "accuracy")
