"""Shipped trainings on datasets in their own layout: AffectNet's official split, people in two parts of BioVid."""

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fer_batch.cli import main
from fer_batch.models.card import read_card
from fer_batch.output.query import connect
from fer_batch.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("engine")]
JOBS = Path(__file__).parents[2] / "jobs"
SIDE = 48
TINY = {
    "network.architecture": "resnet18",
    "network.checkpoint": "null",
    "network.options": "{width: 0.125}",
    "network.preprocessing": f"{{size: {SIDE}}}",
    "recipe.epochs": "2",
    "recipe.batch_size": "8",
    "recipe.l2": "0",
    "faces.detector": "none",
    "resources.num_cpus": "1",
    "resources.object_store_mb": "100",
}


def picture(kind, seed):
    """A picture whose bright band says of which class it is."""
    image = np.random.default_rng(seed).integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    image[8 * kind : 8 * kind + 8] += 180
    return image


@pytest.fixture
def train(capsys):
    """A function that runs a shipped job as the command does; gives its exit code, outcome and what it said."""

    def run(job, output, **settings):
        overrides = [part for key, value in {**TINY, **settings}.items() for part in ("--set", f"{key}={value}")]
        code = main(["train", str(JOBS / f"{job}.yaml"), "--json", "--output", str(output), *overrides])
        out, said = capsys.readouterr()
        return code, json.loads(out.strip().splitlines()[-1]) if code == 0 else {}, said

    return run


def affectnet(root):
    """The release in `.npy` files: 20 pictures of four classes to train on, eight of val."""
    for part, n in (("train_set", 20), ("val_set", 8)):
        for name in ("images", "annotations"):
            (root / part / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(picture(i % 4, i)).save(root / part / "images" / f"{i}.jpg")
            for kind, value in (("exp", str(i % 4)), ("val", 0.5), ("aro", "-0.5"), ("lnd", np.arange(136.0))):
                np.save(root / part / "annotations" / f"{i}_{kind}.npy", np.asarray(value))
    return root


def test_affectnet_is_judged_on_val_which_does_not_choose_the_epoch(tmp_path, train):
    settings = {"sources.0.uri": affectnet(tmp_path / "in"), "targets": "[neutral, happiness, sadness, surprise]"}
    settings |= {"split.validation": "0.2", "recipe.selection": "best_validation", "recipe.augment": "flip"}
    code, outcome, said = train("train_affectnet", tmp_path / "out", **settings)
    assert code == 0, said
    (fold,) = outcome["folds"]
    assert fold["n_samples"] == {"train": {"affectnet": 16}, "validation": {"affectnet": 4}, "test": {"affectnet": 8}}
    assert fold["stated"] == {"test": "val", "validation": "train"}
    (card,) = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("checkpoints/*/best.json"))
    for parts in (outcome, card["metrics"]):
        assert parts["measured_on"].startswith("the part 'val' that the sources state, as they state no part 'test'")
        assert parts["selected_on"] == "20 % of the subjects of the part 'train', held out with seed 0"
    assert all("/train_set/" in f"/{name}" for name in (who.partition(":")[2] for who in card["trained_subjects"]))
    connection = connect(Store(str(tmp_path / "out")))
    inputs = "predictions p JOIN sequences USING (sequence_id)"
    asked = f"SELECT split, count(DISTINCT p.sequence_id) FROM {inputs} GROUP BY split"
    judged = connection.execute(asked).fetchall()
    assert judged == [("val", 8)]
    (marker,) = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("_train/*/folds/000.json"))
    losses = [epoch["validation/loss"] for epoch in marker["history"]]
    assert marker["epoch"] == 1 + int(np.argmin(losses)), "the held-out share of train chooses"
    assert not any(key.startswith("test/") for epoch in marker["history"] for key in epoch)
    changed = {"recipe.patience": "3", "split.validation": "0"}
    code, _, said = train("train_affectnet", tmp_path / "out", **{**settings, **changed})
    assert code == 1
    assert "'val' is what is tested, as no part 'test' is stated; split.validation, such as 0.1" in said


def clip(path, kind, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIDE
        for i in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(kind, 10 * seed + i), format="rgb24")))
        container.mux(stream.encode())


def biovid(root):
    """Parts A and D: three people in both, one in A alone and one in D alone."""
    names = ["071309_w_21", "080314_m_25", "082014_w_24", "091809_w_43", "092009_m_54"]
    for index, who in enumerate(names):
        if index != 4:
            for number in (80, 90):  # one of them is enough
                clip(root / f"PartA/video/{who}/{who}-PA4-0{number + index}.mp4", 1, number + index)
            clip(root / f"PartA/video/{who}/{who}-BL1-0{70 + index}.mp4", 0, index)
        if index != 3:
            for kind, name in ((2, "disgust"), (3, "happy"), (1, "pain")):
                clip(root / f"PartD/video/{who}/{who}-{name}.mp4", kind, index + 10 * kind)
    return root


def test_a_person_in_two_parts_of_biovid_is_in_one_part_of_a_fold(tmp_path, train):
    root = biovid(tmp_path / "in")
    settings = {"sources.0.uri": root / "PartA", "sources.1.uri": root / "PartD", "split.k": "2"}
    settings["network.preprocessing.mean"] = "train"
    unnamed = {f"sources.{i}.subject_space": "null" for i in (0, 1)}
    code, _, said = train("train_pd", tmp_path / "out", **settings, **unnamed)
    assert code == 1 and "biovid_a and biovid_d both have the subject 'biovid:071309_w_21'" in said
    advice = re.search(r"give both one subject_space, such as (\w+)", said)
    followed = {f"sources.{i}.subject_space": advice[1] for i in (0, 1)}
    code, outcome, said = train("train_pd", tmp_path / "out", **settings, **followed)
    assert code == 0, said
    folds = outcome["folds"]
    markers = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("_train/*/folds/00?.json"))]
    tested = [set(marker["subjects"]["test"]) for marker in markers]
    assert len(folds) == 2 and not tested[0] & tested[1] and len(tested[0] | tested[1]) == 5
    for marker in markers:
        people = [set(marker["subjects"][part]) for part in ("train", "validation", "test")]
        assert sum(map(len, people)) == len(set.union(*people)) == 5
        shown = [dataset for part in marker["n_samples"].values() for dataset in part]
        assert set(shown) == {"biovid_a", "biovid_d"}
    shown = "SELECT dataset, target, count(DISTINCT sequence_id) FROM predictions WHERE occurrence"
    labels = connect(Store(str(tmp_path / "out"))).execute(f"{shown} GROUP BY ALL ORDER BY ALL")
    assert "crops per subject: pain 3 of 4 subjects, disgust 3 of 4 subjects, happiness 3 of 4 subjects" in said
    assert "biovid_d: 12 of 12 inputs have fewer than the 321 frames" in said
    cards = [read_card(str(path)) for path in sorted((tmp_path / "out").glob("checkpoints/*/fold-00?.json"))]
    assert len({card.preprocessing.mean for card in cards}) == 2 and min(cards[0].preprocessing.mean) > 0
    assert labels.fetchall() == [("biovid_a", "pain", 4), ("biovid_d", "disgust", 4), ("biovid_d", "happiness", 4)]
