"""Inputs go wrong under a real run: every column of every table is that of a run that nothing disturbed.

A scenario is a function of a folder that it may fill; `pytest -m faults tests/faults` runs all of them.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path

import av
import psutil
import pytest
import yaml

from fer_batch.posed.clips import write_clips
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

from ..end_to_end.conftest import Job, until
from .compare import rows_of

KEY_EVERY = 8  # frames


def write_source(folder):
    """Three posed clips with ground truth, a key frame in eight; the second frame but one of the first is damaged."""
    clips = write_clips(folder, n_clips=3, seed=4, n_frames=(30, 34), size=192)
    for clip in clips:
        with_key_frames(clip)
    damage(clips[0])
    return clips


def with_key_frames(path):
    """Encode a clip again."""
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": str(KEY_EVERY)})
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *images[0].shape[:2], "yuv420p", 3_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def damage(path):
    """Write over the first predicted frame behind the second key frame."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        broken = packets[keys[1] + 1]
        place = slice(broken.pos, broken.pos + broken.size)
    content = bytearray(path.read_bytes())
    content[place] = bytes(255 for _ in range(place.start, place.stop))
    path.write_bytes(content)


def job_of(folder, source):
    """A job that writes to a folder."""
    folder.mkdir(exist_ok=True)
    job = {
        "name": "posed",
        "source": {"format": "videos", "uri": str(source)},
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "explain": {"method": "gradient"},
        "resources": {"num_cpus": 2, "object_store_mb": 256},
        "phases": ["explain", "prototypes"],
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return Job(folder / "job.yaml", str(folder / "out"))


def decoder_below(process):
    """The first decoding process of a run, as soon as there is one."""
    assert process.poll() is None, process.communicate()[0][-3000:]
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it is gone already
            if "fer_batch.media.decode_child" in child.cmdline():
                return child
    return None


def killed_and_replaced(folder):
    """A decoder is killed, and a clip is replaced after it was listed; the run that meets both, and its source."""
    source = folder / "source"
    clips = write_source(source)
    other = write_clips(folder / "other", n_clips=3, seed=9, n_frames=(30, 34), size=192)[1]
    with_key_frames(other)
    job = job_of(folder / "disturbed", source)
    run = job.start("--json")
    decoder = until(lambda: decoder_below(run), 240)
    os.replace(other, clips[1])
    decoder.kill()
    said = run.communicate(timeout=300)[0]
    return job, run.returncode, said


def unmounted(folder):
    """The source is gone while its clips are read, and comes back before the next run."""
    source, elsewhere = folder / "source", folder / "elsewhere"
    write_source(source)
    job = job_of(folder / "disturbed", source)
    run = job.start("--json")
    decoder = until(lambda: decoder_below(run), 240)
    decoder.suspend()
    os.rename(source, elsewhere)
    source.mkdir()  # as a mount point looks when nothing is mounted
    decoder.kill()
    said = run.communicate(timeout=300)[0]
    source.rmdir()
    os.rename(elsewhere, source)
    return job, run.returncode, said


def undisturbed_rows(job, folder):
    """Rows of a run of its own over the source as it is now."""
    source = yaml.safe_load(Path(job.path).read_text())["source"]["uri"]
    undisturbed = job_of(folder / "undisturbed", source)
    undisturbed.done(code=3)
    return rows_of(undisturbed.output)


pytestmark = pytest.mark.timeout(3600)  # what hangs is seen by what waits for it


@pytest.mark.faults
def test_a_killed_decoder_and_a_replaced_clip_beside_a_damaged_one(tmp_path, assert_same):
    job, code, said = killed_and_replaced(tmp_path)
    assert "1 input changed while being read" in said
    assert "reading them again" in said
    counts = json.loads(said.strip().splitlines()[-1])
    assert (code, counts["done"], counts["partial"], counts["failed"]) == (3, 2, 1, 0), said
    assert_same(undisturbed_rows(job, tmp_path), rows_of(job.output))
    frames = read(Store(job.output), "frames").to_pylist()
    lost = [row for row in frames if row["status"] == "decode_error"]
    assert {row["sequence_id"] for row in lost} == {row["sequence_id"] for row in frames if row["reason"]}
    assert [row["frame_index"] for row in lost] == list(range(KEY_EVERY + 1, 2 * KEY_EVERY))
    name, detections = lost[0]["sequence_id"], read(Store(job.output), "detections").to_pylist()
    seen = {row["frame_index"] for row in detections if row["sequence_id"] == name}
    assert seen.isdisjoint(range(KEY_EVERY + 1, 2 * KEY_EVERY)) and max(seen) > 2 * KEY_EVERY
    stages = [row for row in read(Store(job.output), "stages").to_pylist() if row["sequence_id"] == name]
    assert sum(row["n_missing_frames"] for row in stages) == len(lost)


@pytest.mark.faults
def test_a_source_that_is_unmounted_fails_no_input(tmp_path, assert_same):
    job, code, said = unmounted(tmp_path)
    assert code == 1, said
    (sentence,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "see that it is mounted" in sentence
    rows = read(Store(job.output), "sequences").to_pylist() if Path(job.output).exists() else []
    assert not any(row["status"] == "failed" for row in rows)
    job.done(code=3)
    assert_same(undisturbed_rows(job, tmp_path), rows_of(job.output))
    shutil.rmtree(tmp_path / "disturbed")
