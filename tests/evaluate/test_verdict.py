"""Verdicts on constructed maps (methods VP-k): what is flagged, and in which words."""

import dataclasses
import math

import numpy as np
import pytest

from fer_batch.evaluate import Verdict, region_share, relevance_mass

SIDE = 32
REGION = np.zeros((SIDE, SIDE), bool)
REGION[4:12, 4:12] = True  # 1/16 of the image
N_FRAMES = 10  # of each subject


@pytest.fixture
def verdict(localisation_of_frames):
    """The verdict on maps of frames, shape (n, SIDE, SIDE)."""

    def judged(maps, subjects, f1=0.81, **more):
        region = np.broadcast_to(REGION, maps.shape)
        found = localisation_of_frames(relevance_mass(maps, region), region_share(region), subjects)
        return Verdict("AU10", "the upper lip", found, f1, **more)

    return judged


def maps(inside, rng, n_subjects=6):
    """Positive maps with a given share of their relevance inside the region, and noise that differs by subject."""
    n = n_subjects * N_FRAMES
    share = np.clip(inside + np.repeat(rng.normal(0, 0.02, n_subjects), N_FRAMES), 0.001, 0.999)[:, None, None]
    noise = rng.uniform(0.5, 1.5, (n, SIDE, SIDE))
    within, without = noise * REGION, noise * ~REGION
    total = within / within.sum((1, 2), keepdims=True) * share + without / without.sum((1, 2), keepdims=True) * (
        1 - share
    )
    return total, np.repeat(np.arange(n_subjects), N_FRAMES).tolist()


def test_vp_k_relevance_inside_the_region_is_not_flagged(verdict):
    found = verdict(*maps(0.7, np.random.default_rng(0)))
    assert (found.flagged, found.noted, found.state) == (False, False, "ok")
    assert found.sentence == (
        "AU10 is recognised (F1 .81), and 70 % of the evidence lies in the upper lip; that is more than chance (6.2 %)."
    )


def test_vp_k_relevance_outside_the_region_is_flagged(verdict):
    found = verdict(*maps(0.03, np.random.default_rng(1)))
    assert (found.flagged, found.state) == (True, "flag")
    assert found.localisation.high < found.localisation.chance
    assert found.sentence == (
        "AU10 is recognised (F1 .81), but 96 % of the evidence lies outside the upper lip; "
        "the 3.5 % inside are not more than chance (6.2 %)."
    )


@pytest.mark.parametrize(
    ("median", "said"),
    [(39.0, "its maps sum to 39 times its logit (median)"), (np.nan, "its maps have no defined sum")],
)
def test_maps_that_do_not_add_up_are_not_judged(median, said, verdict):
    for inside in (0.7, 0.03):
        found = dataclasses.replace(verdict(*maps(inside, np.random.default_rng(0))), conservation=median)
        assert found.state == "open"
        assert found.sentence == f"AU10 is recognised (F1 .81), but {said}, so where its evidence lies is open."


def test_vp_k_uniform_relevance_is_flagged(verdict):
    found = verdict(np.ones((60, SIDE, SIDE)), np.repeat(np.arange(6), 10).tolist())
    assert found.state == "flag"


def test_vp_k_less_than_half_inside_is_a_note_and_no_flag(verdict):
    found = verdict(*maps(0.2, np.random.default_rng(2)))
    assert (found.flagged, found.noted, found.state) == (False, True, "note")
    assert "but 80 % of the evidence lies outside the upper lip; the 20 % inside are more than chance" in found.sentence


def test_vp_k_one_subject_of_many_who_is_right_does_not_carry_the_verdict(verdict):
    wrong, subjects = maps(0.03, np.random.default_rng(3))
    right, _ = maps(0.9, np.random.default_rng(3))
    found = verdict(np.concatenate([right[:N_FRAMES], wrong[N_FRAMES:]]), subjects)
    assert found.localisation.mean > found.localisation.chance
    assert found.state == "flag"
    assert "inside may be no more than chance (6.2 %)." in found.sentence


@pytest.mark.parametrize("n_subjects", [1, 3])
def test_vp_k_few_subjects_leave_it_open(n_subjects, verdict):
    found = verdict(*maps(0.03, np.random.default_rng(4), n_subjects))
    assert (found.flagged, found.state) == (False, "open")
    counted = "1 subject" if n_subjects == 1 else "3 subjects"
    assert f"with {counted} it is open whether the" in found.sentence


def test_inputs_stand_for_subjects_that_are_not_known(verdict):
    found = verdict(*maps(0.03, np.random.default_rng(4), 2), by_sequence=True)
    assert "with 2 inputs without a subject it is open" in found.sentence


def test_what_can_be_said_without_annotations_or_maps(verdict):
    shown, subjects = maps(0.7, np.random.default_rng(5))
    assert verdict(shown, subjects, None).sentence.startswith(
        "AU10 is seen in 60 frames (not annotated, so its F1 is not known), and 70 %"
    )
    assert "is recognised poorly (F1 .30), and 70 %" in verdict(shown, subjects, 0.3).sentence
    assert "none of these frames has landmarks" in verdict(np.full_like(shown, np.nan), subjects).sentence
    nothing = np.zeros((0, SIDE, SIDE))
    assert verdict(nothing, [], 0.0).sentence == (
        "AU10 is never recognised (F1 .00), so there is no evidence to judge."
    )
    assert verdict(nothing, [], 0.0, n_false_positives=20).sentence == (
        "AU10 never occurs, yet is detected in 20 frames (F1 .00); no true positive shows where it looks."
    )
    assert verdict(nothing, [], math.nan).sentence == "AU10 neither occurs nor is detected."
    assert verdict(nothing, [], None).state == "open"


def test_recognised_is_said_of_people_it_was_trained_on_only_with_that_word(verdict):
    shown, subjects = maps(0.7, np.random.default_rng(5))

    def said(**more):
        return verdict(shown, subjects, **more).sentence.split(", and 70 %")[0]

    assert said(trained_on="all") == "AU10 is recognised on people it was trained on (F1 .81)"
    assert said(trained_on="all", new_f1=0.9) == (
        "AU10 is recognised on people it was trained on (F1 .81; on new people .90)"
    )
    for whom in ("some", "all"):
        assert said(trained_on=whom, new_f1=0.34) == (
            "AU10 is recognised on people it was trained on, poorly on new ones (F1 .81; on new people .34)"
        )
    assert said(trained_on="some", new_f1=0.9) == "AU10 is recognised (F1 .81; on new people .90)"
    assert said(trained_on="some", new_f1=math.nan) == said(f1=0.81) == "AU10 is recognised (F1 .81)"
    assert said(f1=0.3, trained_on="all", new_f1=0.1) == (
        "AU10 is recognised poorly on people it was trained on (F1 .30; on new people .10)"
    )
