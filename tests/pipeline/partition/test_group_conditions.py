"""Groups of maps are the same groups whatever is kept of the maps."""

import numpy as np
import pytest

from fer_batch.output.query import connect
from fer_batch.pipeline.partition.group_conditions import find_maps, make_views
from fer_batch.pipeline.partition.heatmap_difference import difference_text
from fer_batch.pipeline.partition.heatmap_groups import compare_groups
from fer_batch.regions import standard_face
from fer_batch.storage.store import Store
from fer_batch.types import InputError

POINTS = (standard_face()[0] * (28 / 224, 28 / 275)).ravel().tolist()
FRAMES = (0, 2, 4, 6, 8, 12)


@pytest.fixture(scope="module")
def worlds(golden, tmp_path_factory):
    """Five clips, of which a frame of the last has no landmarks, by what is kept of their maps."""
    found = {}
    for keep in ("all", "exemplars", "prototypes"):
        world = golden.world(Store(str(tmp_path_factory.mktemp(keep))), keep_relevance=keep)
        for number in range(5):
            active, maps = golden.make(np.random.default_rng(number))
            chosen = {(i, a): maps[f, a] for i, f in enumerate(FRAMES) for a in range(3) if (f, a) in maps}
            known = POINTS if number < 4 else (lambda i: None if i == 2 else POINTS)
            world.stage(f"{number}.mp4", active[list(FRAMES)], chosen, landmarks=known)
        world.publish(size=3)
        found[keep] = world.store
    return found


@pytest.mark.parametrize("keep", ["exemplars", "prototypes"])
def test_a_comparison_needs_no_maps_where_groups_take_whole_sequences(worlds, keep):
    groups = "target = 'AU01'", "target = 'AU02' AND sequence_id <> '1.mp4'"
    expected = compare_groups(worlds["all"], *groups, n_arrangements=16)
    found = compare_groups(worlds[keep], *groups, n_arrangements=16)
    assert (found.people, found.thinned) == (expected.people, ())
    for own, other in ((found.a, expected.a), (found.b, expected.b)):
        assert (own.n, own.counts, own.n_left_out) == (other.n, other.counts, other.n_left_out)
        np.testing.assert_allclose(own.means(found.people[0]), other.means(found.people[0]), rtol=1e-5, atol=1e-6)
    assert found.a.n_left_out == 1 and len(found.people[0]) == 4
    np.testing.assert_allclose(found.result.difference, expected.result.difference, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.result.significant(0.1), expected.result.significant(0.1))


def test_groups_that_take_a_part_of_a_sequence_say_what_they_miss(worlds):
    part = "target = 'AU02' AND frame_index <> 3", "target = 'AU01'"
    exemplars = compare_groups(worlds["exemplars"], *part, n_arrangements=16)
    assert exemplars.a.n_not_kept > 0 and exemplars.thinned and exemplars.b.n_not_kept == 0
    text = difference_text(exemplars, "x.png")
    assert f"{exemplars.a.n_not_kept} not kept one by one" in text and "one frame stands for every cluster" in text
    words = "of 20 maps only sums over their sequences are kept .* as one on subject_id, emotion or night does"
    with pytest.raises(InputError, match=words):
        compare_groups(worlds["prototypes"], *part, n_arrangements=16)


def test_every_frame_that_is_found_is_a_row(worlds):
    """With its map, or with the number of frames that the sums of its sequence are of."""
    rows = {}
    for keep, store in worlds.items():
        connection = connect(store)
        found = find_maps(connection, "target = 'AU04'", "true", make_views(connection, store))
        rows[keep] = {row[3:6]: row[7:] for row in found}
    assert set(rows["all"]) == set(rows["prototypes"]) == set(rows["exemplars"])
    assert set(rows["all"].values()) == {(True, None)}
    assert set(rows["prototypes"].values()) == {(False, 3)}
    assert {kept for kept, _ in rows["exemplars"].values()} == {True, False}
