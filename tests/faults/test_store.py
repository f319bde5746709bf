"""From one bucket into another, through a proxy that does what stores do on bad days."""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from .bench import job_over, say
from .compare import rows_of
from .proxy import Faults, Proxy

pytestmark = pytest.mark.timeout(3600)  # what hangs is seen by what waits for it
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def proxy():
    """A proxy without faults before a store, and the environment in which it is the store."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    found = Proxy(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": found.url}.items():
            patch.setenv(name, value)
        yield found
    found.stop()
    server.stop()


@pytest.fixture(scope="module")
def s3(proxy):
    return boto3.client("s3", config=Config(retries={"max_attempts": 1}))


@pytest.fixture
def troubled(proxy):
    """A function that lets things go wrong."""
    yield lambda **faults: setattr(proxy, "faults", replace(Faults(), **faults))
    proxy.faults = Faults()


def new_bucket(s3):
    name = f"results{next(BUCKETS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def source(s3, clips):
    """The clips in a bucket."""
    s3.create_bucket(Bucket="faces")
    for path in sorted(Path(clips).rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), "faces", f"clips/{path.relative_to(clips).as_posix()}")
    return "s3://faces/clips"


@pytest.fixture(scope="module")
def expected(s3, source, tmp_path_factory):
    """Rows of an output in a bucket that nothing disturbed."""
    output = f"s3://{new_bucket(s3)}/out"
    job_over(tmp_path_factory.mktemp("s3") / "job.yaml", source, output).done()
    return rows_of(output)


def listed(s3, bucket):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_the_proxy_does_what_it_is_told(proxy, s3, troubled):
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"0123456789" * 100)
    assert s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == b"0123456789" * 100
    assert s3.head_object(Bucket=bucket, Key="a b/ü")["ContentLength"] == 1000
    troubled(unavailable=1.0)
    with pytest.raises(s3.exceptions.ClientError, match=r"SlowDown|503"):
        s3.list_objects_v2(Bucket=bucket)
    troubled(cut=1.0)
    before = proxy.books.counts["cut"]
    for _ in range(3):
        with pytest.raises(Exception, match=r"(?i)connection|read"):
            s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read()
    assert proxy.books.counts["cut"] - before >= 3
    troubled(denied=True)
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="x", Body=b"x")
    troubled(lag=30.0)
    assert listed(s3, bucket) == []
    troubled(slow=1.0, seconds=0.2)
    start = time.monotonic()
    assert listed(s3, bucket) == ["a b/ü"]
    assert time.monotonic() - start >= 0.2


BAD_DAYS = {
    "503 on 5 percent": {"unavailable": 0.05},
    "503 on 20 percent": {"unavailable": 0.2},
    "5 percent of connections cut": {"cut": 0.05},
    "20 percent of connections cut": {"cut": 0.2},
    "every fifth answer 2 s late": {"slow": 0.2, "seconds": 2.0},
    "listings 3 s behind": {"lag": 3.0},
    "all of it": {"unavailable": 0.05, "cut": 0.05, "slow": 0.05, "seconds": 1.0},
}


@pytest.mark.faults
@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_store_on_a_bad_day(day, proxy, s3, troubled, source, make_run, expected, assert_same):
    run = make_run(f"s3://{new_bucket(s3)}/out", source={"uri": source})
    proxy.books.counts.clear()
    troubled(**BAD_DAYS[day])
    n_failed = run.finish(tries=6)
    say(f"{n_failed} runs ended before the last; {dict(proxy.books.counts)}")
    troubled()
    for _ in range(3):  # the nights that follow; the first may find what a listing did not show
        run.finish()
        if "nothing to do" in run.said:
            break
    assert "nothing to do" in run.said, run.said[-3000:]
    assert_same(expected, rows_of(run.output))


@pytest.mark.faults
def test_a_store_that_denies_access_in_the_middle(proxy, s3, troubled, source, make_run, expected, assert_same):
    run = make_run(f"s3://{(bucket := new_bucket(s3))}/out", source={"uri": source})
    run.start()
    assert run.reach(lambda: any("/_commits/" in key for key in listed(s3, bucket))) is True, run.log.read_text()
    troubled(denied=True)
    assert run.wait() == 1
    (sentence,) = [line for line in run.said.splitlines() if line.startswith("error: ")]
    assert "the store refused access" in sentence and "run the same command again" in sentence
    assert "Traceback" not in run.said
    troubled()
    run.finish()
    assert_same(expected, rows_of(run.output))
