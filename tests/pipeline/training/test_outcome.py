"""What is said of a training before and after."""

import pyarrow as pa

from fer_batch.pipeline.explaining.units import Unit
from fer_batch.pipeline.training.listing import Source
from fer_batch.pipeline.training.outcome import TrainOutcome, announce, use_line
from fer_batch.types import SequenceRef

TARGETS = ("AU01", "AU26", "AU27")


def listed(kind):
    ref = SequenceRef("a", kind, "a", 1, "1", files=("a/1.png",) if kind == "image_sequence" else ())
    return [Source("a", (Unit("u", (ref,), ("u",)),), None)]


def test_the_line_to_use_the_network_cuts_faces_as_its_training_did(job):
    usual = use_line(job(), listed("video"), "best.safetensors")
    assert usual == (
        "fer-batch run jobs/clips.yaml --set model.checkpoint=best.safetensors --set source.uri=DIR --output OUT"
    )
    assert use_line(job(faces={"detector": "dataset"}), listed("video"), "best.safetensors") == usual
    other = use_line(job(faces={"align": "eyes", "margin": 0.4, "detector": "none"}), listed("still"), "b c.pt")
    assert "run jobs/stills.yaml --set model.checkpoint='b c.pt' --set faces.align=eyes --set faces.margin=0.4" in other
    assert "--set faces.detector=none" in other
    larger, same = (use_line(job(faces={"size": side}), listed("video"), "best.safetensors") for side in (256, 48))
    assert "--set faces.size=256" in larger and same == usual
    assert "--set source.format=image_sequences" in use_line(job(), listed("image_sequence"), "best.pt")


def test_frames_without_a_face_are_told_by_reason_and_nothing_is_said_where_they_were_not_counted(job, capsys):
    samples = pa.table({"dataset": ["a"], "subject_id": ["a:1"]})
    outcome = TrainOutcome({}, [], TARGETS, "m", frames={"face_too_small": 4, "no_face": 12, "ok": 224})
    announce(job(), samples, [], outcome)
    assert "16 of 240 frames show no usable face (face_too_small 4, no_face 12)" in capsys.readouterr().err
    for frames in ({}, {"ok": 9}):
        announce(job(), samples, [], TrainOutcome({}, [], TARGETS, "m", frames=frames))
        assert "usable" not in capsys.readouterr().err
