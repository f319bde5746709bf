import dataclasses

import numpy as np
import pytest

from fer_batch.config import Choose
from fer_batch.pipeline.study.choose import check_inputs, chosen
from fer_batch.types import InputError


def predicted(network, rows):
    return network.logits[rows].argmax(1)


def test_everything_is_explained_unless_the_study_says_less(network):
    np.testing.assert_array_equal(chosen(network(), Choose()), np.arange(60))


@pytest.mark.parametrize("per_class", [1, 3, 100])
def test_each_predicted_class_has_its_own_draw_without_replacement(network, per_class):
    net = network(n=200)
    rows = chosen(net, Choose(per_class=per_class))
    assert (np.diff(rows) > 0).all()
    there, found = np.bincount(net.logits.argmax(1)), np.bincount(predicted(net, rows), minlength=7)
    np.testing.assert_array_equal(found, np.minimum(there, per_class))


def test_the_draw_follows_the_seed_and_takes_right_and_wrong_answers(network):
    net = network(n=400)
    first = chosen(net, Choose(per_class=10, seed=1))
    np.testing.assert_array_equal(first, chosen(net, Choose(per_class=10, seed=1)))
    assert not np.array_equal(first, chosen(net, Choose(per_class=10, seed=2)))
    right = net.labels[first, predicted(net, first)] == 1
    assert 0.2 < right.mean() < 0.8


def test_more_of_a_class_keeps_those_that_fewer_had(network):
    net = network(n=400)
    assert set(chosen(net, Choose(per_class=5))) <= set(chosen(net, Choose(per_class=9)))


def named(net, rows):
    table = net.samples.take(rows)
    return set(zip(table["sequence_id"].to_pylist(), table["frame_index"].to_pylist(), strict=True))


@pytest.mark.parametrize("how", [Choose(per_class=5, seed=3), Choose(per_class=4, per_subject=1)])
def test_the_order_of_samples_changes_nothing_and_further_ones_displace_only_as_many(network, how):
    net = network(n=300)
    order = np.random.default_rng(7).permutation(300)
    shuffled = dataclasses.replace(net, samples=net.samples.take(order))
    assert named(net, chosen(net, how)) == named(shuffled, chosen(shuffled, how))
    fewer = dataclasses.replace(net, samples=net.samples.slice(0, 290))
    before, after = named(fewer, chosen(fewer, how)), named(net, chosen(net, how))
    assert len(before - after) == len(after - before) <= 10


def test_a_person_is_drawn_so_often_at_most(network):
    net = network(n=240, subjects=4)
    rows = chosen(net, Choose(per_subject=2))
    subjects = np.array(net.samples["subject_id"].to_pylist())[rows]
    for place in range(7):
        _, counts = np.unique(subjects[predicted(net, rows) == place], return_counts=True)
        assert counts.max(initial=0) <= 2


def test_every_active_target_of_an_action_unit_network_has_its_draw(network):
    net = network(n=80, head="multilabel")
    rows = chosen(net, Choose(per_class=3))
    assert (net.detected[rows].sum(0) >= np.minimum(net.detected.sum(0), 3)).all()


def test_named_inputs_are_chosen(network):
    net = network()
    rows = chosen(net, Choose(inputs=("0/1", "3/0")))
    assert set(np.array(net.samples["sequence_id"].to_pylist())[rows]) == {"0/1", "3/0"}
    with pytest.raises(InputError, match="no network was tested on '12/3'; did you mean '2/3'"):
        check_inputs([net], Choose(inputs=("12/3",)))


def test_a_network_without_test_people_is_one_sentence(network):
    with pytest.raises(InputError, match="net, fold 2 has no test people to explain: none of its 60 samples"):
        chosen(network(fold=2), Choose(inputs=("nobody",)))
