"""A recording: evidence relative to what makes a target active, and the pieces between gaps."""

import numpy as np
import pytest

from fer_batch.models.heads import active, probabilities
from fer_batch.prototypes.recording import evidence_of, segments


@pytest.mark.parametrize(("head", "threshold"), [("multilabel", 0.5), ("multilabel", 0.2), ("softmax", 0.5)])
def test_evidence_is_positive_where_the_network_calls_a_target_active(head, threshold):
    logits = np.random.default_rng(0).normal(0, 3, (500, 7)).astype(np.float32)
    evidence = evidence_of(logits, head, threshold)
    assert ((evidence >= 0) == active(probabilities(logits, head), head, threshold)).all()


def test_evidence_is_log_odds():
    p = probabilities(np.array([[1.0, 3.0, -2.0]]), "softmax")[0]
    assert evidence_of(np.array([[1.0, 3.0, -2.0]]), "softmax", 0.5)[0] == pytest.approx(
        [np.log(p[0] / p[1]), np.log(p[1] / p[0]), np.log(p[2] / p[1])], rel=1e-5
    )
    assert evidence_of(np.array([[0.0]]), "multilabel", 0.2)[0, 0] == pytest.approx(np.log(4))


def test_the_one_class_of_a_network_is_always_active():
    assert evidence_of(np.array([[-3.0]]), "softmax", 0.5)[0, 0] == np.inf


def pieces(ok, place, max_missing=2):
    return segments(np.array(ok, bool), np.array(place, float), max_missing).tolist()


def test_frames_without_a_face_cut_a_recording_where_more_than_allowed_follow_each_other():
    ok = [0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1]
    assert pieces(ok, range(12)) == [0, 0, 0, 0, 1]
    assert pieces(ok, range(12), 1) == [0, 0, 1, 1, 2]
    assert pieces(ok, range(12), 0) == [0, 0, 1, 2, 3]
    assert pieces(ok, range(12), 3) == [0, 0, 0, 0, 0]
    assert pieces([0, 0], [0, 1]) == []


def test_frames_that_are_not_there_cut_it_too():
    numbers = [*range(1, 11), *range(31, 46)]  # pictures 11 to 30 were never made, or lost
    assert pieces([1] * 25, numbers) == [0] * 10 + [1] * 15
    lost = np.delete(np.arange(20) / 25, [7, 8])  # two frames of a video at 25 Hz
    assert pieces([1] * 18, lost) == [0] * 18
    assert pieces([1] * 18, lost, 1) == [0] * 7 + [1] * 11


def test_a_sampled_video_is_no_row_of_gaps():
    assert pieces([1] * 8, np.arange(8) * 10 / 25) == [0] * 8
    jitter = np.arange(30) / 25 + np.random.default_rng(0).uniform(-0.009, 0.009, 30)
    assert pieces([1] * 30, jitter, 0) == [0] * 30
