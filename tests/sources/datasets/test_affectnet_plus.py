"""AffectNet+: JSON whose keys vary."""

import json

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth


def test_json_whose_keys_vary(tree, jpg, columns):
    one = {"human-label": 6, "soft-label": [0.1] * 8, "valence": -0.5, "arousal": 0.5, "age": 30, "Subset": 2}
    other = {"Human_Label": "2", "Metadata": {"Race": "x"}, "landmarks": list(range(136)), "valence": -2}
    files = {
        "AffectNet+/human_annotated/train_set/images/1.jpg": jpg,
        "AffectNet+/human_annotated/train_set/annotations/1.json": json.dumps(one),
        "AffectNet+/human_annotated/validation_set/images/2.jpg": jpg,
        "AffectNet+/human_annotated/validation_set/annotations/2.json": json.dumps(other),
        "AffectNet+/human_annotated/validation_set/images/3.jpg": jpg,
        "AffectNet+/no_human_annotated/images/4.jpg": jpg,
    }
    uri = tree(files)
    first, second, bare = list_source("affectnet_plus", uri)
    truth = read_truth(first)
    assert columns(truth.annotations, "target", "intensity") == [
        ("anger", None),
        ("valence", -0.5),
        ("arousal", 0.5),
        ("age", 30.0),
        ("metadata", None),
    ]
    kept = json.loads(truth.annotations["raw"].to_pylist()[-1])
    assert kept == {"soft_label": [0.1] * 8, "subset": 2}
    truth = read_truth(second)
    assert truth.emotion == "sadness"
    assert truth.points[0][1].tolist() == [2, 3]
    assert json.loads(truth.annotations["raw"].to_pylist()[-1])["race"] == "x"
    assert read_truth(bare).annotations.num_rows == 0
    assert (first.split, bare.split) == ("train", "val")
    assert len(list_source("affectnet_plus", uri, (), {"unlabelled": True})) == 4
