"""A training whose crops are shown in the surroundings of others, from landmarks of crops to its tables and card."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from fer_batch.pipeline.training.kept import check_kept, swap_of
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.samples import read_samples
from fer_batch.pipeline.training.train import training_identity
from fer_batch.pipeline.training.worker import _fold_training
from fer_batch.regions import kept_masks, standard_face
from fer_batch.types import InputError

SIDE = 32
FACE = standard_face()[0] * [SIDE / 224, SIDE / 275]
NAMED = {
    "targets": ["sadness", "disgust", "happiness"],
    "labels": {"whole_inputs": True, "classes": {"pain": "sadness"}},
}
SWAP = {"keep": "face", "share": 0.5}
TARGETS = ("AU12", "AU11", "AU04")


def test_what_is_kept_is_of_the_landmarks_of_each_sample_and_of_no_label(job, collection, tmp_path):
    points = [FACE, None, FACE + 2, FACE - 1]  # samples are in the reverse order
    for labels in (np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32)):
        store, crops, samples = collection(tmp_path, labels, points)
        for keep, targets in (("regions", ("AU12", "AU04")), ("face", None)):
            config = job(swap_outside={"keep": keep, "share": 0.25})
            swap = swap_of(FoldJob(store.uri, "f", config, crops, TARGETS, 0), store, samples)
            expected = kept_masks(np.stack([FACE - 1, FACE + 2, FACE]), targets, (SIDE, SIDE))
            np.testing.assert_allclose(swap.kept[np.array([0, 1, 3])], expected, atol=1e-6)
            assert np.isinf(swap.kept[np.array([2])]).all()
            assert swap.share == 0.25
    assert swap_of(FoldJob(store.uri, "f", job(), crops, TARGETS, 0), store, samples) is None


def test_how_many_crops_are_changed_is_said_and_none_is_refused(job, collection, tmp_path, capsys):
    labels = np.zeros((3, 2), np.float32)
    store, crops, samples = collection(tmp_path, labels, [FACE, FACE, None])
    config = job(swap_outside={"keep": "regions"})
    check_kept(config, store, crops, samples, ("AU12", "AU11"))
    said = "".join(capsys.readouterr())
    assert "there is no region of AU11; what is kept are those of AU12" in said
    assert "2 of 3 crops have landmarks; the others are shown as they are" in said
    with pytest.raises(InputError, match=r"none of the targets AU11, smile has a region.*keep: face"):
        check_kept(config, store, crops, samples, ("AU11", "smile"))
    check_kept(job(swap_outside={}), store, crops, samples, ("AU11", "smile"))  # the whole face has no need of them
    store, crops, samples = collection(tmp_path, labels, [None] * 3)
    with pytest.raises(InputError, match=r"needs landmarks, and none of the 3 crops has any.*faces\.detector: dlib"):
        check_kept(config, store, crops, samples, ("AU12", "AU11"))
    check_kept(job(swap_outside={"share": 0}), store, crops, samples, ("AU12", "AU11"))


def test_a_training_says_it_in_its_tables_and_on_its_card_and_none_is_the_training_without(train_classes, tmp_path):
    store, outcome = train_classes(tmp_path / "a", swap_outside=SWAP, **NAMED)
    _, plain = train_classes(tmp_path / "a", **NAMED)
    _, none = train_classes(tmp_path / "a", swap_outside={**SWAP, "share": 0}, **NAMED)
    assert outcome.model != plain.model and "recipe custom + swap outside face x 0.5" in outcome.table
    card = json.loads(store.read_bytes(f"checkpoints/{outcome.model}/best.json"))
    assert card["metrics"]["swap_outside"] == {"keep": "face", "share": 0.5, "margin": 0.04}
    swapped, bare, same = (
        safetensors.torch.load(store.read_bytes(f"checkpoints/{o.model}/best.safetensors"))
        for o in (outcome, plain, none)
    )
    assert all(torch.equal(bare[name], same[name]) for name in bare)
    assert not all(torch.equal(bare[name], swapped[name]) for name in bare)


def test_a_fold_that_was_stopped_goes_on_with_the_same_swaps(train_classes, tmp_path):
    store, whole = train_classes(tmp_path / "whole", swap_outside=SWAP, **NAMED)
    job = whole.jobs[0]
    samples = read_samples(store, job.folder)
    first = _fold_training(job, store, samples, torch.device("cpu"))
    first.run_epoch()
    second = _fold_training(job, store, samples, torch.device("cpu"))
    second.restore(first.state())
    second.run_epoch()
    for name, tensor in safetensors.torch.load(store.read_bytes(job.path(".safetensors"))).items():
        assert torch.equal(second.model.state_dict()[name], tensor), name


def test_a_job_without_the_section_is_the_training_that_it_was(job, collection, tmp_path):
    _, crops, _ = collection(tmp_path, np.zeros((1, 1), np.float32), [FACE])
    assert "swap_outside" not in training_identity(job(), crops)
    assert training_identity(job(swap_outside={}), crops)["swap_outside"]["keep"] == "face"
