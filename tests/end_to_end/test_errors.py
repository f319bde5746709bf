"""What a person asks wrongly is answered in one clear line, and small cases have small right results."""

import importlib.util
import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from fer_batch import cli
from fer_batch.cli.group import EXAMPLES
from fer_batch.config import read_jobs
from fer_batch.types import STATUSES

JOB = """
name: posed
source: {{format: videos, uri: {source}}}
output: {output}
model: {{checkpoint: demo}}
faces: {{detector: {detector}}}
"""


@pytest.fixture
def job(tmp_path, posed_clips):
    """Writes a job file with changes; gives its path."""

    def write(source=posed_clips, detector="dataset", output=None, extra=""):
        path = tmp_path / "job.yaml"
        text = JOB.format(source=source, output=output or tmp_path / "out", detector=detector)
        path.write_text(text + extra)
        return str(path)

    return write


def said(capsys, *arguments, code=1):
    """What a command says that must end with one line of error."""
    assert cli.main(list(arguments)) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def test_a_missing_job_file(capsys):
    assert "'nothing.yaml' does not exist" in said(capsys, "run", "nothing.yaml")


def test_a_missing_source(job, capsys):
    assert "source.uri '/no/such/folder' does not exist" in said(capsys, "run", job(source="/no/such/folder"))


def test_a_source_without_media(job, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    sentence = said(capsys, "run", job(source=tmp_path / "empty"))
    assert "no videos in" in sentence
    assert "'notes.txt'" in sentence


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("modle: {}\n", "unknown key 'modle'; did you mean 'model'?"),
        ("spray: {ruel: eigengap}\n", "unknown key 'spray.ruel'; did you mean 'rule'?"),
        ("spray: {rule: eigen}\n", "spray.rule"),
        ("explain: {batch_size: 0}\n", "explain.batch_size"),
    ],
)
def test_a_wrong_key_names_the_nearest(job, capsys, extra, expected):
    assert expected in said(capsys, "run", job(extra=extra))


def test_an_unknown_format_and_method_name_the_nearest(job, capsys):
    assert "did you mean 'videos'" in said(capsys, "run", job(), "--set", "source.format=video")


