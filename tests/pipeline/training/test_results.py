"""What a study gets of a training: for every fold its network, its card, and what it answered its test people."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_batch.models.card import ModelSpec, resolve
from fer_batch.models.checkpoint import load
from fer_batch.models.preprocess import preprocess
from fer_batch.pipeline.training.outcome import TrainOutcome
from fer_batch.pipeline.training.results import TESTED, fold_results
from fer_batch.training.data import Shards
from fer_batch.types import InputError


def test_every_fold_has_a_network_that_answers_its_own_people_as_the_table_says(train_classes, tmp_path):
    store, outcome = train_classes(tmp_path)
    folds = fold_results(outcome)
    assert [fold.fold for fold in folds] == [0, 1]
    images = Shards(outcome.crops.files(store))
    seen = []
    for fold, marker in zip(folds, outcome.folds, strict=True):
        table = fold.samples
        assert table.schema == TESTED
        assert set(table["subject_id"].to_pylist()) == set(marker["subjects"]["test"])
        assert not set(table["subject_id"].to_pylist()) & set(marker["subjects"]["train"])
        resolved = resolve(ModelSpec(checkpoint=fold.checkpoint))
        assert resolved.card.metrics["fold"] == fold.fold
        assert json.loads(Path(fold.card).read_bytes())["digest"] == resolved.weights_digest
        logits = load(resolved)(preprocess(images[table["row"].to_numpy()], resolved.preprocessing)).detach().numpy()
        np.testing.assert_allclose(np.array(table["logits"].to_pylist()), logits, atol=1e-4)
        shown = [outcome.targets[label] for label in table["label"].to_pylist()]
        assert shown == table["emotion"].to_pylist()
        assert [row.index(1) for row in table["labels"].to_pylist()] == table["label"].to_pylist()
        confusion = np.zeros((3, 3), int)
        np.add.at(confusion, (table["label"].to_numpy(), logits.argmax(1)), 1)
        np.testing.assert_array_equal(confusion, marker["confusion"])
        seen += table["row"].to_pylist()
    assert sorted(seen) == list(range(len(images)))  # every crop is tested once
    assert outcome.folder.startswith("_train/") and outcome.crops.folder == "_crops/made"


def test_networks_that_were_not_kept_are_asked_for(train_classes, tmp_path):
    _, outcome = train_classes(tmp_path, keep_models="best")
    with pytest.raises(InputError, match=r"fold 0 was not kept.*keep_models: all"):
        fold_results(outcome)
    _, outcome = train_classes(tmp_path, keep_models="all")  # no fold is trained again
    assert len(fold_results(outcome)) == 2
    with pytest.raises(ValueError, match="not done"):
        fold_results(TrainOutcome({}, [], (), "m"))


def test_one_fold_is_the_best_one(train_classes, tmp_path):
    _, outcome = train_classes(tmp_path, keep_models="best", split={"kind": "holdout", "test": 0.34})
    (fold,) = fold_results(outcome)
    assert fold.checkpoint == outcome.checkpoint and fold.samples.num_rows == 12
