"""Folds of a job: what cannot be split is refused before anything is decoded, and what the figures are of is said."""

import re

import pyarrow as pa
import pytest

from fer_batch.config import build_train
from fer_batch.pipeline.training.folds import check_workers, folds_of, left_out, parts_lines, parts_of
from fer_batch.pipeline.training.train import train
from fer_batch.types import InputError

STATED = {"test": "val", "validation": "train"}
ALONE = {"test": "val", "validation": ""}
WHOLE = {"test": "test", "validation": "val"}


def job(sources=({"dataset": "a", "uri": "x"},), output="out", **more):
    network = {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}}
    values = {"kind": "train", "name": "test", "sources": list(sources), "output": str(output), "network": network}
    return build_train({**values, **more}, "test")


def samples(*rows):
    """Of rows `(dataset, subject, split)`."""
    datasets, subjects, splits = zip(*rows, strict=True)
    return pa.table({"dataset": list(datasets), "subject_id": list(subjects), "split": pa.array(splits, pa.string())})


def test_a_fold_without_validation_people_is_refused_before_another_one_is_trained(tmp_path):
    """Of two people, one is tested and the other trained on; what would be decoded are no videos."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.mp4").write_bytes(b"no video")
    (tmp_path / "in" / "sequences.csv").write_text("path,subject_id\na.mp4,P001\nb.mp4,P002\n")
    source = {"dataset": "a", "uri": str(tmp_path / "in"), "format": "videos"}
    more = {"faces": {"detector": "none"}, "split": {"validation": 0.3}}
    said = r"^split: fold 0 \(a:P001\) has nobody to validate on, and recipe\.patience: 1 watches .*1 subject to train"
    with pytest.raises(InputError, match=said):
        train(job([source], tmp_path / "out", recipe={"patience": 1}, **more))
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_of_three_people_the_fold_that_tests_two_has_nobody_to_validate_on():
    split = {"kind": "folds", "k": 2, "validation": 0.5}
    rows = samples(("a", "a:1", None), ("a", "a:2", None), ("a", "a:3", None))
    first, second = folds_of(job(split=split), rows)
    assert (len(first.validation), len(second.validation)) == (0, 1)
    for recipe in ({"selection": "best_validation"}, {"patience": 2}):
        with pytest.raises(ValueError, match="fold 0 has nobody to validate on"):
            folds_of(job(split=split, recipe=recipe), rows)


def test_a_given_split_that_leaves_nothing_to_validate_on_says_what_to_set():
    rows = [("a", f"a:{i}", "train") for i in range(4)]
    watching = job(split={"kind": "given"}, recipe={"selection": "best_validation"})
    with pytest.raises(ValueError, match=r"'val' is what is tested, as no part 'test' is stated; split\.validation"):
        folds_of(watching, samples(*rows, ("a", "a:9", "val")))
    with pytest.raises(ValueError, match=r"the sources state no part 'val'; split\.validation, such as 0\.1"):
        folds_of(watching, samples(*rows, ("a", "a:9", "test")))
    held = job(split={"kind": "given", "validation": 0.25}, recipe={"selection": "best_validation"})
    (fold,) = folds_of(held, samples(*rows, ("a", "a:9", "val")))
    assert (len(fold.train), len(fold.validation), fold.test.tolist()) == (3, 1, [4])


def test_a_training_part_that_its_workers_cannot_share_is_refused():
    folds = folds_of(job(), samples(("a", "a:1", None), ("a", "a:1", None), ("a", "a:2", None)))
    check_workers(job(resources={"workers": 1}), folds)
    with pytest.raises(
        InputError, match=r"fold 0: a batch of 1 samples is shared by 2 resources\.workers; expected at most 1"
    ):
        check_workers(job(resources={"workers": 2}), folds)


def test_crops_that_are_in_no_part_are_counted():
    rows = samples(("a", "a:1", "train"), ("a", "a:2", "test"), ("a", "a:3", None), ("a", "a:4", "devel"))
    config = job(split={"kind": "given"})
    assert left_out(config, folds_of(config, rows), 4).startswith("2 of 4 crops are in none of the stated parts")
    sources = [{"dataset": name, "uri": name, "subject_space": "s"} for name in "ad"]
    rows = samples(("a", "s:1", None), ("a", "s:2", None), ("d", "s:1", None))
    config = job(sources, split={"tested": "a"})
    assert "datasets other than a show of the subject who is left out" in left_out(config, folds_of(config, rows), 3)
    config = job(sources, split={"tested": "s"})
    assert left_out(config, folds_of(config, rows), 3) == ""


@pytest.mark.parametrize(
    ("stated", "recipe", "validation", "measured", "selected"),
    [
        (STATED, {"selection": "best_validation"}, 0.05, "'val' .* no part 'test'", "5 % of .*'train', held out with"),
        (ALONE, {}, 0.0, "'val'", "no part: the last epoch$"),
        (ALONE, {"selection": "best_test"}, 0.0, "'val'", "the very part that the figures are of"),
        (WHOLE, {"patience": 2}, 0.0, "'test' that", "last epoch; .* ends by the part 'val'"),
        (None, {"selection": "best_validation"}, 0.2, "the test part of each fold", "20 % .* of the training part"),
    ],
)
def test_what_is_judged_and_what_chooses_is_said(stated, recipe, validation, measured, selected):
    kind = "given" if stated else "folds"
    config = job(split={"kind": kind, "validation": validation}, recipe=recipe)
    parts = parts_of(config, [{"stated": stated}])
    assert re.search(measured, parts.measured_on)
    assert re.search(selected, parts.selected_on)
    assert bool(parts_lines(config, parts)) == (kind == "given")
    assert parts_of(config, [{}]).measured_on == "the test part of each fold", "of an earlier version"
