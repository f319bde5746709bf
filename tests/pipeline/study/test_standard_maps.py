from dataclasses import replace

import numpy as np
import pytest

from fer_batch.evaluate.similarity import pooled_mean
from fer_batch.pipeline.study.standard_maps import StandardSum, pooled, read_sums, sums_task
from fer_batch.regions import StandardWarp
from fer_batch.storage.parquet import encode, unpack_maps
from fer_batch.storage.parquet import read as read_table
from fer_batch.storage.tables import SCHEMAS


def direct(study, cell):
    """Warped maps by class, one map after the other, from the tables themselves."""
    rows = read_table(study.store, "relevance", **cell.partition.key)
    frames = read_table(study.store, "frames", **cell.partition.key).to_pylist()
    points = {(row["sequence_id"], row["frame_index"]): row["landmarks"] for row in frames}
    found = {}
    for row, values in zip(rows.to_pylist(), unpack_maps(rows), strict=True):
        own = points[row["sequence_id"], row["frame_index"]]
        if own is not None:
            face = np.array(own, np.float32).reshape(1, 68, 2)
            one = StandardWarp()(np.maximum(values, 0)[None], face, (64, 64)).values[0]
            found.setdefault(row["target"], []).append(one)
    return found


def test_the_sums_of_a_cell_are_those_of_its_maps_one_by_one_without_those_that_have_no_landmarks(made_study):
    study = made_study(lost=3, methods=("lime",), folds=(0,), networks={"weinet-0a": None})
    (cell,) = study.cells
    task = sums_task(study.work, cell, "none")
    result = task.function(*task.arguments)
    assert (result["n"], result["n_undefined"]) == (21, 3)
    sums, expected = read_sums(study.store, result["path"]), direct(study, cell)
    assert sum(own.n_undefined for own in sums.values()) == 3
    assert {name for name, own in sums.items() if own.n} == set(expected)
    for name, maps in expected.items():
        assert sums[name].n == len(maps)
        np.testing.assert_allclose(sums[name].mean, pooled_mean([maps]), rtol=1e-6, atol=1e-9)


def cut(study, cell, parts):
    """The tables of a cell in other shards: sequences of each by their places."""
    tables = {}
    for table in ("sequences", "frames", "relevance", "detections", "prototypes"):
        tables[table] = read_table(study.store, table, **cell.partition.key).select(SCHEMAS[table].names)
        study.store.delete(f"{cell.partition.folder(table)}/{study.shard(cell)}.parquet")
    ids = sorted(set(tables["sequences"]["sequence_id"].to_pylist()))
    for number, places in enumerate(parts):
        for table, rows in tables.items():
            part = rows.filter(np.isin(rows["sequence_id"].to_pylist(), ids[places]))
            study.store.put(f"{cell.partition.folder(table)}/{number}.parquet", encode(part))


@pytest.mark.parametrize("scale", ["none", "max"])
def test_maps_in_other_shards_have_the_same_sums(made_study, scale):
    study = made_study(folds=(0,), networks={"weinet-0a": None})
    (cell,) = study.cells
    task = sums_task(study.work, cell, scale)
    before = read_sums(study.store, task.function(*task.arguments)["path"])
    cut(study, cell, (slice(0, None, 2), slice(1, None, 2)))
    after = read_sums(study.store, task.function(*task.arguments)["path"])
    for name, own in before.items():
        assert own.n == after[name].n > 0
        np.testing.assert_allclose(own.total, after[name].total, rtol=1e-6)


def test_a_task_is_known_by_its_cell_and_its_images_alone(made_study):
    study = made_study(folds=(0, 1), networks={"weinet-0a": None})
    one, other = (sums_task(study.work, cell, "none") for cell in study.cells)
    again = sums_task(study.work, study.cells[0], "none")
    assert one.path == again.path and one.path != other.path
    assert sums_task(study.work, study.cells[0], "max").path != one.path
    assert one.arguments[-1] != one.path  # the sums lie beside the result


def test_a_target_that_nobody_asked_to_be_explained_is_not_left_out(made_study):
    study = made_study(folds=(0,), networks={"weinet-0a": None})
    (cell,) = study.cells

    def asked(targets):
        explain = cell.job.explain.model_copy(update={"targets": targets})
        of_targets = replace(cell, job=cell.job.model_copy(update={"explain": explain}))
        return dict(sums_task(study.work, of_targets, "none").arguments[3])

    network = cell.network
    right = (network.detected & (network.labels == 1)).sum()
    assert sum(asked("active").values()) == sum(asked("all").values()) == 24
    assert sum(asked("annotated").values()) == right < 24
    assert asked(("fear",)) == {"fear": asked("active")["fear"]}


def test_groups_are_pooled_and_not_averaged_g15():
    many = {"a": StandardSum(3, np.array([[1.0]]), 1)}
    few = {"a": StandardSum(1, np.array([[0.5]])), "b": StandardSum(2, np.array([[1.0]]))}
    found = pooled([many, few])
    assert found["a"].mean == 0.375 and found["a"].n == 4 and found["a"].n_undefined == 1
    assert found["b"].mean == 0.5
