import json

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.config.study import Study, StudyConfig
from fer_batch.pipeline.study.plan import planned_cells
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Store


@pytest.fixture
def output(tmp_path):
    store = Store(str(tmp_path))
    with store.staged("_crops/a/s.npy") as local, open(local, "wb") as file:
        np.lib.format.write_array(file, np.zeros((60, 4, 4, 3), np.uint8))
    store.put("_crops/a/s.parquet", encode(pa.table({"frame_index": np.arange(60)})))
    store.put("_crops/a/crops.json", dump({"shards": ["s"], "size": 4}))
    return store


def study(store, per_class=None, **runs):
    methods = {"explain.method": ["z", "gradient"]}
    runs = {"vary": methods, "choose": {"per_class": per_class}, **runs}
    return Study(
        StudyConfig(name="s", output=store.uri, trainings={"base": {}}, runs=runs, compare={"runtime": {}}), ()
    )


def networks(network, store, **more):
    crops = f"{store.uri}/_crops/a"
    return [network(seed=7, name="net", fold=fold, crops=crops, **more) for fold in (0, 1)]


def test_cells_are_networks_by_explanations_over_one_list_of_samples_each(network, output):
    cells = planned_cells(study(output, per_class=2), output, networks(network, output))
    assert [(cell.network.fold, cell.variant, cell.status) for cell in cells] == [
        (0, "z", "waiting"),
        (0, "gradient", "waiting"),
        (1, "z", "waiting"),
        (1, "gradient", "waiting"),
    ]
    assert {cell.job.name for cell in cells} == {"posed"} and {cell.job.faces.size for cell in cells} == {4}
    chosen = {cell.job.source.options["chosen"] for cell in cells}
    assert len(chosen) == 1  # the networks answer alike, so that they explain the same samples
    rows = decode(output.read_bytes(chosen.pop().removeprefix(f"{output.uri}/")))
    assert 2 <= rows.num_rows <= 14 and rows.column_names[:3] == ["row", "sequence_id", "frame_index"]


def test_the_labels_of_all_samples_are_written_once(network, output):
    cells = planned_cells(study(output), output, networks(network, output))
    (truth,) = {cell.job.source.options["truth"] for cell in cells}
    table = decode(output.read_bytes(truth.removeprefix(f"{output.uri}/")))
    net = cells[0].network
    assert table.num_rows == 60 * len(net.model.targets)
    assert sum(table["occurrence"].to_pylist()) == 60


def test_a_plan_that_is_only_looked_at_writes_nothing(network, output):
    cells = planned_cells(study(output), output, networks(network, output), write=False)
    assert not output.exists("_studies")
    assert [cell.key for cell in cells] == [
        cell.key for cell in planned_cells(study(output), output, networks(network, output))
    ]


def test_a_marker_says_that_a_cell_is_done(network, output):
    first = planned_cells(study(output), output, networks(network, output))[0]
    output.put(f"_studies/cells/{first.key}.json", json.dumps({"seconds": 3.0, "n_images": 2, "rate": 1.0}).encode())
    again = planned_cells(study(output), output, networks(network, output))
    assert [cell.status for cell in again].count("done") == 2  # of both folds, which are one network here
    assert (again[0].seconds, again[0].n_images, again[0].rate) == (3.0, 2, 1.0)


def test_trainings_that_label_the_same_crops_differently_are_datasets_of_their_own(network, output):
    one = network(seed=1, name="a", crops=f"{output.uri}/_crops/a")
    other = network(seed=2, name="b", crops=f"{output.uri}/_crops/a")
    cells = planned_cells(study(output), output, [one, other])
    names = {cell.network.name: cell.job.name for cell in cells}
    assert len(set(names.values())) == 2 and all(name.startswith("posed-") for name in names.values())


def test_a_network_with_nothing_to_explain_has_cells_that_say_so(network, output):
    cells = planned_cells(study(output, choose={"inputs": ("9/9",)}), output, networks(network, output))
    assert {cell.status for cell in cells} == {"failed"} and "has no test people" in cells[0].reason
