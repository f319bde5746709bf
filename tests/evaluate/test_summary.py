import numpy as np
import pytest

from fer_batch.evaluate import comparison, group_statistics, statistics_table
from fer_batch.evaluate.published import ACTOR_STUDY_FRAMES, ACTOR_STUDY_STAGES, CK_PLUS, F1, MU, MU_N
from fer_batch.evaluate.summary import GroupStatistics


def statistics(emotions, frames, stages, prototypes):
    found = group_statistics(emotions, frames, stages, [p.lower() for p in prototypes], prototypes)
    return {s.group: s for s in found}


def test_g02_reduction_is_the_mean_over_sequences():
    found = statistics([None] * 3, [10, 20, 30], [5, 4, 3], ["p", "q", "r"])["all"]
    assert found.mean_reduction == pytest.approx(0.7333, abs=5e-5)
    assert found.ratio_of_means == pytest.approx(0.8)
    assert (found.n_sequences, found.mean_frames, found.mean_stages) == (3, 20, 4)


def test_g02_single_sequences():
    assert statistics(["x"], [1], [1], ["p"])["x"].mean_reduction == 0
    assert statistics(["x"], [7], [1], ["p"])["x"].mean_reduction == pytest.approx(6 / 7)
    empty = statistics(["x"], [0], [0], [""])["x"]
    assert (empty.n_sequences, empty.n_prototypes, empty.n_empty) == (0, 0, 1)
    assert np.isnan([empty.mean_reduction, empty.ratio_of_means, empty.mean_frames]).all()


def test_g02_distinct_prototypes_of_groups():
    found = statistics(["e1", "e2", "e2"], [9, 9, 9], [2, 2, 2], ["p", "p", "q"])
    assert {group: s.n_prototypes for group, s in found.items()} == {"e1": 1, "e2": 2, "all": 2}


def test_unique_stages_are_averaged_where_they_are_counted():
    counted = group_statistics(["x", None, "x"], [9, 9, 0], [8, 2, 0], list("abc"), list("abc"), [7, 2, 0])
    table = statistics_table(counted)["mean unique stages"]
    assert table == {"x": 7, "None": 2, "all": 4.5}
    assert np.isnan(statistics(["x"], [9], [8], ["p"])["x"].mean_unique_stages)
    with pytest.raises(ValueError, match="one entry per sequence"):
        group_statistics([None], [3], [1], ["a"], ["a"], [1, 2])


def test_cooccurrence_prototypes_are_counted_without_letters():
    found = statistics(["e"] * 3, [9, 9, 9], [2, 2, 2], ["P", "p", "q"])["e"]
    assert (found.n_cooccurrence_prototypes, found.n_prototypes) == (2, 3)


def test_groups_are_emotions_then_none_then_all():
    found = statistics(["joy", None, "fear", "joy", None], [5, 8, 4, 7, 0], [1, 2, 1, 3, 0], list("abcab"))
    assert list(found) == ["fear", "joy", "None", "all"]
    assert [s.n_sequences for s in found.values()] == [1, 2, 1, 4]
    assert found["None"].n_empty == found["all"].n_empty == 1
    assert list(statistics([], [], [], [])) == ["all"]


def test_layout_of_the_published_table():
    found = statistics_table(list(CK_PLUS.values()))
    assert list(found)[:6] == [
        "sequences",
        "mean frames",
        "prototypes, co-occurrence only",
        "prototypes, with clustering",
        "mean stages",
        "mean reduction",
    ]
    assert found["mean stages"]["Surprise"] == 3.4
    assert list(found["sequences"]) == [
        "Fear", "Disgust", "Happy", "Sadness", "Surprise", "Angry", "Contempt", "None", "all",
    ]  # fmt: skip


def test_published_table_adds_up_as_the_paper_says():
    emotions = [s for group, s in CK_PLUS.items() if group != "all"]
    assert sum(s.n_sequences for s in emotions) == CK_PLUS["all"].n_sequences == 593
    assert sum(s.n_cooccurrence_prototypes for s in emotions) == 473
    assert sum(s.n_prototypes for s in emotions) == 538
    ratios = [round(100 * s.ratio_of_means) for s in emotions]
    assert ratios == [64, 53, 66, 65, 79, 64, 67, 67]
    assert all(s.mean_reduction <= round(s.ratio_of_means, 2) for s in emotions)
    assert [len(F1["Actor Study", "OpenFace"]), "AU09" in F1["UNBC", "IdenNet"]] == [7, False]
    assert all(MU[name].keys() == MU_N[name].keys() for name in MU)
    below = [mu for values in MU.values() for mu in values.values() if mu < 0.5]
    assert (len(below), sum(map(len, MU.values()))) == (14, 23)


def test_comparison_of_actor_study_and_ck_plus():
    reduction = 1 - ACTOR_STUDY_STAGES / ACTOR_STUDY_FRAMES
    study = GroupStatistics("all", 3, ACTOR_STUDY_FRAMES, 3, 3, ACTOR_STUDY_STAGES, reduction, reduction)
    found = comparison(study, CK_PLUS["all"])
    assert found.frames_ratio == pytest.approx(7.1, abs=0.05)
    assert found.stages_ratio == pytest.approx(3.0, abs=0.05)
    assert found.reduction == pytest.approx(0.860, abs=5e-4)
    assert found.other_reduction == pytest.approx(1 - 6.06 / 18.1)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        group_statistics([None], [3], [1], ["a"], ["a", "b"])
    with pytest.raises(ValueError, match="more stages than frames"):
        group_statistics([None], [3], [4], ["a"], ["a"])
