import hashlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch import types
from fer_batch.prototypes import (
    find_stages,
    included,
    label_sets,
    parse,
    prototype_text,
    temporal_prototype,
)
from fer_batch.prototypes.stages import letter
from fer_batch.prototypes.temporal import paper_count, reduction
from fer_batch.spray import cluster
from fer_batch.spray.clustering import by_first_occurrence

G01 = (
    "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_B, AU04_A) -> (AU01_A, AU02_B)"
    " -> (AU01_A, AU02_A) -> (AU02_A) -> (NONE)"
)
G01_COOCCURRENCE = "(NONE) -> (AU02) -> (AU01, AU02, AU04) -> (AU01, AU02) -> (AU02) -> (NONE)"


def column(n, *spans):
    """One entry per frame; spans are (first, last, cluster)."""
    clusters = [None] * n
    for first, last, number in spans:
        clusters[first : last + 1] = [number] * (last - first + 1)
    return clusters


def lettered(clusters):
    """Letters of the active frames put back in their places."""
    labels = iter(by_first_occurrence(np.array([c for c in clusters if c is not None])).tolist())
    return [None if c is None else letter(next(labels)) for c in clusters]


def toy(swap=False, start=3, au04_end=8, au01_end=13):
    a, b = (1, 0) if swap else (0, 1)
    columns = {
        "AU02": column(18, (1, 4, a), (5, 11, b), (12, 15, a)),
        "AU01": column(18, (start, au01_end, 0)),
        "AU04": column(18, (start, au04_end, 0)),
    }
    sets = label_sets(18, {target: lettered(clusters) for target, clusters in columns.items()})
    return temporal_prototype(find_stages(range(18), sets))


def test_g01_toy_sequence():
    found = toy()
    assert found.text == G01
    assert [stage.n_frames for stage in found.stages] == [1, 2, 2, 4, 3, 2, 2, 2]
    assert (found.n_frames, found.n_stages, found.n_distinct_stages, paper_count(found.label_sets)) == (18, 8, 6, 7)
    assert found.reduction == pytest.approx(0.5556, abs=5e-5)
    assert found.cooccurrence_text == G01_COOCCURRENCE
    assert reduction(len(found.cooccurrence), found.n_frames) == pytest.approx(0.6667, abs=5e-5)
    assert len(found.cooccurrence) == 6


def test_g01_swapped_cluster_numbers_change_nothing():
    assert toy(swap=True) == toy()


def test_g01_every_consistent_reading_of_the_figure_is_the_same_temporal_prototype():
    readings = list(itertools.product((2, 3, 4), range(5, 11), (12, 13, 14)))
    assert len(readings) == 54
    assert {toy(False, s, b, c).text for s, b, c in readings} == {G01}


def test_ids_are_hashes_of_the_texts():
    found = toy()
    assert found.prototype_id == hashlib.sha256(G01.encode()).hexdigest()[:16]
    assert found.cooccurrence_id == hashlib.sha256(G01_COOCCURRENCE.encode()).hexdigest()[:16]


def test_g02_single_sequences():
    one = temporal_prototype(find_stages([0], [(("AU01", "A"),)]))
    assert one.reduction == 0
    nothing = temporal_prototype(find_stages(range(7), [()] * 7))
    assert (nothing.text, nothing.reduction) == ("(NONE)", pytest.approx(6 / 7))
    empty = temporal_prototype([])
    assert (empty.text, empty.n_frames, empty.n_stages, paper_count(empty.label_sets)) == ("", 0, 0, 0)
    assert math.isnan(empty.reduction)
    assert parse("") == ()


def test_missing_frames_of_the_sequence_are_those_of_its_stages_or_all():
    stages = find_stages([1, 3], [(), ()], range(6))
    assert temporal_prototype(stages).n_missing_frames == 4
    with pytest.raises(ValueError, match="less than the 4"):
        temporal_prototype(stages, 3)
    assert temporal_prototype(find_stages([], [], range(6)), 6).n_missing_frames == 6


def test_stages_that_overlap_or_repeat_are_refused():
    stage = types.Stage((), 0, 4, 5)
    with pytest.raises(ValueError, match="follow each other"):
        temporal_prototype([stage, types.Stage((("AU01", "A"),), 4, 5, 2)])
    with pytest.raises(ValueError, match="differ"):
        temporal_prototype([stage, types.Stage((), 5, 6, 2)])


