"""Ids that published outputs carry: equal jobs keep them, whatever the settings classes are called."""

import pytest

from fer_batch.config import build, build_train
from fer_batch.models.card import Preprocessing, ResolvedModel
from fer_batch.pipeline.analysis.key import analysis_key
from fer_batch.pipeline.explaining.units import explain_key
from fer_batch.pipeline.training.listing import crop_key
from fer_batch.pipeline.training.shards import Crops
from fer_batch.pipeline.training.train import training_identity
from fer_batch.storage.manifest import digest

RUN = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
CHANGED_RUN = {
    **RUN,
    "source": {"uri": "in", "sampling": {"fps": 5, "start_s": 1, "max_frames": 9}},
    "faces": {"choose": "tracked", "align": "eyes", "margin": 0},
    "explain": {"method": "gradient", "targets": "annotated", "options": {"batch_size": 4, "n": 3}},
    "labels": {"present_from": 1},
    "spray": {"tau": 1, "n_neighbors": 7},
    "temporal_prototypes": {"min_run": 2, "max_pattern": 4},
    "regions": "none",
}
TRAINING = {
    "kind": "train",
    "name": "t",
    "sources": [{"dataset": "a", "uri": "x"}],
    "output": "out",
    "network": {"architecture": "resnet18"},
}
CHANGED_TRAINING = {
    **TRAINING,
    "sources": [{"dataset": "a", "uri": "x", "sampling": {"slots": 3, "per_slot": 2}}],
    "seed": 3,
    "head": "softmax",
    "targets": ["fear", "joy"],
    "labels": {"present_from": 1, "whole_inputs": True, "classes": {"PA3": "pain"}},
    "recipe": {
        "id": "r",
        "epochs": 3,
        "learning_rate": 1,
        "augment": "flip",
        "augment_options": {"p": 1},
        "patience": 2,
        "schedule": "step",
    },
    "split": {"kind": "holdout", "test": 0.3, "validation": 0.1, "tested": "a"},
    "network": {"factory": "m:f", "options": {"w": 1}, "fresh": ["fc."]},
    "faces": {"detector": "dataset", "size": 64},
}
MODEL = ResolvedModel(
    name="n",
    architecture="resnet18",
    factory=None,
    options={},
    key_map=None,
    head="multilabel",
    targets=("AU01",),
    threshold=0.5,
    preprocessing=Preprocessing(),
    uri="u",
    weights_digest="0",
    digest="0" * 64,
)


# Those of explanations and trainings were computed when each section of a job was still a class of `fer_batch.config`.
@pytest.mark.parametrize(
    ("values", "explain", "analysis", "first_analysis", "whole"),
    [
        (RUN, "145fc950df70c84b", "bd8703782edda434", "f2df2bc17a26b9c1", "fc57651e7f20a9d1"),
        (CHANGED_RUN, "d9ed5bd0f3abb16c", "88a3620e3e7fe618", "51a769d221cea652", "3361bfbd6ebc97ee"),
    ],
    ids=["defaults", "changed"],
)
def test_ids_of_a_run(values, explain, analysis, first_analysis, whole):
    config = build(values, "job")
    assert digest(explain_key(config, MODEL)) == explain
    assert (analysis_key(config), analysis_key(config, 1)) == (analysis, first_analysis)
    later = {
        "episodes": True,
        "media": True,
        "source": {"allow"},
        "resources": {"device", "price_per_hour"},
    }  # what came later
    dumped = config.model_dump(mode="json", exclude=later)
    dumped["resources"].update(actors=1, window=2000)  # the defaults then; actors: now too where there are no GPUs
    assert digest(dumped) == whole


@pytest.mark.parametrize(
    ("values", "training", "crops", "whole"),
    [
        (TRAINING, "aea6c77b247b75aa", "27283a111f9ebe09", "47e903a5de67602a"),
        (CHANGED_TRAINING, "ab87cfd1b15127c9", "e534b114fdd415d7", "c336eb1523db7c33"),
    ],
    ids=["defaults", "changed"],
)
def test_ids_of_a_training(values, training, crops, whole):
    config = build_train(values, "job")
    assert digest(training_identity(config, Crops("_crops/x", (), 64))) == training
    assert crop_key(config.faces, config.sources[0], 64) == crops
    later = {"sources": {"__all__": {"allow"}}, "resources": {"device"}}  # what came later
    dumped = config.model_dump(mode="json", exclude=later)
    dumped["resources"]["window"] = 2000  # the default then
    assert digest(dumped) == whole
