"""A cluster of which only the head runs: its autoscaler starts what the job needs, and the tables are the same."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

NODES = {
    "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "decode": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 1},
    "explain": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 1},
}
LISTS = ("setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands")
FLOATS = 1e-5  # a node's network may have another number of threads


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def autoscaling(tmp_path):
    """Address of a head of the shape of `cluster.yaml`: nodes of CPUs and of (pretended) GPUs, none of which runs."""
    port = free_port()
    provider = {"type": "fake_multinode", "disable_node_updaters": True, "disable_launch_config_check": True}
    cluster = {
        "cluster_name": "fake",
        "max_workers": 2,
        "provider": {**provider, "use_node_id_as_ip": True, "gcs_address": f"127.0.0.1:{port}"},
        "available_node_types": NODES,
        "head_node_type": "head",
        "idle_timeout_minutes": 5,
        "auth": {},
        "file_mounts": {},
        **{name: [] for name in (*LISTS, "head_start_ray_commands", "worker_start_ray_commands")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    }
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(cluster))
    fast = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "token"}
    sessions = Path(os.path.realpath(f"/tmp/fer_{port}"))  # sockets have short paths
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-cpus=0"]
    command += ["--object-store-memory=200000000", f"--temp-dir={sessions}", f"--autoscaling-config={file}"]
    log = tmp_path / "head.log"
    with log.open("w") as written:
        head = subprocess.Popen(command, stdout=written, stderr=written, env={**os.environ, **fast})
    try:
        yield f"127.0.0.1:{port}", log
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        for process in psutil.process_iter(["cmdline"]):  # nodes that are pretended outlive their head
            if any(str(sessions) in word for word in process.info["cmdline"] or ()):
                process.kill()
        subprocess.run(["rm", "-r", str(sessions)], check=False)


def assert_alike(left: pa.Table, right: pa.Table, table: str):
    """Floats within a tolerance, everything else the same."""
    assert left.num_rows == right.num_rows, table
    for name in left.column_names:
        if pa.types.is_floating(left[name].type):
            np.testing.assert_allclose(left[name].to_numpy(), right[name].to_numpy(), rtol=FLOATS, atol=FLOATS)
        elif not pa.types.is_nested(left[name].type) and name != "uri":
            assert left[name].equals(right[name]), f"{table}.{name}"


def test_the_node_with_a_gpu_is_started_and_the_tables_are_those_of_one_machine(
    autoscaling, make_job, posed_clips, reference, helpers, tmp_path
):
    address, log = autoscaling
    helpers.until(lambda: "block forever" in log.read_text())
    clips = [path.relative_to(posed_clips) for path in sorted(posed_clips.rglob("*.mp4"))[:2]]
    names = ["sequences", *(str(clip.with_suffix("")) for clip in clips)]
    for path in (path for name in names for path in posed_clips.glob(f"{name}.*")):
        copy = tmp_path / "clips" / path.relative_to(posed_clips)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)  # with its time, which its identity has
    job = make_job(tmp_path / "clips", environment={"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token"})
    done = job.run("--json", timeout=480)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["done"] == 2
    assert "this cluster has 0 GPUs now: waiting for a node with one" in done.stderr
    assert "1 copy of the network on 1 GPU" in done.stderr
    for table in ("sequences", "frames", "detections", "stages", "temporal_prototypes", "prototypes"):
        expected = helpers.rows(reference, table)
        same = pc.is_in(expected["sequence_id"], pa.array([clip.as_posix() for clip in clips]))
        assert_alike(helpers.rows(job.output, table), expected.filter(same), table)
    refused = job.run("--set", "resources.num_gpus=2", "--output", str(Path(job.output).with_name("other")))
    assert refused.returncode != 0
    assert "resources ask for 2 GPUs, but this cluster offers Ray 1" in refused.stderr
