"""One call for every rule."""

import numpy as np
import pytest

from fer_batch.spray import cluster, cluster_sequence
from fer_batch.types import InputError


def maps():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:12, :12]
    places = [(3, 3)] * 9 + [(8, 8)] * 9
    return np.stack([np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8) for y, x in places]) + 0.05 * (
        rng.standard_normal((18, 12, 12))
    )


def test_steps_are_the_default_and_know_the_order():
    found = cluster_sequence(maps())
    assert found.rule == "steps"
    assert found.labels.tolist() == [0] * 9 + [1] * 9
    mixed = np.arange(18).reshape(2, 9).T.ravel()  # one of each in turn
    assert cluster_sequence(maps()[mixed]).n_clusters == 1
    assert cluster_sequence(maps()[mixed], rule="paper").n_clusters == 2


@pytest.mark.parametrize("rule", ["paper", "near_zero_gap", "eigengap", "near_zero"])
def test_the_rules_of_the_graph_are_what_they_were(rule):
    options = {"tau": 0.2, "n_neighbors": 4, "symmetry": "max", "normalise": "absolute", "downsize": 6}
    found, expected = cluster_sequence(maps(), rule=rule, **options), cluster(maps(), rule=rule, **options)
    assert found.labels.tolist() == expected.labels.tolist()
    np.testing.assert_array_equal(found.eigenvalues, expected.eigenvalues)
    assert (found.rule, np.isnan(found.p_split), found.stability) == (rule, True, ())


def test_the_paper_is_near_zero_gap():
    for noise in (0.0, 1.0):
        values = maps() + noise * np.random.default_rng(1).standard_normal((18, 12, 12))
        assert cluster(values, rule="paper").labels.tolist() == cluster(values, rule="near_zero_gap").labels.tolist()


def test_an_unknown_rule_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="unknown rule 'step'; did you mean 'steps'"):
        cluster_sequence(maps(), rule="step")
