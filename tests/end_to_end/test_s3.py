"""The whole job from `s3://` to `s3://`, on moto's server."""

import json
import os
import subprocess
import sys

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from fer_batch.storage.store import Store

from .conftest import ENGINE, called, start_engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    ENGINE.close()  # the processes of an earlier one do not know of this server
    yield boto3.client("s3")
    ENGINE.close()
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value
    server.stop()


@pytest.fixture(scope="module")
def faces(s3, posed_clips):
    """Where the posed clips lie in a bucket."""
    s3.create_bucket(Bucket="faces")
    for path in sorted(posed_clips.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), "faces", f"clips/{path.relative_to(posed_clips).as_posix()}")
    return "s3://faces/clips"


def test_from_s3_to_s3(s3, faces, reference, make_job, helpers):
    s3.create_bucket(Bucket="results")
    phases = ["explain", "prototypes", "report"]
    job = make_job(faces, output="s3://results/night/out", phases=phases)
    outcome = job.done()
    assert (outcome["found"], outcome["done"]) == (6, 6)
    for table in ("temporal_prototypes", "stages", "detections", "annotations"):
        ours = helpers.rows("s3://results/night/out", table)
        assert ours.equals(helpers.rows(reference, table)), table
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="results")["Contents"]]
    assert not [key for key in keys if "/_stage/" in key], "stage files go when their shard is published"
    assert "night/out/report/index.html" in keys
    assert sum("/sequences/" in key and key.endswith(".html") for key in keys) == 6
    assert "nothing to do: 6 of 6" in job.run().stderr
    command = [sys.executable, "-m", "fer_batch.cli", "query", "s3://results/night/out", "--format", "csv"]
    sql = "SELECT count(*) AS n FROM temporal_prototypes"
    printed = subprocess.run([*command, sql], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["n", "6"]


def test_two_workers_train_from_a_bucket_into_another(s3, faces, reference, helpers, tmp_path):
    """Ray Train with two processes a fold, and everything they keep in a bucket."""
    s3.create_bucket(Bucket="trained")
    job = {
        "kind": "train",
        "name": "posed",
        "sources": [{"format": "videos", "dataset": "posed", "uri": faces}],
        "faces": {"detector": "dataset"},
        "network": {"name": "tiny", "architecture": "resnet18", "options": {"width": 0.125},
                    "preprocessing": {"size": 64}},
        "recipe": {"id": "test", "epochs": 2, "batch_size": 8, "augment": "faces"},
        "split": {"kind": "folds", "k": 2},
        "resources": {"num_cpus": 2, "workers": 2, "object_store_mb": 100},
    }  # fmt: skip
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    start_engine()

    def call(*arguments):
        return called([str(word) for word in arguments])

    first = call("train", path, "--output", "s3://trained/out", "--json")
    assert first.returncode == 0, first.stderr[-3000:]
    assert "on 2 workers with 1 CPU" in first.stderr
    outcome = json.loads(first.stdout.splitlines()[-1])
    assert outcome["checkpoint"].startswith("s3://trained/out/checkpoints/tiny-")
    again = call("train", path, "--output", "s3://trained/out", "--json")
    assert json.loads(again.stdout.splitlines()[-1]) == {**outcome, "n_done_before": 2}
    shown = call("inspect", outcome["checkpoint"], "--json")
    assert json.loads(shown.stdout)["card"]["metrics"]["training"] == outcome["model"], shown.stderr
    sql = "SELECT count(*) AS n, count(DISTINCT fold) AS folds FROM predictions WHERE target = 'AU12'"
    printed = call("query", "s3://trained/out", "--format", "csv", sql)
    assert printed.stdout.split() == ["n,folds", f"{helpers.rows(reference, 'frames').num_rows},2"], printed.stderr


def test_reading_a_file_of_a_bucket_is_one_request(s3, monkeypatch):
    s3.create_bucket(Bucket="one-request")
    made, call = [], S3FileSystem._call_s3

    async def counted(self, method, *args, **kwargs):
        made.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    store = Store("s3://one-request/out")
    store.put("_commits/a.json", b"{}")
    made.clear()
    assert store.read_bytes("_commits/a.json") == b"{}" and made == ["get_object"]


def test_a_bucket_that_is_not_there_is_one_sentence(s3, posed_clips, make_job_here):
    finished = make_job_here(posed_clips, output="s3://nowhere/out").run()
    assert finished.returncode == 1
    assert "cannot write to output 's3://nowhere/out'" in finished.stderr
