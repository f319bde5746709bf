"""Published data sets and figures."""

import pytest

from fer_batch.evaluate.published import published_name


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("ck_plus", "CK+"),
        ("ckplus", "CK+"),
        ("CK+", "CK+"),
        ("CK-plus-peaks", "CK+"),
        ("Extended Cohn-Kanade", "CK+"),
        ("actor_study", "Actor Study"),
        ("ActorStudy", "Actor Study"),
        ("unbc", "UNBC"),
        ("UNBC-McMaster", "UNBC"),
        ("posed", None),
        ("track_plus", None),
        ("ck", None),
    ],
)
def test_published_data_sets_are_known_by_many_names(dataset, name):
    assert published_name(dataset) == name
