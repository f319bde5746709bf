"""What a dry run tries: evenly over the inputs, never what is skipped, and frames from all over a clip."""

import av
import pytest

from fer_batch.config import build
from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.phases import Job, decode_options
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.trial_inputs import Group, first_frames, spaced, spread_frames, trial_inputs
from fer_batch.posed.clips import write_clips
from fer_batch.storage.store import Store


def test_spaced_values_are_even_and_away_from_the_ends():
    assert spaced(range(100), 4) == [12, 37, 62, 87]
    assert spaced([1, 2], 6) == [1, 2]
    assert spaced([], 3) == []


def kept(sampling, n, fps=25.0):
    sampler = sampling.sampler(n)
    return [k for k in range(n) if sampler.keeps(round(k / fps * 1e9))]


@pytest.mark.parametrize(
    "job", [Sampling(), Sampling(stride=2), Sampling(fps=5), Sampling(slots=3, per_slot=40), Sampling(start_s=2)]
)
def test_frames_to_try_are_from_all_over_the_clip(job):
    group = Group((), n_declared=300, fps=25.0)
    tried = kept(spread_frames(job, 6, group), 300)
    assert len(tried) == 6 and tried[-1] - tried[0] > 150
    together = kept(first_frames(job, 6, group), 300)
    assert len(together) == 6
    step = {"stride": job.stride, "fps": 5, "slots": 2}
    assert together[1] - together[0] == (step["fps"] if job.fps else step["slots"] if job.slots else job.stride)


def test_of_a_long_clip_only_the_beginning_is_decoded():
    tried = kept(spread_frames(Sampling(), 6, Group((), n_declared=90_000, fps=25.0)), 90_000)
    assert tried == [0, 100, 200, 300, 400, 500]


def trial(tmp_path, folder, n_groups=2, **source):
    values = {"name": "d", "source": {"uri": str(folder), **source}, "output": str(tmp_path / "out")}
    config = build({**values, "model": {"checkpoint": "demo"}, "faces": {"detector": "none"}}, "job")
    store = Store(config.output)
    plans = make_plans([config], store)
    return trial_inputs(plans, decode_options([Job(config, store, plans[0])]), 16, n_groups)


def test_frames_of_clips_are_those_of_their_headers(tmp_path):
    write_clips(tmp_path / "in", n_clips=3, seed=1, n_frames=(5, 9), size=64)
    (tmp_path / "in" / "empty.mp4").touch()
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video" * 10_000)  # the largest
    waiting, groups = trial(tmp_path, tmp_path / "in", 4, sampling={"stride": 2})
    assert (waiting.n_units, waiting.n_shards, waiting.share) == (5, 1, 1.0)
    assert len(waiting.sizes) == 4, "nothing is read of an empty file"
    declared = [group.n_declared for group in groups]
    assert declared[-1] is None and all(5 <= n <= 9 for n in declared[:-1])
    assert waiting.frames[:-1].tolist() == [-(-n // 2) for n in declared[:-1]]


@pytest.mark.parametrize("suffix", ["mkv", "ts", "flv"])
def test_frames_are_duration_times_rate_where_no_header_counts_them(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    with av.open(str(tmp_path / "in" / f"a.{suffix}"), "w") as out:
        stream = out.add_stream("flv" if suffix == "flv" else "mpeg2video", rate=25)
        stream.width = stream.height = 64
        for _ in range(50):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode())
    waiting, _ = trial(tmp_path, tmp_path / "in", 1, sampling={"stop_s": 1.0})
    assert waiting.frames.tolist() == [25]
    waiting, (clip,) = trial(tmp_path, tmp_path / "in", 1)
    assert 48 <= clip.n_declared <= 52 and waiting.frames.tolist() == [clip.n_declared]


def test_stills_are_tried_by_the_handful_and_come_in_packs(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(130):
        (tmp_path / "in" / f"{k:03d}.jpg").write_bytes(b"x" * (k + 1))
    waiting, groups = trial(tmp_path, tmp_path / "in", 3, format="images")
    assert (len(waiting.sizes), waiting.n_units, waiting.frames.sum()) == (130, 3, 130)
    assert [len(group.members) for group in groups] == [8, 8, 8]
    tried = [ref.sequence_id for group in groups for ref in group.members]
    assert len(set(tried)) == 24
