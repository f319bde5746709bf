"""A training from its job on: what is refused before the data are read, and what makes it another one."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from fer_batch.config import read_train_job
from fer_batch.models.backbone import build
from fer_batch.pipeline.training.shards import Crops
from fer_batch.pipeline.training.train import train, training_identity
from fer_batch.pipeline.training.worker import make_recipe
from fer_batch.training.splits import given
from fer_batch.types import InputError

JOBS = Path(__file__).parents[3] / "jobs"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"optimizer": "adm"}}, "did you mean 'adam'"),
        ({"network": {"architecture": "resnet81"}}, "did you mean 'resnet18'"),
        ({"network": {"options": {"width": "abc"}}}, r"network: options\.width must be a number"),
        ({"recipe": {"trainable": ["head."]}}, "nothing of the network is named head"),
        ({"network": {"checkpoint": "CODE"}}, "wants to run code"),
        ({"network": {"checkpoint": "OTHER"}}, "conv1"),
        ({}, "split: leave-one-subject-out needs two subjects, got 1"),
        ({"split": {"kind": "given"}}, "column split of a manifest.*got 0 and 0"),
        ({"split": {"kind": "folds", "k": 3}}, "split: folds of subjects need a dataset of two subjects or more"),
    ],
)
def test_what_is_wrong_is_said_before_the_data_are_read(job, change, said, tmp_path):
    checkpoint = change.get("network", {}).get("checkpoint")
    if checkpoint:
        path = tmp_path / ("weights.pt" if checkpoint == "CODE" else "weights.safetensors")
        if checkpoint == "CODE":
            path.write_bytes(pickle.dumps({"weights": Path}))
        else:
            save_file(build("resnet18", 3, {"width": 0.25}).state_dict(), path)
        change = {"network": {"checkpoint": str(path)}}
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"no video: it would fail if it were decoded")
    source = {"dataset": "a", "uri": str(tmp_path / "clips"), "format": "videos", "subjects": "per_input"}
    output = tmp_path / "out"
    with pytest.raises(InputError, match=said):
        train(job(sources=[source], output=str(output), **change))
    assert not any(path.is_file() for path in output.rglob("*"))


def test_what_changes_a_result_changes_the_training_and_nothing_else_does(job):
    crops = Crops("_crops/1", ("shard-00000",), 48)
    base = training_identity(job(), crops)
    assert training_identity(job(resources={"folds_at_once": 1}, keep_models="all", tensorboard=True), crops) == base
    for change in ({"seed": 1}, {"recipe": {"epochs": 3}}, {"targets": ["AU01"]}, {"resources": {"workers": 2}},
                   {"labels": {"present_from": 1}}, {"split": {"kind": "folds"}},
                   {"align": {"maps": "units", "layers": ["layer4"]}},
                   {"network": {"options": {"width": 0.25}}}):  # fmt: skip
        assert training_identity(job(**change), crops) != base, change
    assert training_identity(job(), Crops("_crops/2", (), 48)) != base
    aligned = [
        job(align={"maps": "units", "layers": ["layer4"], **more}) for more in ({}, {"weight": 5}, {"to": "grad_cam"})
    ]
    assert len({str(training_identity(one, crops)) for one in aligned}) == 3
    classes = {"head": "softmax", "targets": ["a", "b"]}
    base = training_identity(job(**classes), crops)
    for change in ({"network": {"preprocessing": {"size": 48, "mean": "train"}}},
                   {"recipe": {"augment_validation": True}}, {"labels": {"per_subject": 5}}):  # fmt: skip
        assert training_identity(job(**classes, **change), crops) != base, change


def test_the_split_that_a_dataset_states_is_kept_and_checked():
    people = np.array(["a:1", "a:2", "a:3", "a:4"])
    (fold,) = given(["train", "test", "train", None], people, np.full(4, "a"))
    np.testing.assert_array_equal(fold.train, [0, 2])
    np.testing.assert_array_equal(fold.test, [1])
    (fold,) = given(["train", "test", "train", None], people, np.full(4, "a"), 0.5)
    assert len(fold.train) == len(fold.validation) == 1
    with pytest.raises(ValueError, match="subject 'a:1' is in the parts 'train' and 'test'"):
        given(["train", "test"], ["a:1", "a:1"], ["a", "a"])
    with pytest.raises(ValueError, match="expected samples to train and to test on, got 0 and 1"):
        given(["test"], ["a:1"], ["a"])


def test_a_network_is_named_after_its_architecture_where_the_job_does_not_name_it(job):
    assert job().network.name == "resnet18"
    assert job(network={"architecture": "torchvision:resnet50"}).network.name == "torchvision-resnet50"
    assert job(network={"name": "mine"}).network.name == "mine"
    assert job(network={"architecture": None, "factory": "my.networks:small"}).network.name == "my.networks-small"
    published = JOBS / "train_sh.yaml"
    overrides = ("network.architecture=alexnet", *(f"sources.{i}.uri=d{i}" for i in range(3)))
    assert read_train_job(published, overrides, "out").network.name == "alexnet"


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("train_vp", ("sources.0.uri=a", "sources.1.uri=b", "sources.1.exclude=[16]", "recipe.autocast=false")),
        ("train_pd", ("sources.0.uri=a", "sources.1.uri=b", "network.options.dropout=0.5", "recipe.l2=0")),
        ("train_pd", ("sources.0.uri=a", "sources.1.uri=b", "recipe.patience=null", "recipe.epochs=7")),
    ],
)
def test_the_variants_that_job_files_name_are_jobs(name, overrides):
    config = read_train_job(JOBS / f"{name}.yaml", overrides, "out")
    assert config.network.name == config.network.architecture
    make_recipe(config)
    if name == "train_vp":
        assert config.sources[1].exclude == ("16",)
        assert config.labels.level == 1
