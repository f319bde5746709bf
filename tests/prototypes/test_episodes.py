"""Episodes: bounds, stages, letters, peaks and gaps, on recordings that are written down frame by frame."""

import dataclasses
import itertools

import numpy as np
import pytest

from fer_batch.prototypes.episodes import EpisodeRule, bounds_of, find_episodes, steady_letters
from fer_batch.prototypes.recording import Recording

PLAIN = EpisodeRule(enter=0, leave=0, smooth=1, min_run=1, min_stage=1, min_rest=3, max_missing=1, rest=())


def recording(rows, place=None, letters=None):
    """From one text per target: `#` active, `-` just below the threshold, `.` not, `x` a frame without a face."""
    names = tuple(rows)
    n = len(rows[names[0]])
    ok = np.array([rows[names[0]][i] != "x" for i in range(n)], bool)
    evidence = np.array(
        [[{"#": 2.0, "-": -0.5, ".": -4.0}[rows[name][i]] for name in names] for i in np.flatnonzero(ok)]
    ).reshape(int(ok.sum()), len(names))
    found = {name: ["A" if value >= 0 else None for value in evidence[:, a]] for a, name in enumerate(names)}
    for name, own in (letters or {}).items():
        found[name] = [None if c == "." else "" if c == "?" else c for c, one in zip(own, ok, strict=True) if one]
    return Recording(np.arange(n), ok, np.arange(n) / 25 if place is None else np.array(place), names, evidence, found)


def texts(found):
    return [episode.prototype.text for episode in found]


def spans(found):
    return [(episode.first_frame, episode.last_frame) for episode in found]


def test_an_episode_lies_between_rests_and_has_their_length_not_in_it():
    found = find_episodes(recording({"AU06": "..####..........##", "AU12": "....###...####...."}), PLAIN)
    assert texts(found) == ["(AU06_A) -> (AU06_A, AU12_A) -> (AU12_A)", "(AU12_A) -> (NONE) -> (AU06_A)"]
    assert spans(found) == [(2, 6), (10, 17)]
    assert [(one.begins, one.ends) for one in found] == [("rest", "rest"), ("rest", "recording")]
    longer = find_episodes(
        recording({"AU06": "..####..........##", "AU12": "....###...####...."}),
        dataclasses.replace(PLAIN, min_rest=2),
    )
    assert spans(longer) == [(2, 6), (10, 13), (16, 17)]


def test_a_recording_at_rest_has_no_episode_nor_has_one_without_a_face():
    assert find_episodes(recording({"AU06": "......"}), PLAIN) == []
    assert find_episodes(recording({"AU06": "xxxx"}), PLAIN) == []
    assert find_episodes(recording({"AU06": ""}), PLAIN) == []


def test_missing_frames_within_the_limit_are_counted_and_more_of_them_end_the_episode():
    (one,) = find_episodes(recording({"AU06": "..###x###..."}), PLAIN)
    assert (one.prototype.n_frames, one.prototype.n_missing_frames) == (6, 1)
    assert (one.first_frame, one.last_frame, one.prototype.text) == (2, 8, "(AU06_A)")
    two = find_episodes(recording({"AU06": "..###xx###..."}), PLAIN)
    assert spans(two) == [(2, 4), (7, 9)]
    assert [(one.begins, one.ends) for one in two] == [("rest", "gap"), ("gap", "rest")]
    assert sum(one.prototype.n_missing_frames for one in two) == 0


@pytest.mark.parametrize("min_run", [1, 5])
def test_an_episode_never_bridges_a_gap_whatever_is_filled(min_run):
    rule = dataclasses.replace(PLAIN, min_run=min_run, min_rest=100, smooth=5)
    rows = {"AU06": "########" + "xx" + "########"}
    assert spans(find_episodes(recording(rows), rule)) == [(0, 7), (10, 17)]
    jumped = [*(np.arange(8) / 25), *(np.arange(8) / 25 + 3)]
    found = find_episodes(recording({"AU06": "#" * 16}, jumped), rule)
    assert spans(found) == [(0, 7), (8, 15)]
    assert [(one.begins, one.ends) for one in found] == [("recording", "gap"), ("gap", "recording")]


def test_missing_frames_at_the_ends_of_a_recording_are_gaps():
    (one,) = find_episodes(recording({"AU06": "xxx####xx"}), PLAIN)
    assert (one.begins, one.ends) == ("gap", "gap")
    (one,) = find_episodes(recording({"AU06": "x####x"}), PLAIN)
    assert (one.begins, one.ends) == ("recording", "recording")


def test_hysteresis_and_the_shortest_run_take_flicker_out_of_the_stages():
    rows = {"AU06": "....####-##-####....", "AU12": "......#...####....#."}
    flickers = find_episodes(recording(rows), PLAIN)
    assert texts(flickers)[0].count("->") > 6
    (one,) = find_episodes(recording(rows), dataclasses.replace(PLAIN, leave=-1, min_run=3))
    assert one.prototype.cooccurrence_text == "(AU06) -> (AU06, AU12) -> (AU06)"
    (short,) = find_episodes(recording(rows), dataclasses.replace(PLAIN, leave=-1, min_run=3, min_stage=5))
    assert short.prototype.cooccurrence_text == "(AU06)"