def test_a_missing_checkpoint(job, capsys):
    assert "does not exist" in said(capsys, "run", job(), "--set", "model.checkpoint=/no/weights.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output(job, capsys, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "cannot write to output" in said(capsys, "run", job(output=locked / "out"))


def test_an_output_below_a_file(job, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write to output" in said(capsys, "run", job(output=tmp_path / "file" / "out"))


def test_a_missing_landmarks_extra(job, capsys, tmp_path, posed_clips, monkeypatch):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(next(iter(sorted(posed_clips.rglob("*.mp4")))), bare / "a.mp4")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name in ("dlib", "face_recognition_models") else find(name, *a),
    )
    sentence = said(capsys, "run", job(source=bare, detector="dlib"))
    assert "fer_batch[landmarks]" in sentence
    assert "faces.detector: none" in sentence


def test_an_output_that_is_none(capsys, tmp_path):
    assert "is no output of fer-batch" in said(capsys, "status", str(tmp_path))
    assert "is no output of fer-batch" in said(capsys, "query", str(tmp_path), "temporal_prototypes")


def test_a_wrong_query_says_what_duckdb_says(capsys, reference):
    assert "temporal_prototypes" in said(capsys, "query", str(reference), "select * from temporal_prototype")
    assert "did you mean 'temporal_prototypes'" in said(capsys, "query", str(reference), "temporal_prototype")


def test_a_wrong_option_of_a_command_is_exit_code_1(capsys):
    assert cli.main(["run", "--nonsense"]) == 1
    assert cli.main(["nonsense"]) == 1


@pytest.mark.parametrize("command", sorted(EXAMPLES))
def test_every_help_shows_an_example(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert f"fer-batch {command}" in capsys.readouterr().out.split("Example")[1]


def test_overrides_reach_the_job(job):
    (config,) = read_jobs(job(), ("source.sampling.fps=5", "explain.targets=[AU01, AU12]", "name=other"), output="x")
    assert (config.source.sampling.fps, config.explain.targets, config.name, config.output) == (
        5.0,
        ("AU01", "AU12"),
        "other",
        "x",
    )


def test_a_dry_run_writes_nothing(job, capsys, tmp_path):
    assert cli.main(["run", job(), "--dry-run"]) == 0
    assert "6 inputs (video)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def cut_off(path):
    """Write the first half of a clip of 20 frames; the second half."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
        for image in np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3)).astype(np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content[len(content) // 2 :]


@pytest.mark.slow
def test_one_frame_and_no_active_frame_have_small_right_results(make_job_here, tmp_path, helpers):
    """A GIF of one frame; frames without any face; a network whose threshold nothing reaches."""
    source = tmp_path / "odd"
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(source / "one.gif")
    Image.fromarray(noise).save(source / "several.gif", save_all=True, append_images=[Image.fromarray(noise[::-1])] * 3)
    (source / "broken.mp4").write_bytes(b"this is no video")
    (source / "empty.mp4").write_bytes(b"")
    (source / "._fork.mp4").write_bytes(b"x")
    tail = cut_off(source / "cut.mkv")
    job = make_job_here(source, model={"checkpoint": "demo", "threshold": 0.999999}, faces={"detector": "none"})
    outcome = job.done(code=3)
    assert [outcome[name] for name in ("found", *STATUSES)] == [6, 1, 2, 2, 1]
    partials = {row["sequence_id"]: row["reason"] for row in outcome["partials"]}
    assert partials.keys() == {"cut.mkv", "several.gif"}
    assert partials["several.gif"].startswith("ended after 1 frames, 2 declared"), "FFmpeg does not find its second"
    stories = {row["sequence_id"]: row for row in helpers.rows(job.output, "temporal_prototypes").to_pylist()}
    assert (stories["one.gif"]["text"], stories["one.gif"]["reduction"]) == ("(NONE)", 0.0)
    assert (stories["several.gif"]["text"], stories["several.gif"]["n_stages"]) == ("(NONE)", 1)
    assert 3 < stories["cut.mkv"]["n_frames"] < 20
    assert helpers.rows(job.output, "relevance").num_rows == 0
    reasons = {row["sequence_id"]: row["reason"] for row in helpers.rows(job.output, "sequences").to_pylist()}
    assert reasons["empty.mp4"] == "the file is empty (0 bytes)"
    assert "resource fork" in reasons["._fork.mp4"]
    again = job.run()
    assert again.returncode == 3, "failed inputs stay failed until they change or are retried"
    assert "nothing to do" in again.stderr
    (source / "broken.mp4").write_bytes((source / "one.gif").read_bytes())
    assert job.done(code=3)["failed"] == 1
    with open(source / "cut.mkv", "ab") as file:
        file.write(tail)
    assert job.done(code=3)["partial"] == 1


@pytest.mark.slow
def test_a_wrong_checkpoint_shape_ends_the_run_in_one_line(posed_clips, make_job_here, tmp_path):
    import torch

    from fer_batch.models.backbone import build
    from fer_batch.models.card import Card
    from fer_batch.models.checkpoint import save

    targets = ("AU01", "AU02", "AU04")
    module = build("resnet18", 3, {"width": 0.25})
    module.fc = torch.nn.Linear(module.fc.in_features, 5)
    card = Card(name="wrong", architecture="resnet18", options={"width": 0.25}, targets=targets)
    save(module, tmp_path / "wrong.safetensors", card)
    job = make_job_here(posed_clips, model={"checkpoint": str(tmp_path / "wrong.safetensors")})
    job.environment["FER_BATCH_TRACEBACK"] = ""
    finished = job.run()
    assert finished.returncode == 1
    error = next(line for line in finished.stderr.splitlines() if line.startswith("error:"))
    assert "fc.weight" in error
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("explain.method=gradcam", "did you mean 'grad_cam'"),
        ("explain.options.epsilom=1", "epsilom"),
    ],
)
def test_a_wrong_method_or_option_is_told_before_anything_starts(job, capsys, tmp_path, setting, words):
    assert words in said(capsys, "run", job(), "--dry-run", "--set", setting)
    assert words in said(capsys, "run", job(), "--set", setting)
    assert not (tmp_path / "out" / "tables").exists()


@pytest.mark.slow
def test_a_bad_annotation_file_fails_its_clip_and_no_other(posed_clips, make_job_here, tmp_path, helpers):
    source = tmp_path / "clips"
    shutil.copytree(posed_clips, source)
    bad, _, *others = sorted(source.rglob("*.annotations.csv"))
    for path in others:
        path.with_name(path.name.replace("annotations.csv", "mp4")).unlink()
    bad.write_text("frame;target;intensity\n0;AU01;2\n")
    job = make_job_here(source)
    outcome = job.done(code=3)
    assert (outcome["done"], outcome["failed"]) == (1, 1)
    assert "expected the columns frame_index, target" in outcome["failures"][0]["reason"]
    job.done("--set", "phases=[report]", code=3)
    assert list((tmp_path / "out").glob("report/**/index.html")), "a report asked for later is drawn later"
