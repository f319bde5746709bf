"""The driver of a training: how folds share a machine, what is refused before anything starts, what is printed."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.torch import save_file

from fer_batch.config import build_train, read_train_job
from fer_batch.models.backbone import build
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.pipeline.training.classes import class_figures, class_lines
from fer_batch.pipeline.training.data import Crops, Source
from fer_batch.pipeline.training.tables import best_fold, f1_table, fold_lines, mean_accuracy, means
from fer_batch.pipeline.training.train import (
    TrainOutcome,
    _announce,
    _check_network,
    _check_parts,
    _write_samples,
    layout,
    train,
    training_identity,
    use_line,
)
from fer_batch.pipeline.training.worker import make_network, make_recipe, read_samples
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.training.metrics import confusion
from fer_batch.training.splits import given
from fer_batch.types import InputError, SequenceRef

TARGETS = ("AU01", "AU26", "AU27")
JOBS = Path(__file__).parents[3] / "jobs"


def job(**more):
    network = {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}}
    return build_train(
        {
            "kind": "train",
            "name": "test",
            "sources": [{"dataset": "a", "uri": "x"}],
            "output": "out",
            **more,
            "network": {**network, **more.get("network", {})},
        },
        "test",
    )


def marker(fold, f1, without=(), tested="a"):
    return {"fold": fold, "f1": f1, "without_positives": list(without), "n_samples": {"test": {tested: 4}}}


MARKERS = [
    marker(0, [0.5, None, None]),
    marker(1, [0.75, 0.25, None], ["AU27"]),
    marker(2, [0.25, 0.5, None], ["AU27"]),
]


def test_the_table_has_targets_as_columns_and_counts_the_folds_behind_every_mean():
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


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "expected"),
    [
        ({}, 2, 0, (2, 1, 1, 0)),
        ({"folds_at_once": 1}, 4, 0, (1, 1, 4, 0)),
        ({"workers": 2}, 4, 0, (2, 2, 1, 0)),
        ({"workers": 4}, 4, 0, (1, 4, 1, 0)),
        ({}, 16, 4, (4, 1, 4, 1)),
        ({"num_gpus": 0.5}, 16, 1, (2, 1, 8, 0.5)),
        ({"workers": 2}, 32, 8, (4, 2, 4, 1)),
        ({}, 64, 0, (20, 1, 3, 0)),
    ],
)
def test_folds_run_beside_each_other_as_far_as_there_is_room(resources, cpus, gpus, expected):
    found = layout(job(resources=resources), 20, cpus, gpus)
    assert (found.at_once, found.workers, found.cpus, found.gpus) == expected


def test_more_than_there_is_is_refused():
    with pytest.raises(InputError, match="ask for 2 GPUs, Ray has 1"):
        layout(job(resources={"workers": 2, "num_gpus": 1}), 5, 8, 1)
    with pytest.raises(InputError, match=r"resources\.workers is 4, Ray has 2 CPUs"):
        layout(job(resources={"workers": 4}), 5, 2, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": {"architecture": "resnet81"}}, "'resnet81' is unknown; did you mean 'resnet18'"),
        ({"network": {"options": {"widht": 1}}}, r"^network\.options do not fit resnet18"),
        ({"network": {"options": {"width": "abc"}}}, r"^network\.options\.width must be a number, got 'abc'$"),
        ({"recipe": {"optimizer": "adm"}}, "recipe: unknown optimizer 'adm'; did you mean 'adam'"),
        ({"recipe": {"augment": "face"}}, "recipe: unknown augmentation 'face'; did you mean 'faces'"),
        ({"recipe": {"augment": "flip", "augment_options": {"p": 1}}}, "augment_options do not fit flip"),
        ({"recipe": {"l2": 1e-4, "l2_layers": ["head."]}}, "no weights of the network are named head"),
        ({"recipe": {"trainable": ["head."]}}, "nothing of the network is named head.*its parts are"),
        ({"network": {"architecture": "vgg_face", "options": {}, "preprocessing": {"size": 112}}},
         "does not take images of 112 pixels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_starts(change, said):
    with pytest.raises(InputError, match=said):
        _check_network(job(**change), len(TARGETS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"optimizer": "adm"}}, "did you mean 'adam'"),
        ({"network": {"architecture": "resnet81"}}, "did you mean 'resnet18'"),
        ({"network": {"options": {"width": "abc"}}}, r"network\.options\.width must be a number"),
        ({"recipe": {"trainable": ["head."]}}, "nothing of the network is named head"),
        ({"network": {"checkpoint": "CODE"}}, "wants to run code"),
        ({"network": {"checkpoint": "OTHER"}}, "conv1"),
        ({}, "split: leave-one-subject-out needs two subjects, got 1"),
        ({"split": {"kind": "given"}}, "column split of a manifest.*got 0 and 0"),
        ({"split": {"kind": "folds", "k": 3}}, "split: folds of subjects need a dataset of two subjects or more"),
    ],
)
def test_what_is_wrong_is_said_before_the_data_are_read(change, said, tmp_path):
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


def test_weights_that_are_not_there_and_tensorboard_that_is_not_installed(tmp_path):
    with pytest.raises(InputError, match="does not exist; the program downloads no weights"):
        _check_parts(job(network={"checkpoint": str(tmp_path / "vgg_face.safetensors")}))
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(InputError, match=r"pip install 'fer_batch\[tensorboard\]'"):
            _check_parts(job(tensorboard=True))


def test_a_pretrained_file_fills_all_but_the_last_layer(tmp_path):
    import safetensors.torch
    import torch

    torch.manual_seed(0)
    source = build("resnet18", 5, {"width": 0.125})
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = make_network(job(network={"checkpoint": str(path)}).network, 3)
    for name, tensor in model.state_dict().items():
        assert name.startswith("fc.") or torch.equal(tensor, source.state_dict()[name]), name
    assert model.fc.weight.shape[0] == 3


def test_what_changes_a_result_changes_the_training_and_nothing_else_does():
    crops = Crops("_crops/1", ("shard-00000",), 48)
    base = training_identity(job(), crops)
    assert training_identity(job(resources={"folds_at_once": 1}, keep_models="all", tensorboard=True), crops) == base
    for change in ({"seed": 1}, {"recipe": {"epochs": 3}}, {"targets": ["AU01"]}, {"resources": {"workers": 2}},
                   {"labels": {"present_from": 1}}, {"split": {"kind": "folds"}},
                   {"network": {"options": {"width": 0.25}}}):  # fmt: skip
        assert training_identity(job(**change), crops) != base, change
    assert training_identity(job(), Crops("_crops/2", (), 48)) != base


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


def test_a_network_is_named_after_its_architecture_where_the_job_does_not_name_it():
    assert job().network.name == "resnet18"
    assert job(network={"architecture": "torchvision:resnet50"}).network.name == "torchvision-resnet50"
    assert job(network={"name": "mine"}).network.name == "mine"
    assert job(network={"architecture": None, "factory": "my.networks:small"}).network.name == "my.networks-small"
    published = JOBS / "train_sh.yaml"
    overrides = ("network.architecture=alexnet", *(f"sources.{i}.uri=d{i}" for i in range(3)))
    assert read_train_job(published, overrides, "out").network.name == "alexnet"


def listed(kind):
    ref = SequenceRef("a", kind, "a", 1, "1", files=("a/1.png",) if kind == "image_sequence" else ())
    return [Source("a", (Unit("u", (ref,), ("u",)),), None)]


def test_the_line_to_use_the_network_cuts_faces_as_its_training_did():
    usual = use_line(job(), listed("video"), "best.safetensors")
    assert usual == (
        "fer-batch run jobs/clips.yaml --set model.checkpoint=best.safetensors --set source.uri=DIR --output OUT"
    )
    assert use_line(job(faces={"detector": "dataset"}), listed("video"), "best.safetensors") == usual
    other = use_line(job(faces={"align": "eyes", "margin": 0.4, "detector": "none"}), listed("still"), "b c.pt")
    assert "run jobs/stills.yaml --set model.checkpoint='b c.pt' --set faces.align=eyes --set faces.margin=0.4" in other
    assert "--set faces.detector=none" in other
    assert "--set source.format=image_sequences" in use_line(job(), listed("image_sequence"), "best.pt")


def test_accuracy_of_a_softmax_head_is_told_and_action_units_have_none():
    several = [{**one, "accuracy": value} for one, value in zip(MARKERS, (0.5, 1.0, None), strict=True)]
    assert fold_lines(TARGETS, several)[0] == "accuracy .75, mean over 2 folds"
    assert mean_accuracy(MARKERS) is None


def test_a_training_of_classes_has_its_report_and_confusion_over_all_folds():
    classes = ("fear", "joy")
    folds = [{**MARKERS[0], "confusion": matrix} for matrix in ([[3, 1], [0, 2]], [[1, 1], [0, 0]])]
    lines = class_lines([*folds, MARKERS[1]], classes)  # the last is of an earlier version
    cells = [line.split() for line in lines]
    assert ["fear", "1.000", ".667", ".800", "6"] in cells
    # precision of joy is 2 of 4; weighted by 6 and 2
    assert ["weighted", "by", "n", ".875", ".750", ".767", "8"] in cells
    assert ["fear", ".667", "(4)", ".333", "(2)", "6"] in cells
    assert lines[1] == "report over the test parts of 2 folds"
    figures = class_figures(folds[0], classes)
    assert [row["value"] for row in figures if row["metric"] == "recall"] == [0.75, 1.0]
    assert {row["metric"] for row in figures} >= {"confusion", "f1_weighted"}
    assert "f1" not in {row["metric"] for row in figures}, "every training has those already"
    assert class_lines(MARKERS, TARGETS) == class_figures(MARKERS[0], TARGETS) == []
    logits = np.array([[2, 1], [0, 1], [3, 0]], np.float32)
    assert confusion(logits, np.array([[1, 0], [1, 0], [np.nan, np.nan]])).tolist() == [[1, 1], [0, 0]]


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


def test_crops_without_a_target_are_left_out_where_the_job_says_so(tmp_path, capsys):
    rows = pa.table(
        {
            **{name: ["a"] * 3 for name in ("dataset", "subject_id", "sequence_id", "split", "emotion")},
            "frame_index": [0, 1, 2],
            "targets": [["AU01"], ["AU01"], ["AU02"]],
            "intensity": pa.array([[None]] * 3, pa.list_(pa.float32())),
            "occurrence": [[True], [False], [True]],
        }
    )
    store = Store(str(tmp_path))
    store.put("crops/shard.parquet", encode(rows))
    config = job(targets=["AU01"], labels={"only_present": True})
    assert _write_samples(config, store, Crops("crops", ("shard",), 48), "kept") == ("AU01",)
    assert read_samples(store, "kept")["row"].to_pylist() == [0]
    assert "1 of 2 crops show no target and are left out" in capsys.readouterr().err
    _write_samples(job(targets=["AU01"]), store, Crops("crops", ("shard",), 48), "all")
    assert read_samples(store, "all")["row"].to_pylist() == [0, 1]


def test_frames_without_a_face_are_told_by_reason_and_nothing_is_said_where_they_were_not_counted(capsys):
    samples = pa.table({"dataset": ["a"], "subject_id": ["a:1"]})
    outcome = TrainOutcome({}, [], TARGETS, "m", frames={"face_too_small": 4, "no_face": 12, "ok": 224})
    _announce(job(), samples, [], outcome)
    assert "16 of 240 frames show no usable face (face_too_small 4, no_face 12)" in capsys.readouterr().err
    for frames in ({}, {"ok": 9}):
        _announce(job(), samples, [], TrainOutcome({}, [], TARGETS, "m", frames=frames))
        assert "usable" not in capsys.readouterr().err


def test_a_refusal_names_the_keys_of_a_training_and_leaves_names_of_files_alone():
    with pytest.raises(InputError, match=r"^network: factory 'model\.factory:build' cannot be imported"):
        make_network(job(network={"architecture": None, "factory": "model.factory:build"}).network, 3)
