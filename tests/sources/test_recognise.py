"""Which dataset a folder is, or is a part of."""

import json

import pytest

from fer_batch.sources.listing import list_source
from fer_batch.sources.recognise import dataset_around, recognise
from fer_batch.sources.tree import Tree
from fer_batch.sources.truth import read_truth


@pytest.mark.parametrize("root", ["human_annotated", ""])
@pytest.mark.parametrize("splits", [("train_set", "validation_set"), ("train_set",)])
def test_affectnet_plus_given_from_the_inside(tree, jpg, root, splits):
    folders = [f"{root}/{split}".lstrip("/") for split in splits]
    files = {f"{folder}/images/1.jpg": jpg for folder in folders}
    files |= {f"{folder}/annotations/1.json": json.dumps({"human-label": 1}) for folder in folders}
    uri = tree(files)
    assert recognise(Tree(uri)) == ["affectnet_plus"]
    refs = list_source("affectnet_plus", uri)
    assert [ref.sequence_id for ref in refs] == [f"{folder}/images/1.jpg" for folder in folders]
    assert [read_truth(ref).emotion for ref in refs] == ["happiness"] * len(splits)


@pytest.mark.parametrize("deep", ["", "/train_set", "/train_set/images"])
@pytest.mark.parametrize(
    ("name", "other", "label"),
    [("affectnet_plus", "validation_set", ".json"), ("affectnet_npy", "val_set", "_exp.npy")],
)
def test_a_split_of_either_release_is_a_part_of_it(tmp_path, name, other, label, deep):
    root = tmp_path / "two" / "human_annotated"
    for split in ("train_set", other):
        for file in ("images/1.jpg", f"annotations/1{label}"):
            (root / split / file).parent.mkdir(parents=True, exist_ok=True)
            (root / split / file).touch()
    assert dataset_around(f"{root}{deep}") == (name, str(root))


def test_clips_beside_a_dataset_are_no_part_of_it_nor_of_what_is_around(tmp_path):
    for file in ("all/ck/cohn-kanade-images/S005/001/S005_001_00000001.png", "all/ck/mine/a.mp4"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert dataset_around(str(tmp_path / "all/ck/mine")) is None
    assert dataset_around(str(tmp_path / "all/ck/cohn-kanade-images")) == ("ck_plus", str(tmp_path / "all/ck"))