def test_other_classifiers_than_faces_have_prototypes():
    sets = label_sets(3, {"left hand": [None, "A", "A"], "door": [None, None, ""]})
    assert temporal_prototype(find_stages(range(3), sets)).text == "(NONE) -> (left hand_A) -> (door, left hand_A)"


LABELS = st.sets(st.tuples(st.sampled_from(["AU01", "AU02", "joy"]), st.sampled_from(["", "A", "AA"]))).map(
    lambda labels: tuple(sorted(labels))
)
SEQUENCES = st.lists(LABELS, max_size=5)


@given(SEQUENCES)
def test_parse_is_the_inverse_of_text(stages):
    text = prototype_text(stages)
    assert prototype_text(parse(text)) == text
    assert list(map(set, parse(text))) == list(map(set, stages))
    assert parse(text.replace("->", "→")) == parse(text)


def test_text_that_is_no_prototype_is_refused():
    for text in ("(AU01_A) ->", "()", "(AU01_A) (AU02)"):
        with pytest.raises(ValueError, match=r"stage|target"):
            parse(text)


MODES = ("subsequence", "contiguous", "stagewise")


@pytest.mark.parametrize("mode", MODES)
def test_g03_inclusion(mode):
    p = parse("(AU01_A, AU02_A) -> (AU02_A)")
    q = parse("(AU01_A, AU02_A) -> (AU02_A, AU25_A)")
    assert included(p, q, mode=mode)
    assert not included(q, p, mode=mode)
    assert included(p, p, mode=mode)
    assert not included(p, p, mode=mode, strict=True)
    assert included(p, q, mode=mode, strict=True)


def test_g03_stages_between():
    p, r = parse("(AU01_A) -> (AU02_A)"), parse("(AU01_A) -> (AU04_A) -> (AU02_A)")
    assert [included(p, r, mode=mode) for mode in MODES] == [True, False, False]


@pytest.mark.parametrize("mode", MODES)
def test_g03_none(mode):
    p, q = parse("(NONE) -> (AU02_A)"), parse("(AU05_A) -> (AU02_A)")
    assert included(p, q, mode=mode, none_strict=False)
    assert not included(p, q, mode=mode)
    assert included(p, p, mode=mode)


def test_nothing_is_part_of_everything_but_not_stage_by_stage():
    q = parse("(AU02_A)")
    assert [included((), q, mode=mode) for mode in MODES] == [True, True, False]
    assert not included(q, ())
    with pytest.raises(types.InputError, match="did you mean 'contiguous'"):
        included((), q, mode="contigous")


@given(SEQUENCES, SEQUENCES, st.booleans())
def test_subsequence_inclusion_matches_all_choices_of_positions(part, whole, none_strict):
    def fits(a, b):
        return not b if none_strict and not a else set(a) <= set(b)

    expected = any(
        all(fits(p, whole[i]) for p, i in zip(part, chosen, strict=True))
        for chosen in itertools.combinations(range(len(whole)), len(part))
    )
    assert included(part, whole, none_strict=none_strict) == expected


def blob(y, x):
    rows, columns = np.mgrid[:28, :28]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.5**2))


@pytest.mark.parametrize("seed", range(20))
def test_g22_synthetic_sequence(seed):
    rng = np.random.default_rng(seed)
    places = {
        "AU01": column(18, (3, 13, (8, 14))),
        "AU04": column(18, (3, 8, (11, 14))),
        "AU02": column(18, (1, 4, (8, 6)), (5, 11, (8, 21)), (12, 15, (8, 6))),
    }
    letters: dict[str, list[str | None]] = {}
    n_clusters = {}
    for target, centres in places.items():
        active = [i for i, centre in enumerate(centres) if centre is not None]
        maps = np.stack([blob(*centres[i]) + 0.02 * rng.standard_normal((28, 28)) for i in active])
        found = cluster(maps.astype(np.float32))
        n_clusters[target] = found.n_clusters
        letters[target] = [None] * 18
        for i, number in zip(active, found.labels, strict=True):
            letters[target][i] = letter(int(number))
    assert n_clusters == {"AU01": 1, "AU04": 1, "AU02": 2}
    assert temporal_prototype(find_stages(range(18), label_sets(18, letters))).text == G01
