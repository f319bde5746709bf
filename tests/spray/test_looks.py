"""Looks: what is found among cluster means, and that joining is a function of the looks and the map alone."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from fer_batch.spray.looks import APART, Looks, directions, distances, open_looks

ROWS, COLUMNS = np.mgrid[:35, :28]
PLACES = ((8, 7), (8, 20), (27, 14))  # eyes and mouth, about


def faces(places, seed=0, jitter=0.4, noise=0.0):
    """Mean maps with evidence at one place each, as people differ: place, width and strength vary."""
    rng = np.random.default_rng(seed)
    maps = []
    for place in places:
        y, x = np.array(PLACES[place]) + jitter * rng.standard_normal(2)
        width = rng.uniform(2.5, 3.5)
        one = np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * width**2))
        maps.append(rng.uniform(0.2, 5) * (one + noise * rng.standard_normal(one.shape)))
    return np.array(maps, np.float32)


def people(n, each=2):
    return [f"p{i // each}" for i in range(n)]


@pytest.mark.parametrize("n_places", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_as_many_looks_as_there_are_places(n_places, noise):
    rng = np.random.default_rng(n_places)
    truth = rng.permutation(np.arange(60) % n_places)
    rows, defined = directions(faces(truth, noise=noise))
    assert defined.all()
    found = open_looks(rows, people(60))
    assert adjusted_rand_score(truth, found.labels) == 1
    assert found.stability == pytest.approx(np.ones(n_places), abs=0.05)
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1)
    assert (found.radius >= APART).all()


def test_the_most_frequent_look_is_the_first_and_a_single_map_far_away_the_last():
    truth = np.array([2] * 9 + [0] * 5 + [1])
    found = open_looks(directions(faces(truth))[0], people(15, 1))
    assert found.labels.tolist() == [0] * 9 + [1] * 5 + [2]
    assert np.isnan(found.stability).tolist() == [False, False, True], "one person cannot say how stable a look is"


def test_people_who_differ_more_make_coarser_looks():
    """Where all maps of a place differ by more than looks need to, they are one look all the same."""
    rng = np.random.default_rng(0)
    base = np.repeat(np.eye(3), 20, axis=0) @ rng.standard_normal((3, 500))
    rows = base / np.linalg.norm(base, axis=1, keepdims=True)
    rows = rows + 0.3 * rng.standard_normal(rows.shape) / np.sqrt(500)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    inside = distances(rows[:20], rows[:20])[~np.eye(20, dtype=bool)]
    assert inside.min() > 0.06
    found = open_looks(rows, people(60, 1))
    assert np.bincount(found.labels).tolist() == [20, 20, 20]


def test_few_sequences_are_not_thrown_together():
    found = open_looks(directions(faces([0, 1, 0, 2]))[0], people(4, 1))
    assert found.labels.tolist() == [0, 1, 0, 2]
    assert open_looks(directions(faces([1]))[0], ["p"]).labels.tolist() == [0]


def test_the_size_of_the_sample_does_not_move_the_cut():
    truth = np.arange(300) % 3
    rows = directions(faces(truth, noise=0.3))[0]
    small, large = open_looks(rows[:30], people(30)), open_looks(rows, people(300))
    assert len(small.radius) == len(large.radius) == 3
    np.testing.assert_allclose(np.diag(distances(small.centres, large.centres)), 0, atol=0.01)


def test_evidence_against_the_target_and_scale_do_not_count():
    maps = faces([0, 0])
    maps[1] = maps[0] * 1e-20 - faces([2], seed=3)[0] * 1e-22
    rows, defined = directions(np.concatenate([maps, -maps[:1], np.full((1, 35, 28), np.nan), np.zeros((1, 35, 28))]))
    assert defined.tolist() == [True, True, False, False, False]
    assert not rows[2:].any()
    assert distances(rows[:1], rows[1:2])[0, 0] < 0.01


def test_what_joined_a_look_stays_there_when_nearer_ones_are_opened():
    centres = np.eye(4)[:3]
    looks = Looks.none().and_then(centres[:2], np.array([0.5, 0.2]))
    row = np.array([[0.7, 0.0, 0.71, 0.0], [0.0, 0.0, 0.3, 1.0], [0.0, 1.0, 0.0, 0.0]])
    row /= np.linalg.norm(row, axis=1, keepdims=True)
    before, _ = looks.join(row)
    later = looks.and_then(centres[2:], np.array([0.9]))
    after, distance = later.join(row)
    assert (before.tolist(), after.tolist()) == ([0, -1, 1], [0, 2, 1])
    assert later.opened.tolist() == [0, 0, 1]
    np.testing.assert_allclose(distance, [1 - row[0, 0], 1 - row[1, 2], 0], atol=1e-9)


def test_a_map_that_is_near_to_no_look_says_how_far_it_is():
    looks = Looks.none().and_then(np.eye(3)[:1], np.array([0.1]))
    look, distance = looks.join(np.array([[0.6, 0.8, 0.0]]))
    assert (look.tolist(), distance.tolist()) == ([-1], [0.4])
    look, distance = Looks.none().join(np.eye(3))
    assert look.tolist() == [-1, -1, -1]
    assert np.isnan(distance).all()


def test_joins_do_not_depend_on_what_else_is_joined():
    looks = Looks.none().and_then(directions(faces([0, 1, 2]))[0], np.full(3, 0.1))
    rows = directions(faces(np.arange(500) % 3, seed=1))[0]
    together, at = looks.join(rows)
    alone = [looks.join(rows[i : i + 1]) for i in range(0, 500, 50)]
    assert [int(one[0][0]) for one in alone] == together[::50].tolist()
    assert [float(one[1][0]) for one in alone] == at[::50].tolist()


def test_bad_input_says_what_was_expected():
    with pytest.raises(ValueError, match="expected maps and one person for each, got 0 and 0"):
        open_looks(np.zeros((0, 5)), [])
    with pytest.raises(ValueError, match="got 2 and 1"):
        open_looks(np.eye(2), ["p"])
