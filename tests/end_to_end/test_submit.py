"""The commands of `jobs/kubernetes` and `jobs/schedulers`, submitted to a Ray cluster on this machine."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

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


def crontab():
    """The line of the crontab, as cron hands it to a shell, and its environment."""
    text = (ROOT / "jobs" / "schedulers" / "crontab").read_text()
    environment = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    (line,) = re.findall(r"^(?:[0-9*]+ ){5}(.*)$", text, re.MULTILINE)
    return line, environment


def here(text, places):
    """A text of an example with places of this machine; each of them stands in it."""
    for place, own in places.items():
        assert place in text, f"{place} is not in {text!r}"
        text = text.replace(place, str(own))
    return text


def submitted(command, **how):
    """What a submission says, once the agent that starts jobs is there: a head starts it last, a busy one never."""
    end = time.monotonic() + 90
    while "No available agent to submit job" in (done := subprocess.run(command, **how)).stderr:
        if time.monotonic() > end:
            pytest.skip("Ray started no agent for jobs within 90 s")
        time.sleep(1)
    return done


def test_the_night_of_the_crontab_and_the_command_of_the_ray_job_run_as_submitted_jobs(cluster, tmp_path, helpers):
    write_clips(tmp_path / "media", n_clips=1, seed=4, n_frames=(6, 6), size=192)
    line, given = crontab()
    for name, own in (("SOURCE", "media"), ("OUTPUT", "out")):
        given[name] = here(given[name], {f"s3://bucket/{own}": tmp_path / own})
    line = here(line, {"/opt/fer_batch": ROOT, "/tmp/fer-batch.lock": tmp_path / "lock"})
    # The path of the job is one of the image, and the address that of a tunnel.
    own = {"JOB": str(ROOT / "jobs" / "clips.yaml"), **{key: cluster[key] for key in ("PATH", "RAY_ADDRESS")}}
    night = {"shell": True, "env": {**cluster, **given, **own}, "capture_output": True, "text": True}
    done = submitted(line, **night, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert re.search(r"'fer-batch-\d{4}-\d\d-\d\d' succeeded", done.stdout), done.stdout[-1000:]
    assert helpers.rows(tmp_path / "out", "sequences")["status"].to_pylist() == ["done"]
    assert subprocess.run(line, **night, timeout=60).returncode, "the same night, twice"

    command = yaml.safe_load((ROOT / "jobs" / "kubernetes" / "rayjob.yaml").read_text())["spec"]["entrypoint"]
    places = {"s3://bucket/media": tmp_path / "media", "s3://bucket/out": tmp_path / "out"}
    command = here(command, {**places, "/home/ray/fer_batch": ROOT})
    submit = ["ray", "job", "submit", "--", *shlex.split(command)]
    again = subprocess.run(submit, env=cluster, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    assert "nothing to do: 1 of 1 inputs are done already" in again.stdout
