"""What is printed of a training: F1 by target, and what a reader must know of it."""

import numpy as np
import pytest
import torch

from fer_batch.models.card import Preprocessing, read_card
from fer_batch.models.preprocess import preprocess
from fer_batch.pipeline.training.marker import preprocessing_of
from fer_batch.pipeline.training.results import fold_results
from fer_batch.pipeline.training.samples import read_samples
from fer_batch.pipeline.training.tables import best_fold, f1_table, fold_lines, mean_accuracy, means
from fer_batch.training.data import Shards

TARGETS = ("AU01", "AU26", "AU27")


def marker(fold, f1, without=(), tested="a"):
    return {"fold": fold, "f1": f1, "without_positives": list(without), "n_samples": {"test": {tested: 4}}}


MARKERS = [
    marker(0, [0.5, None, None]),
    marker(1, [0.75, 0.25, None], ["AU27"]),
    marker(2, [0.25, 0.5, None], ["AU27"]),
]


def test_the_table_has_targets_as_columns_and_counts_the_folds_behind_every_mean(job):
    text = f1_table(job(seed=3), "net-0123abcd", TARGETS, MARKERS)
    head, targets, row, folds = text.splitlines()
    assert head == "F1 on a, mean over 3 folds (leave_one_subject_out); recipe custom, seed 3, selection last"
    assert targets.split() == [*TARGETS, "mean"]
    assert row.split() == ["net-0123abcd", ".50", ".38", "-", ".44"]
    assert folds.split() == ["folds", "3", "2", "0"]
    mean, n = means(MARKERS)
    np.testing.assert_allclose(mean, [0.5, 0.375, np.nan])
    np.testing.assert_array_equal(n, [3, 2, 0])


def test_what_the_table_leaves_out_is_said():
    assert fold_lines(TARGETS, MARKERS) == [
        "left out of the mean, because the target is neither shown nor detected: AU26 1, AU27 3 folds",
        "AU27: no positive in the training part of fold 1, 2; weight 1, nothing learned",
    ]
    assert fold_lines(("AU01",), [marker(0, [0.5])]) == []


def test_the_best_fold_is_that_of_the_highest_mean_and_the_first_of_equals():
    assert best_fold(MARKERS) == 0
    assert best_fold([marker(0, [None]), marker(1, [0.1]), marker(2, [0.1])]) == 1


def test_accuracy_of_a_softmax_head_is_told_and_action_units_have_none():
    several = [{**one, "accuracy": value} for one, value in zip(MARKERS, (0.5, 1.0, None), strict=True)]
    assert fold_lines(TARGETS, several)[0] == "accuracy .75, mean over 2 folds"
    assert mean_accuracy(MARKERS) is None


def test_a_training_of_classes_leaves_what_its_tables_and_pages_need(train_classes, tmp_path):
    """Methods PD-b, PD-e: numbers of each fold's own training part in its card, and its figures in its marker."""
    network = {"preprocessing": {"size": 16, "mean": "train", "std": "train"}}
    store, outcome = train_classes(tmp_path, network=network, recipe={"l2": 1e-3, "l2_layers": ["fc."]})
    images, means_seen = Shards(outcome.crops.files(store)), set()
    samples = read_samples(store, outcome.folder)
    for fold, marker in zip(fold_results(outcome), outcome.folds, strict=True):
        card = read_card(fold.card)
        means_seen.add(card.preprocessing.mean)
        subjects = np.asarray(samples["subject_id"].to_pylist())
        own = samples["row"].to_numpy()[np.isin(subjects, marker["subjects"]["train"])]
        x = preprocess(images[own], card.preprocessing).double()
        assert x.mean((0, 2, 3)).abs().max() < 1e-4 and (x.std((0, 2, 3)) - 1).abs().max() < 1e-2
        labels = np.asarray(fold.samples["label"].to_pylist())
        logits = torch.tensor(fold.samples["logits"].to_pylist())
        assert marker["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, torch.tensor(labels))))
        assert marker["accuracy"] == pytest.approx(float((logits.numpy().argmax(1) == labels).mean()))
        keys = {"train/loss", "train/minimised", "train/accuracy", "train/learning_rate"}
        assert keys | {f"validation/{name}" for name in ("loss", "f1", "accuracy")} == set(marker["history"][-1])
    assert len(means_seen) == 2
    pictures = [store.read_bytes(f"checkpoints/{outcome.model}/{name}.png") for name in
                ("training", "confusion", "confusion_normalised")]  # fmt: skip
    assert all(data.startswith(b"\x89PNG") for data in pictures) and len(set(pictures)) == 3
    lines = outcome.table.splitlines()
    header = next(line for line in lines if "test loss" in line)
    assert header.split("  ")[-1].strip() == "validation accuracy"
    assert [line.split()[0] for line in lines[lines.index(header) + 1 :][:3]] == ["fold", "fold", "mean"]


def test_a_marker_of_an_earlier_version_has_the_preprocessing_of_its_job(job):
    config = job(network={"preprocessing": {"size": 48, "mean": [0.1, 0.2, 0.3]}})
    assert preprocessing_of(config, MARKERS[0]) == Preprocessing(size=48, mean=(0.1, 0.2, 0.3))
