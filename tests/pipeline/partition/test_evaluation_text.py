"""Data sets compared in print, where one method explained them."""

import pytest

from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_tables, evaluation_text
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store


def told_of_two(store, explains=("lrp-1", "lrp-1")):
    """Evaluations of two data sets with stories."""
    told = (("actor_study", (120, 138), (16, 20)), ("ck_plus", (18, 18), (6, 6)))
    for (dataset, frames, stages), explain in zip(told, explains, strict=True):
        where = Partition(dataset, "m-1", explain)
        inputs, stories = [], []
        for i, (n, k) in enumerate(zip(frames, stages, strict=True)):
            name = {"sequence_id": f"{i}.mp4"}
            inputs.append({**name, "kind": "video", "status": "done", "run_id": "r"})
            ids = {"cooccurrence_id": f"{i}", "prototype_id": f"{i}"}
            stories.append({**name, "emotion": "surprise", "n_frames": n, "n_stages": k, **ids})
        store.put(f"{where.folder('sequences')}/a.parquet", encode(rows_of("sequences", inputs)))
        store.put(f"{where.folder('temporal_prototypes')}/a.parquet", encode(rows_of("temporal_prototypes", stories)))
    return evaluate_output(store)


@pytest.mark.parametrize(
    ("explains", "caption"),
    [
        (("lrp-1", "lrp-1"), "of the means over all sequences"),
        (
            ("lrp-1", "lrp-2"),
            "of the means over all sequences; faces, sampling or other settings of the explanation differ",
        ),
    ],
)
def test_tp_o_data_sets_told_with_other_faces_are_compared_and_say_so(tmp_path, explains, caption):
    (found,) = [
        t for t in evaluation_tables(told_of_two(Store(str(tmp_path)), explains)) if t.title == "data sets compared"
    ]
    assert found.rows == (("actor_study / ck_plus", "7.2", "3.0", "86 %", "67 %"),)
    assert found.caption == caption


def test_data_sets_told_by_two_methods_are_not_compared_and_that_is_said(tmp_path):
    results = told_of_two(Store(str(tmp_path)), ("lrp-1", "gradcam-1"))
    assert "data sets compared" not in {table.title for table in evaluation_tables(results)}
    assert evaluation_text(results).endswith("one method analysed both; here none are")


def test_tp_o_data_sets_are_compared_in_print_and_in_sql(tmp_path):
    results = told_of_two(store := Store(str(tmp_path)))
    tables = {table.title: table for table in evaluation_tables(results)}
    assert tables["data sets compared"].rows == (("actor_study / ck_plus", "7.2", "3.0", "86 %", "67 %"),)
    assert tables["temporal prototypes of ck_plus"].columns[1:4] == ("Fear", "Disgust", "Happy")
    by_row = {row[0]: row for row in tables["temporal prototypes of actor_study"].rows}
    assert by_row["mean reduction"][1:] == ("86 %", "86 %")
    assert by_row["  published"][1:] == ("-", "86 %")
    statement = """
        SELECT metric, a.value / b.value
        FROM evaluation a JOIN evaluation b USING (model, explain, metric, "group")
        WHERE metric IN ('mean frames', 'mean stages') AND "group" = 'all' AND a.dataset < b.dataset ORDER BY metric
    """
    asked = connect(store).execute(statement).fetchall()
    assert asked == [("mean frames", pytest.approx(129 / 18)), ("mean stages", pytest.approx(3))]
