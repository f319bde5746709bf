"""Networks that differ in their alignment alone stand together."""

from dataclasses import replace

from fer_batch.pipeline.study.comparisons.cue_pairs import families, layers_of
from fer_batch.pipeline.study.comparisons.cue_tables import layers_table


def test_families_have_one_without_maps_and_the_jobs_own_alignment_stands_for_the_others(sweep):
    plain, prm = families(*sweep())
    assert (plain.title, prm.title, prm.words) == ("", "head=prm", ("prm",))
    assert [one.cues.title for one in plain.aligned] == ["net0", "net2", "net3"] and plain.without.cues.title == "net1"
    assert [one.cues.title for one in plain.chosen] == ["net0"]
    assert [one.cues.title for one in prm.chosen] == ["net4"] and prm.without.cues.title == "net5"
    assert [layers_of(one) for one in (plain.without, plain.aligned[2])] == ["none", "layer1"]


def test_strengths_are_of_one_set_of_layers_and_layers_of_one_strength(sweep):
    plain, prm = families(*sweep())
    assert [one.weight for one in plain.strengths()] == [0, 1, 4]
    assert {one.layers for one in plain.strengths()[1:]} == {("layer4",)}
    assert [layers_of(one) for one in plain.layer_sets()] == ["none", "layer4", "layer1"]
    assert [one.layer_numbers for one in plain.layer_sets()] == [(), (5,), (2,)]
    assert prm.strengths() == prm.layer_sets() == []


def test_a_layer_that_ends_no_stage_has_no_number(sweep):
    work, networks = sweep()
    work.trainings[0].config.align.layers = ("layer4", "layer3.1")
    assert families(work, networks)[0].aligned[0].layer_numbers is None


def test_layers_that_the_job_names_have_no_numbers(sweep):
    work, networks = sweep()
    plain, _ = families(work, [replace(one, named=True) for one in networks])
    assert {one.layer_numbers for one in plain.layer_sets()} == {None}
    table = layers_table(plain, "raf_db")
    assert [row[1] for row in table.rows] == [None, None, None]


def test_networks_that_were_given_are_in_no_family(sweep):
    work, networks = sweep()
    assert families(work, networks[:1])[0].without is None
    assert families(work, []) == []
