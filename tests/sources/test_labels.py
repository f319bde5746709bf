"""What numbers and names of labels mean."""

import pytest

from fer_batch.sources.labels import CODES, EXPRESSIONS, expression_named, occurrence_of


def test_the_same_number_is_another_face_in_every_dataset():
    """Datasets 6.11, row by row."""
    table = {
        "neutral": (0, 0, 7, 6, 0, 0),
        "happiness": (5, 1, 4, 3, 1, 1),
        "sadness": (6, 2, 5, 4, 3, 6),
        "surprise": (7, 3, 1, 5, 2, 2),
        "fear": (4, 4, 2, 2, 6, 3),
        "disgust": (3, 5, 3, 1, 5, 5),
        "anger": (1, 6, 6, 0, 4, 4),
        "contempt": (2, 7, None, None, 7, None),
    }
    assert set(table) == set(EXPRESSIONS)
    for name, codes in table.items():
        for dataset, code in zip(
            ("ck_plus", "affectnet", "raf_db", "fer2013", "fer_plus", "belharbi"), codes, strict=True
        ):
            assert code is None or CODES[dataset].expression(code) == name
    assert CODES["affectnet"].names[8:] == ("none", "uncertain", "non_face")
    with pytest.raises(ValueError, match="expected an expression code of raf_db, 1 to 7, got 0"):
        CODES["raf_db"].expression(0)


def test_names_of_expressions():
    assert [expression_named(name) for name in ("Happy", " sad", "FEAR", "Boredom")] == [
        "happiness",
        "sadness",
        "fear",
        "Boredom",
    ]


def test_what_one_number_says():
    assert occurrence_of("AU01", 1.0) == (1.0, None)
    assert occurrence_of("AU01", 0.0) == (0.0, False)
    assert occurrence_of("PSPI", 12.0) == (12.0, None)
    assert occurrence_of("fear", 1.0) == (None, True)
