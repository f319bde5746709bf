"""The commands of `jobs/schedulers` and `jobs/kubernetes`, submitted to a Ray cluster on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml

from fer_batch.posed.clips import write_clips

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# A head with its job server; it ends with this process.
HEAD = """
import ray, sys
print(ray.init(address="local", num_cpus=2, include_dashboard=True, dashboard_port=0,
               object_store_memory=256 * 2**20).dashboard_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster():
    """Environment of a submitter: the address of the job server and its token."""
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_USAGE_STATS_ENABLED": "0"}
    own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **own}
    environment.pop("RAY_ADDRESS", None)
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        url = next(line.strip() for line in head.stdout if line.startswith("127.0.0.1"))
        yield {**environment, "RAY_ADDRESS": f"http://{url}"}
    finally:
        head.stdin.close()
        head.wait(60)


def test_a_night_is_submitted_and_the_ray_jobs_command_finds_nothing_left_to_do(cluster, tmp_path, helpers):
    write_clips(tmp_path / "media", n_clips=1, seed=4, n_frames=(12, 12), size=192)
    source, out = str(tmp_path / "media"), str(tmp_path / "out")
    night = {**cluster, "SOURCE": source, "OUTPUT": out, "JOB": str(ROOT / "jobs" / "clips.yaml"), "NIGHT": "one"}
    script = ROOT / "jobs" / "schedulers" / "nightly.sh"
    done = subprocess.run([script], env=night, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "'fer-batch-one' succeeded" in done.stdout
    assert helpers.rows(out, "sequences")["status"].to_pylist() == ["done"]
    assert pc.any(helpers.rows(out, "detections")["active"]).as_py()
    assert subprocess.run([script], env=night, capture_output=True, timeout=60).returncode, "the same night, twice"

    command = yaml.safe_load((ROOT / "jobs" / "kubernetes" / "rayjob.yaml").read_text())["spec"]["entrypoint"]
    places = {"s3://bucket/media": source, "s3://bucket/out": out, "/home/ray/fer_batch": str(ROOT)}
    for place, own in places.items():
        assert place in command
        command = command.replace(place, own)
    submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--", *command.split()]
    again = subprocess.run(submit, env=cluster, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    assert "nothing to do: 1 of 1 inputs are done already" in again.stdout
