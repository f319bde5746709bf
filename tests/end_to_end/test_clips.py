"""Clips with a multi-label network, from files to stories."""

import os
import subprocess
import sys
import time

import numpy as np
import pyarrow.compute as pc
import pytest

from fer_batch.posed.clips import write_clips
from fer_batch.prototypes.temporal import parse
from fer_batch.storage.store import Store

pytestmark = pytest.mark.slow


def test_every_clip_is_a_story(reference, helpers):
    sequences = helpers.rows(reference, "sequences")
    assert sequences["status"].to_pylist() == ["done"] * 6
    stories = helpers.rows(reference, "temporal_prototypes")
    assert stories["sequence_id"].to_pylist() == sequences["sequence_id"].to_pylist()
    for row in stories.to_pylist():
        assert len(parse(row["text"])) == row["n_stages"]
    frames = helpers.rows(reference, "frames")
    assert frames.num_rows == sum(sequences["n_frames"].to_pylist())
    assert sequences["n_frames"].to_pylist() == sequences["n_decoded"].to_pylist()


def test_detections_and_relevance_agree(reference, helpers):
    detections, relevance = helpers.rows(reference, "detections"), helpers.rows(reference, "relevance")
    active = detections.filter(detections["active"])
    keys = ["sequence_id", "frame_index", "target"]
    assert active.select(keys).to_pylist() == relevance.select(keys).to_pylist(), "one map per active detection"
    assert active["cluster"].null_count == 0
    assert pc.min(active["probability"]).as_py() >= 0.5
    scale = np.asarray(relevance["scale"])
    values = np.stack([np.asarray(v.values) for v in relevance["relevance"]])
    np.testing.assert_allclose(np.abs(values).max(1), 1.0, atol=1e-3)
    conservation = (values.sum(1) * scale) / np.asarray(active["logit"])
    np.testing.assert_allclose(conservation, np.asarray(active["conservation"]), atol=0.02)


def test_the_run_records_how_many_maps_do_not_add_up(reference, helpers):
    detections = helpers.rows(reference, "detections")
    found = np.asarray(detections.filter(detections["active"])["conservation"].drop_null())
    (row,) = (row for row in helpers.rows(reference, "runs").to_pylist() if row["n_explained"])
    assert row["n_explained"] == detections.filter(detections["active"]).num_rows
    assert row["n_unconserved"] == row["n_explained"] - ((found >= 0.2) & (found <= 2.0)).sum()
    assert row["conservation_median"] == pytest.approx(np.median(found))


def test_mu_is_filled_where_a_target_has_a_region(reference, helpers):
    detections = helpers.rows(reference, "detections")
    active = detections.filter(detections["active"])
    assert active["mu"].null_count < active.num_rows
    measured = active.filter(pc.is_valid(active["mu"]))
    assert 0 <= pc.min(measured["mu"]).as_py() <= pc.max(measured["mu"]).as_py() <= 1
    assert set(measured["regions_version"].to_pylist()) != {None}


def test_prototypes_are_means_of_their_members(reference, helpers):
    prototypes = helpers.rows(reference, "prototypes")
    detections, relevance = helpers.rows(reference, "detections"), helpers.rows(reference, "relevance")
    active = detections.filter(detections["active"])
    for row in prototypes.to_pylist()[:10]:
        chosen = pc.and_(
            pc.and_(pc.equal(active["sequence_id"], row["sequence_id"]), pc.equal(active["target"], row["target"])),
            pc.equal(active["cluster"], row["cluster"]),
        )
        maps = relevance.filter(chosen)
        assert maps.num_rows == row["n_frames"]
        scale = np.asarray(maps["scale"])[:, None]
        mean = (np.stack([np.asarray(v.values) for v in maps["relevance"]]) * scale).mean(0)
        np.testing.assert_allclose(np.asarray(row["relevance"]) * row["scale"], mean, atol=2e-3 * np.abs(mean).max())
        assert row["exemplar_jpeg"][:2] == b"\xff\xd8"


def test_running_again_does_nothing_quickly(posed_clips, make_job_here, copied):
    job = make_job_here(posed_clips, output=copied)
    before = {entry.path: entry.version for entry in Store(str(copied)).walk()}
    started = time.monotonic()
    finished = job.run()
    assert finished.returncode == 0, finished.stderr
    assert "nothing to do: 6 of 6" in finished.stderr
    assert time.monotonic() - started < 20
    assert {entry.path: entry.version for entry in Store(str(copied)).walk()} == before


def test_a_moved_source_redoes_nothing(posed_clips, make_job_here, copied, tmp_path):
    moved = tmp_path / "elsewhere"
    subprocess.run(["cp", "-a", str(posed_clips), str(moved)], check=True)
    finished = make_job_here(moved, output=copied).run()
    assert "nothing to do: 6 of 6" in finished.stderr


def test_a_changed_and_a_new_input_replace_and_add_rows(posed_clips, make_job_here, copied, helpers, tmp_path):
    source = tmp_path / "clips"
    subprocess.run(["cp", "-a", str(posed_clips), str(source)], check=True)
    other = write_clips(tmp_path / "other", n_clips=2, seed=9, n_frames=(18, 20), size=192, first_identity=7)
    first = sorted(path for path in source.rglob("*.mp4"))[0]
    changed = first.relative_to(source).as_posix()
    for path, target in ((other[0], first), (other[1], source / "new.mp4")):
        for suffix in (".mp4", ".annotations.csv", ".landmarks.csv"):
            os.replace(path.with_suffix(suffix), target.with_suffix(suffix))
    outcome = make_job_here(source, output=copied).done()
    assert (outcome["found"], outcome["done"], outcome["already_done"]) == (7, 7, 5)
    fresh = make_job_here(source, output=tmp_path / "fresh")
    fresh.done()
    helpers.assert_same_tables(tmp_path / "fresh", copied)
    assert changed in helpers.rows(copied, "sequences")["sequence_id"].to_pylist()


def test_a_new_analysis_needs_no_phase_1(posed_clips, make_job_here, copied, explained_copy, helpers):
    analysis = {"spray": {"rule": "eigengap", "n_neighbors": 2}, "regions": "none"}
    finished = make_job_here(posed_clips, output=copied, **analysis).run()
    assert finished.returncode == 0, finished.stderr
    assert "explain:" not in finished.stderr
    make_job_here(posed_clips, output=explained_copy, **analysis).done()
    for table in ("detections", "stages", "temporal_prototypes", "relevance", "frames"):
        assert helpers.rows(copied, table).equals(helpers.rows(explained_copy, table)), table
    ours, theirs = helpers.rows(copied, "prototypes"), helpers.rows(explained_copy, "prototypes")
    without = [name for name in ours.column_names if name != "exemplar_jpeg"]  # only old exemplars were kept
    assert ours.select(without).equals(theirs.select(without))


def test_threads_give_the_same_tables_as_ray(posed_clips, reference, explained_copy, make_job_here, helpers):
    resources = {"scheduler": "threads", "shard_units": 4}
    job = make_job_here(posed_clips, output=explained_copy, resources=resources)
    job.done()
    helpers.assert_same_tables(reference, job.output)


def test_evaluate_prints_f1_and_the_share_of_right_sets(copied):
    command = [sys.executable, "-m", "fer_batch.cli", "evaluate", str(copied)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "share of frames whose set of AUs is right" in printed
    assert "AU12" in printed
    assert "mean reduction" in printed
    assert list(copied.glob("tables/evaluation/**/*.parquet"))
