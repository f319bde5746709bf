"""The job of a training is composed of the settings of its rooms, and each is answered with its key."""

import re

import pytest

from fer_batch.config import build_train
from fer_batch.models.known import known_network
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


def of_known(**network):
    return build_train({**JOB, "network": {"known": "vgg_face", "checkpoint": "vgg_face_dag.pth", **network}}, "job")


def test_a_published_network_says_what_the_section_leaves_out():
    record = known_network("vgg_face")
    found = of_known(preprocessing={"size": 112}).network
    assert (found.name, found.architecture, found.checkpoint) == ("vgg_face", "vgg_face", "vgg_face_dag.pth")
    assert found.key_map == record.build.key_map
    assert (found.preprocessing.size, found.preprocessing.std) == (112, record.preprocessing.std)
    assert of_known(architecture="vgg16").network.key_map is None


def test_a_published_network_is_the_same_training_as_its_keys_written_out():
    """The id of a training comes from the section as it is dumped."""
    found = of_known().network
    written = found.model_dump()
    assert "known" not in written
    assert build_train({**JOB, "network": written}, "job").network.model_dump() == written


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ({"known": "vgg_fcae"}, "network: unknown published network 'vgg_fcae'; did you mean 'vgg_face'?"),
        ({"known": "poster_rafdb"}, "no network here has the layout of poster_rafdb: IR-50"),
        ({"checkpoint": None}, "network: known: vgg_face needs checkpoint, the file of its weights"),
    ],
)
def test_a_published_network_that_cannot_start_a_training_is_refused(network, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        of_known(**network)
