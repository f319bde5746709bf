"""Datasets on an object store: folders that are only prefixes, parts of files, per-frame files."""

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from s3fs import S3FileSystem

from fer_batch.pipeline.inspect.uri import inspect_uri
from fer_batch.sources.fetch import local_input
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="datasets")
    S3FileSystem.clear_instance_cache()  # they remember the server of another test
    yield lambda key, data: client.put_object(Bucket="datasets", Key=key, Body=data)
    S3FileSystem.clear_instance_cache()
    server.stop()


def test_datasets_on_s3(bucket):
    for number in (1, 2, 10):
        name = f"S005/001/S005_001_{number:08d}"
        bucket(f"sets/CK+/cohn-kanade-images/{name}.png", b"png")
        bucket(f"sets/CK+/Landmarks/{name}_landmarks.txt", b"1.0 2.0\n" * 68)
    bucket("sets/CK+/FACS/S005/001/S005_001_00000010_facs.txt", b"12 3\n")
    bucket("fer/fer2013.csv", b"emotion,pixels,Usage\n3,1 2 3 4,Training\n5,9 8 7 6,PublicTest\n")
    (ref,) = list_source("ck_plus", "s3://datasets/sets")
    truth = read_truth(ref)
    assert sorted(truth.points) == [0, 1, 2]
    assert truth.present() == {2: ["AU12"]}
    assert inspect_uri("s3://datasets/sets")["units"]["AU12"] == {"present": 1, "absent": 1}
    _, second = list_source("fer2013", "s3://datasets/fer/fer2013.csv")
    with local_input(second) as path:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), [[9, 8], [7, 6]])
