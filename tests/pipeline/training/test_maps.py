"""A training that is aligned, from landmarks of crops to its tables and card."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from fer_batch.pipeline.training.maps import check_maps, landmarks_of, maps_of
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.samples import read_samples
from fer_batch.pipeline.training.worker import _fold_training
from fer_batch.regions import expression_maps, standard_face, unit_maps
from fer_batch.types import InputError

SIDE = 32
FACE = standard_face()[0] * [SIDE / 224, SIDE / 275]
ALIGN = {"layers": ["layer2"], "weight": 3.0}
NAMED = {
    "targets": ["sadness", "disgust", "happiness"],
    "labels": {"whole_inputs": True, "classes": {"pain": "sadness"}},
}


def test_maps_are_of_the_class_of_the_crop_and_of_the_units_that_it_is_annotated_with(job, collection, tmp_path):
    points = [FACE, None, FACE + 2, FACE - 1]  # samples are in the reverse order
    classes = ("fear", "neutral", "disgust")
    store, crops, samples = collection(tmp_path, np.eye(3, dtype=np.float32)[[0, 2, 2, 1]], points)
    for variant in ({}, {"codebook": "emfacs_sh"}, {"disgust_release": True}):
        config = job(head="softmax", targets=list(classes), align={**ALIGN, **variant})
        maps = maps_of(FoldJob(store.uri, "f", config, crops, classes, 0), store, samples)
        found = maps[np.array([1, 0, 2, 3])]
        book = {"codebook": "martinez"} | variant
        expected = expression_maps(np.stack([FACE + 2, FACE - 1]), ["disgust", "fear"], (SIDE, SIDE), **book)
        np.testing.assert_array_equal(found[:2], expected)
        assert np.isinf(found[2]).all() and np.isinf(found[3]).all()  # no landmarks; neutral
    targets = ("AU12", "AU11", "AU04")
    labels = np.array([[1, 0, 1], [0, 1, np.nan], [1, np.nan, 0], [np.nan, 1, 1]], np.float32)
    store, crops, samples = collection(tmp_path, labels, points)
    config = job(align={**ALIGN, "maps": "units"})
    found = maps_of(FoldJob(store.uri, "f", config, crops, targets, 0), store, samples)[np.arange(4)]
    expected = unit_maps(np.stack([FACE - 1, FACE]), [{12, 4}, {4}], (SIDE, SIDE))
    np.testing.assert_array_equal(found[[0, 3]], expected)
    assert np.isinf(found[[1, 2]]).all()  # a unit without an ellipse; no landmarks


def test_how_many_crops_have_a_map_is_said_and_none_is_refused(job, collection, tmp_path, capsys):
    labels = np.array([[1, 0], [0, 1], [0, 0], [1, 1]], np.float32)
    store, crops, samples = collection(tmp_path, labels, [FACE, FACE, FACE, None])
    config = job(align={**ALIGN, "maps": "units"})
    check_maps(config, store, crops, samples, ("AU12", "AU11"))
    said = capsys.readouterr()
    said = said.out + said.err
    assert "there is no ellipse for AU11" in said
    assert "1 of 4 crops have a map; 2 show nothing to look at, 1 have no landmarks" in said
    with pytest.raises(InputError, match="none of the 4 crops shows a unit that has an ellipse"):
        check_maps(config, store, crops, samples, ("AU11", "smile"))
    store, crops, samples = collection(tmp_path, labels, [None] * 4)
    assert np.isnan(landmarks_of(crops, store, samples)).all()
    with pytest.raises(InputError, match=r"needs landmarks, and none of the 4 crops has any.*faces\.detector: dlib"):
        check_maps(config, store, crops, samples, ("AU12", "AU11"))
    check_maps(job(align={**ALIGN, "maps": "units", "weight": 0}), store, crops, samples, ("AU12", "AU11"))


def test_a_training_that_is_aligned_says_so_in_its_tables_and_on_its_card(train_classes, tmp_path):
    store, outcome = train_classes(tmp_path / "a", align=ALIGN, recipe={"augment": "cutmix"}, **NAMED)
    _, plain = train_classes(tmp_path / "a", **NAMED)
    assert outcome.model != plain.model and "recipe custom + attention x 3" in outcome.table
    card = json.loads(store.read_bytes(f"checkpoints/{outcome.model}/best.json"))
    assert card["metrics"]["align"] == {
        "to": "attention", "maps": "expression", "codebook": "martinez", "disgust_release": False,
        "layers": ["layer2"], "weight": 3.0, "reduce": "sum",
    }  # fmt: skip
    for marker in outcome.folds:
        assert all(0 < epoch["train/alignment"] < 1 for epoch in marker["history"])
    both = [
        safetensors.torch.load(store.read_bytes(f"checkpoints/{o.model}/best.safetensors")) for o in (outcome, plain)
    ]
    assert {k: v.shape for k, v in both[0].items()} == {k: v.shape for k, v in both[1].items()}


def test_a_fold_that_was_stopped_goes_on_aligned(train_classes, tmp_path):
    store, whole = train_classes(tmp_path / "whole", align=ALIGN, **NAMED)
    job = whole.jobs[0]
    samples = read_samples(store, job.folder)
    first = _fold_training(job, store, samples, torch.device("cpu"))
    first.run_epoch()
    second = _fold_training(job, store, samples, torch.device("cpu"))
    second.restore(first.state())
    second.run_epoch()
    for name, tensor in safetensors.torch.load(store.read_bytes(job.path(".safetensors"))).items():
        assert torch.equal(second.model.state_dict()[name], tensor), name
