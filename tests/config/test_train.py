"""The job of a training is composed of the settings of its rooms, and each is answered with its key."""

import re

import pytest

from fer_batch.config import build_train
from fer_batch.training.settings import LabelSettings, RecipeSettings, SplitSettings
from fer_batch.types import InputError

JOB = {
    "kind": "train",
    "name": "t",
    "sources": [{"dataset": "a", "uri": "x"}],
    "output": "out",
    "network": {"architecture": "resnet18"},
}


def test_sections_are_the_settings_of_their_rooms():
    config = build_train({**JOB, "recipe": {"epochs": 3}, "split": {"k": 7}, "labels": {"present_from": 1}}, "job")
    assert (config.recipe, config.split) == (RecipeSettings(epochs=3), SplitSettings(k=7))
    assert config.labels == LabelSettings(present_from=1.0)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        ({"recipe": {"batch_size": 1}}, "recipe: batch_size must be a whole number >= 2, got 1"),
        ({"recipe": {"momentum": -1}}, "recipe: momentum must be a number >= 0, got -1.0"),
        ({"recipe": {"schedule": "cosine"}}, "recipe.schedule: input should be 'constant', 'step' or 'warm_cosine'"),
        ({"recipe": {"patience": 2}}, "set split.validation"),
        ({"split": {"test": 1}}, "split: test must be a share between 0 and 1, got 1.0"),
        ({"split": {"tested": "b"}}, "split.tested: no source is of dataset 'b'"),
        ({"labels": {"absent_to": 3}}, "labels: absent_to 3 must be below present_from 2"),
        ({"labels": {"whole_input": True}}, "unknown key 'labels.whole_input'; did you mean 'whole_inputs'?"),
        ({"faces": {"every": 0}}, "faces: every must be a whole number >= 1, got 0"),
        ({"faces": {"detector": "none", "choose": "all"}}, "faces: choose: all needs a detector"),
        (
            {"sources": [{"dataset": "a", "uri": "x", "sampling": {"stride": 2, "fps": 5}}]},
            "sources.sampling: stride 2 and fps 5.0 exclude each other",
        ),
        ({"head": "softmax"}, "targets of a softmax head are its classes"),
        ({"sources": []}, "sources must be one or more"),
        ({"sources": [{"dataset": "a"}]}, "name the folder of the data, for example --set sources.0.uri=DIR"),
        ({"sources": [{"dataset": "a", "uri": "x", "posed": {}}]}, "give either uri or posed, not both"),
        ({"sources": [{"dataset": "a", "uri": "x"}, {"dataset": "a", "uri": "y"}]}, "each a dataset of its own name"),
        ({"sources": [{"dataset": "a", "uri": "x", "formt": "y"}]}, "'sources.formt'; did you mean 'format'"),
        ({"network": {}}, "give exactly one of architecture and factory"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_sentence_with_the_key(section, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        build_train({**JOB, **section}, "job")