def test_frames_that_were_filled_take_the_letter_of_the_nearest():
    (one,) = find_episodes(
        recording({"AU06": "..##-##.##.."}, letters={"AU06": "..AA.BB.BB.."}),
        dataclasses.replace(PLAIN, leave=-1, min_run=2),
    )
    assert one.prototype.text == "(AU06_A) -> (AU06_B)"
    assert [stage.n_frames for stage in one.prototype.stages] == [3, 5]


@pytest.mark.parametrize(
    ("letters", "steady"),
    [
        ("AAABAAA", "AAAAAAA"),
        ("AA?BBBB", "AAABBBB"),
        ("???????", "???????"),
        ("?BBB.CC", "BBBBBBB"),
        ("ABCABCA", "ABCABCA"),
    ],
)
def test_letters_are_steady_within_a_run(letters, steady):
    given = [None if c == "." else "" if c == "?" else c for c in letters]
    found = steady_letters(given, np.ones(7, bool), np.zeros(7, np.int64), 3)
    assert "".join("?" if one == "" else str(one) for one in found) == steady


def test_the_peak_is_where_the_evidence_is():
    made = recording({"AU06": "..#####...", "AU12": "...####..."})
    made.evidence[4, 0], made.evidence[5, 1] = 5, 9
    (one,) = find_episodes(made, PLAIN)
    assert [(peak.target, peak.frame, peak.evidence, peak.n_frames) for peak in one.peaks] == [
        ("AU06", 4, 5.0, 5),
        ("AU12", 5, 9.0, 4),
    ]
    assert one.peak_frame == 5


def test_the_class_of_a_neutral_face_is_rest():
    rows = {"neutral": "####....######", "joy": "....####......"}
    assert len(find_episodes(recording(rows), PLAIN)) == 1
    (one,) = find_episodes(recording(rows), dataclasses.replace(PLAIN, rest=("neutral",)))
    assert (one.first_frame, one.last_frame, one.prototype.text) == (4, 7, "(joy_A)")


@pytest.mark.parametrize("seed", range(4))
def test_episodes_of_noise_are_apart_and_hold_together(seed):
    rng = np.random.default_rng(seed)
    rows = {name: "".join(rng.choice(list("#-."), 400, p=[0.2, 0.2, 0.6])) for name in ("AU01", "AU02", "AU04")}
    missing = rng.random(400) < 0.1
    rows = {
        name: "".join("x" if gone else c for c, gone in zip(own, missing, strict=True)) for name, own in rows.items()
    }
    made = recording(rows)
    rule = EpisodeRule()
    found = find_episodes(made, rule)
    assert found
    for one, other in itertools.pairwise(found):
        assert one.last_frame < other.first_frame
    for one in found:
        inside = (made.frame_index >= one.first_frame) & (made.frame_index <= one.last_frame)
        assert one.prototype.n_frames == made.ok[inside].sum()
        assert one.prototype.n_missing_frames == (~made.ok[inside]).sum()
        lengths = [len(list(own)) for ok, own in itertools.groupby(made.ok[inside]) if not ok]
        assert max(lengths, default=0) <= rule.max_missing
        assert one.prototype.stages[0].labels
        assert one.prototype.stages[-1].labels
        assert one.first_frame <= one.peak_frame <= one.last_frame


def test_what_a_face_always_shows_makes_no_episode_and_keeps_no_rest_away():
    """A face that the network takes for AU15 all the time, with a smile of half a second in it."""
    rows = {"AU12": "." * 30 + "#" * 12 + "." * 30, "AU15": "#" * 20 + "x" + "#" * 51}
    rows["AU12"] = rows["AU12"][:20] + "x" + rows["AU12"][21:]
    (whole,) = find_episodes(recording(rows), dataclasses.replace(PLAIN, max_run=None))
    assert (whole.first_frame, whole.last_frame, whole.lasting) == (0, 71, ())
    (smile,) = find_episodes(recording(rows), dataclasses.replace(PLAIN, max_run=40))
    assert (smile.first_frame, smile.last_frame, smile.lasting) == (30, 41, ("AU15",))
    assert smile.prototype.text == "(AU12_A)"
    assert [peak.target for peak in smile.peaks] == ["AU12"]


def test_bounds_join_what_a_short_rest_parts_within_a_segment_only():
    active = np.array([1, 0, 0, 1, 1, 0, 1], bool)
    assert bounds_of(active, np.zeros(7, np.int64), 3) == [(0, 7)]
    assert bounds_of(active, np.zeros(7, np.int64), 2) == [(0, 1), (3, 7)]
    assert bounds_of(active, np.array([0, 0, 0, 0, 1, 1, 1]), 3) == [(0, 4), (4, 7)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"enter": 0.5, "leave": 1.0}, "leave 1 must not be above enter 0.5"),
        ({"enter": float("nan")}, "must be finite"),
        ({"smooth": 4}, "an odd number of frames"),
        ({"min_rest": 0}, "min_rest is 1 or more"),
        ({"max_missing": -1}, "max_missing is 0 or more"),
        ({"max_run": 2}, "max_run 2 must not be below min_run 3"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        EpisodeRule(**wrong)
