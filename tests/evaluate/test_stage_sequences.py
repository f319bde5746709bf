from hypothesis import given
from hypothesis import strategies as st

from fer_batch.evaluate.stage_sequences import edit_distance


def test_edits_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("abc", "abc") == 0
    assert edit_distance("abc", "") == edit_distance("", "abc") == 3
    assert edit_distance([(), ("AU01",)], [("AU01",)]) == 1


@given(*[st.lists(st.sampled_from("abc"), max_size=7)] * 3)
def test_edits_are_a_distance(one, two, three):
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)
