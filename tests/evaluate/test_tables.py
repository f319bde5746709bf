"""Tables of evaluation in the printed layout."""

import math

from fer_batch.evaluate.published import CK_PLUS, published_class
from fer_batch.evaluate.summary import GroupStatistics, group_statistics
from fer_batch.evaluate.tables import Mu, comparison_table, f1_table, mu_table, prototype_table, share, sorted_targets


def cells(table):
    """Row name to column name to cell."""
    return {row[0]: dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}


def test_vp_f_f1_has_the_printed_layout_and_a_dash_for_what_is_missing():
    table = f1_table({"mine": {"AU04": 0.5, "AU06": math.nan, "AU12": 0.25}}, ["Actor Study"])
    assert table.columns == ("", "AU04", "AU06", "AU07", "AU09", "AU10", "AU12", "AU25", "AU26", "AU27", "mean")
    found = cells(table)
    assert list(found) == [
        "mine", "Actor Study, OpenFace (Rieger et al. 2020)", "Actor Study, ResNet (Rieger et al. 2020)",
    ]  # fmt: skip
    assert (found["mine"]["AU06"], found["mine"]["AU07"], found["mine"]["mean"]) == ("-", "-", ".375")
    printed = found["Actor Study, ResNet (Rieger et al. 2020)"]
    figures = [printed[au] for au in table.columns[1:-1] if au != "AU12"]
    assert figures == [".68", ".55", ".62", ".48", ".32", ".83", ".60", ".57"]
    assert printed["mean"] == "-", "the papers print none, and theirs would be over other targets"
    assert found["Actor Study, OpenFace (Rieger et al. 2020)"]["AU27"] == "-"
    assert list(cells(f1_table({"mine": {"AU04": 0.5}}, []))) == ["mine"]


def test_vp_i_mu_has_the_printed_layout():
    table = mu_table({"unbc": {"AU04": Mu(0.4712, 30, 0.25), "AU26": Mu(math.nan, 0)}}, ["UNBC", "CK+"])
    assert table.columns == ("", "unbc", "UNBC (Rieger et al. 2020)", "CK+ (Rieger et al. 2020)")
    found = cells(table)
    assert list(found) == ["AU04", "AU06", "AU07", "AU09", "AU10", "AU25", "AU26", "AU27"]
    assert list(found["AU04"].values()) == [".471 (30; .250)", ".50 (291)", ".554 (3753)"]
    assert list(found["AU27"].values()) == ["-", "-", ".341 (1285)"]
    assert found["AU26"]["unbc"] == "-"


def test_tp_j_temporal_prototypes_have_the_printed_rows_and_columns():
    table = prototype_table("ck_plus", list(CK_PLUS.values()), "CK+")
    assert table.columns[1:] == (
        "Fear", "Disgust", "Happy", "Sadness", "Surprise", "Angry", "Contempt", "None", "all",
    )  # fmt: skip
    rows = [row for row in table.rows if row[0] != "  published"]
    assert [row[0] for row in rows][:6] == [
        "sequences", "mean frames", "prototypes, co-occurrence only", "prototypes, with clustering", "mean stages",
        "mean reduction",
    ]  # fmt: skip
    assert rows[0][1:] == ("25", "59", "69", "28", "83", "45", "18", "266", "593")
    assert rows[5][1:] == ("64 %", "52 %", "65 %", "63 %", "78 %", "62 %", "65 %", "66 %", "66 %")
    for ours, theirs in zip(rows[:6], [row for row in table.rows if row[0] == "  published"], strict=True):
        assert ours[1:] == theirs[1:]


def test_own_emotions_stand_in_the_printed_columns():
    emotions = ["happiness", "anger", "pain", None]
    statistics = group_statistics(emotions, [10, 20, 30, 40], [2, 2, 3, 4], list("abcd"), list("abcd"))
    table = prototype_table("posed", statistics)
    assert table.columns[1:] == ("Happy", "Angry", "pain", "None", "all")
    assert cells(table)["mean frames"] == {
        "Happy": "10.00", "Angry": "20.00", "pain": "30.00", "None": "40.00", "all": "25.00",
    }  # fmt: skip
    beside = cells(prototype_table("posed", statistics, "Actor Study"))["  published"]
    assert beside == {"Happy": "-", "Angry": "-", "pain": "-", "None": "-", "all": "86 %"}
    assert published_class("Surprise") == "Surprise"


def test_two_spellings_of_a_class_and_reserved_names_lose_no_sequence():
    emotions = ["anger", "angry", "all", "None", None]
    statistics = group_statistics(emotions, [1] * 5, [1] * 5, list("abcde"), list("abcde"))
    found = cells(prototype_table("posed", statistics))["sequences"]
    assert found == {"all (class)": "1", "anger": "1", "angry": "1", "None (class)": "1", "None": "1", "all": "5"}


def test_tp_o_actor_study_beside_ck_plus():
    study = GroupStatistics("all", 3, 129.0, 3, 3, 18.0, 0.86, 1 - 18 / 129)
    table = comparison_table({"CK+": CK_PLUS["all"], "Actor Study": study})
    assert table.rows == (("Actor Study / CK+", "7.1", "3.0", "86 %", "67 %"),)


def test_figures_and_targets_are_written_as_in_the_papers():
    assert [share(v) for v in (0.5, 0.554, 1.0, 0.0, math.nan, None)] == [".500", ".554", "1.000", ".000", "-", "-"]
    assert sorted_targets(["AU12", "AU02", "fear", "AU100", "AU12"]) == ["AU02", "AU12", "AU100", "fear"]
