"""Tables of folds, recipes and classes against the printed ones of Weitz (2018)."""

import numpy as np
import pytest
from sklearn.metrics import classification_report as reference

from fer_batch.evaluate.detection import classification
from fer_batch.evaluate.folds import classification_report, fold_means, fold_table, recipe_table
from fer_batch.evaluate.published_training import FOLDS, FoldFigures

NAMES = ("pain", "disgust", "happiness")


def test_the_printed_folds_have_the_layout_and_the_printed_means():
    table = fold_table(FOLDS)
    assert table.columns == ("", "test loss", "test accuracy", "epochs", "train accuracy", "validation accuracy")
    assert table.rows[0] == ("fold 1", "2.34", ".537", "2", ".998", ".623")
    assert table.rows[4] == ("fold 5", "1.58", ".665", "4", ".998", ".625")
    assert table.rows[-1][:4] == ("mean", "2.24", ".593", "-") and len(table.rows) == 6


def test_ours_stand_before_the_printed_ones_and_what_is_not_known_is_a_dash():
    ours = [FoldFigures("fold 0", 1.0, 0.5, 3, 0.9), FoldFigures("fold 1", 2.0, 0.25)]
    table = fold_table(ours, printed=True)
    assert table.rows[1] == ("fold 1", "2.00", ".250", "-", "-", "-")
    assert table.rows[2] == ("mean", "1.50", ".375", "-", ".900", "-")
    assert [row[0] for row in table.rows[3:]] == [f"{name} (Weitz 2018)" for name in
                                                  (*(f"fold {i}" for i in range(1, 6)), "mean")]  # fmt: skip
    assert "Keras" in table.caption and not fold_table(ours).caption
    assert np.isnan(fold_means([]).test_loss)


def test_recipes_are_compared_with_the_means_that_the_printed_folds_have():
    table = recipe_table({"L2, 7 epochs": [FoldFigures("fold 0", 2.0, 0.6), FoldFigures("fold 1", 3.0, 0.7)],
                          "ours": [FoldFigures("fold 0", 1.0, 1.0)]})  # fmt: skip
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["L2, 7 epochs"] == ("2.50", ".650", "2", "2.19", ".595")
    assert rows["ours"] == ("1.00", "1.000", "1", "-", "-")
    assert rows["dropout, early stopping"] == ("-", "-", "-", "1.45", ".588") and len(rows) == 7
    assert "printed as .613" in table.caption
    assert len(recipe_table({"ours": []}, printed=False).rows) == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_report_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    true, guessed = rng.integers(0, 3, 60), rng.integers(0, 2 + seed % 2, 60)
    table = classification_report(classification(guessed, true, 3), NAMES)
    found = {row[0]: row[1:] for row in table.rows}
    expected = reference(true, guessed, labels=range(3), target_names=NAMES, output_dict=True, zero_division=np.nan)
    weighted = reference(true, guessed, labels=range(3), target_names=NAMES, output_dict=True, zero_division=0)
    expected["weighted by n"] = weighted["weighted avg"]
    assert table.columns == ("class", "precision", "recall", "F1", "n")
    for name in (*NAMES, "weighted by n"):
        values = [expected[name][key] for key in ("precision", "recall", "f1-score")]
        cells = ["-" if np.isnan(v) else f"{v:.3f}".removeprefix("0") for v in values]
        assert list(found[name]) == [*cells, str(int(expected[name]["support"]))]


def test_the_printed_report_follows_ours_and_names_are_counted():
    found = classification([0, 1, 2], [0, 1, 1], 3)
    rows = classification_report(found, NAMES, printed=True).rows
    assert rows[4:] == (
        ("pain (Weitz 2018, fold 5)", ".62", ".69", ".66", "4692"),
        ("disgust (Weitz 2018, fold 5)", ".70", ".73", ".71", "4815"),
        ("happiness (Weitz 2018, fold 5)", ".67", ".57", ".62", "4815"),
        ("weighted by n (Weitz 2018, fold 5)", ".67", ".66", ".66", "14322"),
    )
    with pytest.raises(ValueError, match="expected 3 names of classes, got 2: pain, disgust"):
        classification_report(found, NAMES[:2])
