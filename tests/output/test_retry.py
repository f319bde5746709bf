"""What `retry` refuses, and which commits it withdraws."""

import pytest

from fer_batch.output.retry import forget_failed
from fer_batch.storage.manifest import COMMITS, Ledger
from fer_batch.storage.markers import Commit
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError

HERE = Partition("d", "m", "e")


def commit(store, unit_id, status):
    row = {"sequence_id": unit_id, "identity": f"id-{unit_id}", "status": status}
    found = Commit(unit_id=unit_id, partition=HERE, n_files=0, sequences=(row,), sources=())
    store.put(f"{COMMITS}/{unit_id}.json", found.to_json())


def test_units_with_failed_or_partial_inputs_are_new_again(tmp_path):
    store = Store(str(tmp_path))
    for unit_id, status in (("a", "done"), ("b", "failed"), ("c", "partial"), ("d", "skipped")):
        commit(store, unit_id, status)
    assert forget_failed(store) == 2
    assert Ledger(store).committed == {"a", "d"}
    assert forget_failed(store) == 0


@pytest.mark.parametrize(("path", "said"), [("x", "is no output of fer-batch"), ("_train/x", "holds a training")])
def test_what_is_no_output_of_a_run_is_refused(tmp_path, path, said):
    store = Store(str(tmp_path))
    store.put(path, b"1")
    with pytest.raises(InputError, match=said):
        forget_failed(store)
