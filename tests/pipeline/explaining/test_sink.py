"""Chunks become stage files; only bookkeeping goes on."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.explaining import sink
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.sink import ATTEMPTS, SinkOptions, face_jpeg, patiently_put, write_chunk
from fer_batch.storage.manifest import stage_file
from fer_batch.storage.stage import read_stage
from fer_batch.storage.store import Store


def explained(**changed):
    images = np.full((1, 8, 8, 3), 200, np.uint8)
    frames = [
        {"sequence_id": "a", "frame_index": 0, "status": "no_face"},
        {"sequence_id": "a", "frame_index": 1, "status": "ok"},
    ]
    chunk = Chunk("u", 0, True, frames, np.array([1]), images, sequences=[{"sequence_id": "a", "status": "done"}])
    return chunk.with_maps(
        logits=np.array([[1.0, -1.0]], np.float32),
        probability=np.array([[0.75, 0.25]], np.float32),
        pairs=np.array([[0, 0]]),
        relevance=np.ones((1, 8, 8), np.float32),
        conservation=np.ones(1, np.float32),
        **changed,
    )


def batch(chunk, problem=""):
    return {key: np.array([value], object) for key, value in {**chunk.to_row(), "problem": problem}.items()}


@pytest.mark.parametrize("faces", [True, False])
def test_a_chunk_is_one_stage_file(tmp_path, faces):
    store = Store(str(tmp_path))
    row = write_chunk(batch(explained()), SinkOptions(store.uri, faces, ({},)))
    assert (row["unit_id"], row["last"], row["n_frames"], row["fault"]) == (["u"], [True], [2], [""])
    assert pickle.loads(row["sequences"][0]) == [{"sequence_id": "a", "status": "done"}]
    table = read_stage(store.read_bytes(stage_file("u", 0)))
    assert table["frame_index"].to_pylist() == [0, 1]
    assert [crop is not None for crop in table["crop_jpeg"].to_pylist()] == [False, faces]


@pytest.mark.parametrize(("changed", "problem"), [({"fault": "no store"}, ""), ({}, "no such method")])
def test_what_is_not_to_be_committed_leaves_no_file(tmp_path, changed, problem):
    store = Store(str(tmp_path))
    row = write_chunk(batch(explained(**changed), problem), SinkOptions(store.uri, True, ({},)))
    assert (row["fault"], row["problem"]) == ([changed.get("fault", "")], [problem])
    assert not store.exists(stage_file("u", 0))


def test_a_crop_keeps_its_colours():
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 250  # red
    found = np.asarray(Image.open(io.BytesIO(face_jpeg(image))))
    assert found[8, 8, 0] > 240
    assert found[8, 8, 1:].max() < 10


@pytest.mark.parametrize("n_faults", [ATTEMPTS - 1, ATTEMPTS])
def test_a_store_that_does_not_answer_is_asked_again(tmp_path, n_faults, monkeypatch):
    monkeypatch.setattr(sink.time, "sleep", lambda seconds: None)
    faults = iter([True] * n_faults)
    put = Store.put

    def flaky(self, path, data):
        if next(faults, False):
            raise OSError("no answer")
        put(self, path, data)

    monkeypatch.setattr(Store, "put", flaky)
    store = Store(str(tmp_path))
    if n_faults == ATTEMPTS:
        with pytest.raises(OSError, match="no answer"):
            patiently_put(store, "x", b"1")
    else:
        patiently_put(store, "x", b"1")
        assert store.read_bytes("x") == b"1"
