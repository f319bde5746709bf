"""The shape of phase 1: nothing fused, chunks counted to the last."""

import ipaddress
import pickle

import psutil
import pytest

from fer_batch.pipeline.explaining.stream import Bookkeeping
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError, SequenceRef

PARTITION = Partition("d", "m-1", "e-1")


def unit(name):
    ref = SequenceRef(f"{name}.mp4", "video", f"/x/{name}.mp4", 1, "1")
    return Unit(name, (ref,), (f"id-{name}",))


def row(unit_id, index, last=False, n_frames=1, fault="", problem=""):
    sequences = pickle.dumps([{"sequence_id": f"{unit_id}.mp4", "status": "done"}] if last else [])
    return {
        "unit_id": unit_id,
        "index": index,
        "last": last,
        "n_frames": n_frames,
        "sequences": sequences,
        "fault": fault,
        "changed": pickle.dumps(()),
        "problem": problem,
    }


def test_a_unit_is_committed_when_every_chunk_is_in_whatever_their_order(tmp_path):
    store = Store(str(tmp_path))
    books = Bookkeeping(store, PARTITION, "run", [unit("a"), unit("b")])
    assert books.add(row("a", 2, last=True)) is None
    assert books.add(row("b", 0)) is None
    assert books.add(row("a", 0)) is None
    assert Ledger(store).committed == set()
    committed = books.add(row("a", 1))
    assert [r["sequence_id"] for r in committed] == ["a.mp4"]
    assert store.names("_commits") == ["a.json"]
    assert set(books.units) == {"b"}


def test_chunks_told_twice_by_a_retry_commit_once(tmp_path):
    books = Bookkeeping(Store(str(tmp_path)), PARTITION, "run", [unit("a")])
    assert books.add(row("a", 0)) is None
    assert books.add(row("a", 0)) is None
    assert books.add(row("a", 1, last=True)) is not None
    assert books.add(row("a", 1, last=True)) is None


def test_a_fault_of_the_store_is_never_committed(tmp_path):
    store = Store(str(tmp_path))
    books = Bookkeeping(store, PARTITION, "run", [unit("a")])
    books.add(row("a", 0))
    assert books.add(row("a", 1, last=True, fault="the store did not answer")) is None
    assert Ledger(store).committed == set()
    assert books.faults == ["the store did not answer"]


def test_what_the_user_asked_wrongly_stops_the_run(tmp_path):
    books = Bookkeeping(Store(str(tmp_path)), PARTITION, "run", [unit("a")])
    with pytest.raises(InputError, match="no output 'AU99'"):
        books.add(row("a", 0, problem="the model has no output 'AU99'"))


@pytest.fixture(scope="module")
def engine():
    from fer_batch.pipeline.engine import ray_engine

    with ray_engine(2, 128) as ray:
        yield ray


@pytest.mark.slow
def test_nothing_listens_beyond_loopback(engine):
    """Faces are biometric data; Ray would listen on every interface of the machine."""
    assert engine.get(engine.remote(lambda: 1).remote()) == 1
    me = psutil.Process()
    ours = {me.pid} | {child.pid for child in me.children(recursive=True)}
    listening = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    addresses = {ipaddress.ip_address(connection.laddr.ip.removeprefix("::ffff:")) for connection in listening}
    assert addresses
    assert all(address.is_loopback for address in addresses), addresses


@pytest.mark.slow
@pytest.mark.parametrize("num_gpus", [0.0, 1.0])
def test_ray_fuses_nothing(engine, num_gpus):
    """Fusion would decode inside the model actor, on a laptop and not on a cluster, or the other way round."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    from fer_batch.pipeline.explaining.stream import dataset_of

    dataset = dataset_of([unit("a")], None, None, None, 1, num_gpus)
    plan = get_execution_plan(dataset._logical_plan)
    physical = plan[0] if isinstance(plan, tuple) else plan
    names, node = [], physical.dag
    while node.input_dependencies:
        names.append(node.name)
        node = node.input_dependencies[0]
    assert names == ["MapBatches(write_chunk)", "MapBatches(ExplainStage)", "FlatMap(decode_unit)"], names
