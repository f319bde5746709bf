"""Whatever is killed, and whenever: the same command goes on, and every row is that of a run that nothing disturbed."""

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

from fer_batch.pipeline.embedded import private_token

from .bench import descendants, say, working
from .compare import rows_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

MOMENTS = (
    ("_running/*", 1),
    ("_commits/*", 1),
    ("_commits/*", 3),
    ("_plans/*", 2),
    ("_shards/*", 1),
    ("_published/*", 1),
)


def test_the_driver_is_killed_in_six_runs_one_after_the_other(make_run, undisturbed, assert_same):
    run, killed = make_run(), 0
    for pattern, n in MOMENTS:
        driver = run.start()
        reached = run.reached(pattern, n)
        killed += driver.poll() is None
        run.send(signal.SIGKILL)
        run.wait()
        say(f"{n} of {pattern}: {'reached' if reached else 'over before'}, exit code {driver.returncode}")
    assert killed >= 4
    run.finish()
    assert_same(undisturbed, rows_of(run.output))


def newest(pattern, n=1):
    return lambda run: run.reached(pattern, n)


WORKERS = {
    "a decoder": ("fer_batch.media.decode_child", newest("_running/*")),
    "the actor that explains": ("ExplainStage", newest("_commits/*")),
    "a task that decodes or writes": ("ray::", newest("_stage/*/*.parquet")),
    "a Dask task": ("shard_task", newest("_plans/*")),
}


@pytest.mark.parametrize("which", WORKERS)
def test_a_worker_is_killed(which, make_run, undisturbed, assert_same):
    title, moment = WORKERS[which]
    run = make_run()
    run.start()
    moment(run)
    victim = run.reach(lambda: working(run.driver.pid, title))
    assert isinstance(victim, psutil.Process), run.log.read_text()[-3000:]
    say(f"kill {' '.join(victim.cmdline())[:80]}")
    victim.kill()
    if run.wait() != 0:  # Ray may give up; what counts is that the next run ends well
        run.finish()
    assert_same(undisturbed, rows_of(run.output))


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
from fer_batch.pipeline.ray_processes import only_needed_processes
small = {"object_store_memory": 150 << 20, "node_ip_address": "127.0.0.1"}
with only_needed_processes():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    for _ in range(2):
        cluster.add_node(num_cpus=2, **small)
    cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster():
    """Address and process of a cluster of a head that does nothing and two nodes."""
    private_token()
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    for _ in range(3):  # a raylet gives up where its agent takes more than 15 s to start, as on a busy machine
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        address = process.stdout.readline().strip()
        below = descendants(process.pid)
        if address:
            break
        process.communicate()
    assert address, "no cluster could be started"
    yield address, process
    below += descendants(process.pid)
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)
    process.kill()
    for child in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


@pytest.mark.parametrize("title", ["ExplainStage", "shard_task"], ids=["explain", "prototypes"])
def test_a_node_of_the_cluster_is_lost(title, cluster, make_run, undisturbed, assert_same):
    address, head = cluster
    run = make_run()
    run.environment |= {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token"}
    run.start()
    newest("_commits/*" if title == "ExplainStage" else "_plans/*")(run)
    worker = run.reach(lambda: working(head.pid, title))
    assert isinstance(worker, psutil.Process), run.log.read_text()[-3000:]
    raylet = worker.parent()
    assert raylet.name() == "raylet"
    workers = raylet.children(recursive=True)
    for process in [raylet, *workers]:  # as a machine goes: all at once, without a word
        process.kill()
    if run.wait() != 0:
        say(f"the run ended: {run.said.splitlines()[-2:]}")
        run.finish()
    assert_same(undisturbed, rows_of(run.output))


def test_two_runs_of_one_job_at_once(make_run, undisturbed, assert_same, tmp_path):
    one, other = make_run(tmp_path / "out"), make_run(tmp_path / "out")
    one.start()
    other.start()
    codes = [one.wait(), other.wait()]
    say(f"exit codes {codes}")
    if any(codes):
        one.finish()
    assert_same(undisturbed, rows_of(one.output))
