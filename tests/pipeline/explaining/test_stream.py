"""The shape of phase 1: nothing fused, chunks counted to the last."""

import ipaddress
import pickle
from dataclasses import replace

import psutil
import pytest

from fer_batch.output.explain_cost import explain_cost
from fer_batch.pipeline.explaining.stream import Bookkeeping, JointBookkeeping
from fer_batch.pipeline.explaining.units import ExplanationRefused, Unit
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ExplainCost
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import SequenceRef

PARTITION, OTHER = Partition("d", "m-1", "e-1"), Partition("d", "m-1", "e-2")


def unit(name):
    ref = SequenceRef(f"{name}.mp4", "video", f"/x/{name}.mp4", 1, "1")
    return Unit(name, (ref,), (f"id-{name}",))


def row(unit_id, index, last=False, n_frames=1, fault="", problem="", explanation=0, cost=None, sequence_id=None):
    sequence_id = sequence_id or f"{unit_id}.mp4"
    sequences = pickle.dumps([{"sequence_id": sequence_id, "status": "done"}] if last else [])
    return {
        "explanation": explanation,
        "unit_id": unit_id,
        "index": index,
        "last": last,
        "n_frames": n_frames,
        "sequences": sequences,
        "fault": fault,
        "changed": pickle.dumps(()),
        "cost": (cost or ExplainCost()).model_dump_json(),
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


def joint(store, *names):
    """Books of two explanations of the same units, of which the second calls them by another id."""
    second = [replace(unit(name), unit_id=f"{name}2", identities=(f"id-{name}2",)) for name in names]
    books = (
        Bookkeeping(store, PARTITION, "run", [unit(name) for name in names]),
        Bookkeeping(store, OTHER, "other", second),
    )
    return JointBookkeeping(books, [(0, "explain.0 (z)"), (3, "explain.3 (lime)")])


@pytest.mark.parametrize(("name", "said"), [("", "^no output 'AU99'$"), ("explain.1 (z)", r"^explain\.1 \(z\): no")])
def test_what_the_user_asked_wrongly_stops_the_run_and_names_the_explanation(tmp_path, name, said):
    books = JointBookkeeping([Bookkeeping(Store(str(tmp_path)), PARTITION, "run", [unit("a")])], [(1, name)])
    with pytest.raises(ExplanationRefused, match=said) as raised:
        books.add(row("a", 0, problem="no output 'AU99'"))
    assert raised.value.explanation == 1


def test_an_input_is_finished_when_every_explanation_has_it_and_each_commits_its_own(tmp_path):
    store = Store(str(tmp_path))
    books = joint(store, "a")
    assert books.add(row("a", 0, last=True, cost=ExplainCost(seconds=1.5, n_images=3))) == 0
    assert store.names("_commits") == ["a.json"]
    assert books.add(row("a", 0, last=True)) == 0, "a retried task"
    assert books.add(row("a2", 0, explanation=1)) == 0
    assert books.add(row("a2", 1, last=True, explanation=1, sequence_id="a.mp4")) == 1
    commits = Ledger(store).commits(["a", "a2"])
    assert [(c.partition, c.sequences[0]["run_id"], c.sequences[0]["identity"]) for c in commits.values()] == [
        (PARTITION, "run", "id-a"),
        (OTHER, "other", "id-a2"),
    ]
    assert commits["a"].explain_cost == ExplainCost(seconds=1.5, n_images=3)


def test_costs_of_chunks_told_twice_count_once(tmp_path):
    store = Store(str(tmp_path))
    books = Bookkeeping(store, PARTITION, "run", [unit("a")])
    store.put("_stage/a/00000.parquet", b"as the sink leaves it")
    one = ExplainCost(seconds=1.0, n_images=2, n_maps=4)
    for index, last in ((0, False), (0, False), (1, True)):
        books.add(row("a", index, last=last, cost=one))
    ledger = Ledger(store)
    assert ledger.commits(["a"])["a"].explain_cost == one + one
    assert explain_cost(ledger, PARTITION) == one + one
    assert explain_cost(ledger, OTHER) is None


def test_a_unit_that_could_not_be_read_is_one_fault_of_all_explanations(tmp_path):
    books = joint(Store(str(tmp_path)), "a", "b")
    for k, unit_id in enumerate(("a", "a2")):
        assert books.add(row(unit_id, 0, last=True, fault="no answer", explanation=k)) == 0
    assert books.faults == {"a.mp4": "no answer"}
    assert Ledger(Store(str(tmp_path))).committed == set()


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

    from fer_batch.pipeline.explaining.dataset import dataset_of

    dataset = dataset_of([unit("a")], None, None, None, (1, 1), num_gpus, 2)
    plan = get_execution_plan(dataset._logical_plan)
    physical = plan[0] if isinstance(plan, tuple) else plan
    names, node = [], physical.dag
    while node.input_dependencies:
        names.append(node.name)
        node = node.input_dependencies[0]
    assert names == ["MapBatches(write_chunk)", "MapBatches(ExplainStage)", "FlatMap(decode_unit)"], names
