import numpy as np
import pyarrow as pa
import pytest

from fer_batch.sources.crops import crop_rows, list_crops
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import annotations_of, read_truth, truth_record
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SIZE = 4
ROWS = [("a", "clip", 0), ("a", "clip", 2), ("b", "clip", 0), ("b", "face.png", 0)]  # dataset, sequence, frame


@pytest.fixture
def crops(tmp_path):
    store = Store(str(tmp_path / "crops"))
    with store.staged("s.npy") as local, open(local, "wb") as file:
        np.lib.format.write_array(file, np.zeros((len(ROWS), SIZE, SIZE, 3), np.uint8))
    rows = [
        {"dataset": d, "sequence_id": s, "frame_index": f, "subject_id": f"{d}:1", "emotion": "fear", "split": None}
        for d, s, f in ROWS
    ]
    store.put("s.parquet", encode(pa.Table.from_pylist(rows)))
    kinds = [("a", "clip", "video"), ("b", "clip", "image_sequence"), ("b", "face.png", "still")]
    inputs = [{"dataset": d, "sequence_id": s, "kind": k} for d, s, k in kinds]
    store.put("inputs.parquet", encode(pa.Table.from_pylist(inputs)))
    store.put("crops.json", dump({"shards": ["s"], "size": SIZE}))
    return store


def chosen(store, rows):
    path = f"{store.uri}/../chosen.parquet"
    Store(f"{store.uri}/..").put("chosen.parquet", encode(pa.Table.from_pylist(rows)))
    return path


def test_all_crops_of_several_datasets_have_ids_of_their_own(crops):
    refs = list_source("crops", crops.uri)
    assert [(ref.sequence_id, ref.kind, ref.crops, ref.subject_id) for ref in refs] == [
        ("a/clip", "image_sequence", (0, 1), "a:1"),
        ("b/clip", "image_sequence", (2,), "b:1"),
        ("b/face.png", "still", (3,), "b:1"),
    ]
    assert [row["frame_index"] for row in crop_rows(refs[0])] == [0, 2]


def test_what_is_chosen_is_listed_in_the_order_of_its_frames(crops):
    path = chosen(
        crops, [{"row": 1, "sequence_id": "x", "frame_index": 2}, {"row": 0, "sequence_id": "x", "frame_index": 0}]
    )
    (ref,) = list_crops(crops.uri, (), chosen=path)
    assert (ref.sequence_id, ref.crops, ref.kind) == ("x", (0, 1), "image_sequence")


def test_another_choice_is_another_version(crops):
    one = chosen(crops, [{"row": 1, "sequence_id": "x", "frame_index": 2}])
    first = next(iter(list_crops(crops.uri, (), chosen=one)))
    other = chosen(crops, [{"row": 0, "sequence_id": "x", "frame_index": 0}])
    assert next(iter(list_crops(crops.uri, (), chosen=other))).version != first.version


def test_labels_are_read_for_each_input_on_its_own(crops):
    labels = [
        {"sequence_id": "a/clip", "frame_index": 0, "target": "pain", "occurrence": True},
        {"sequence_id": "a/clip", "frame_index": 2, "target": "pain", "occurrence": False},
        {"sequence_id": "b/clip", "frame_index": 0, "target": "pain", "occurrence": True},
    ]
    crops.put("truth.parquet", encode(pa.Table.from_pylist(labels)))
    refs = list_source("crops", crops.uri, (), {"truth": crops.path("truth.parquet")})
    assert read_truth(refs[0]).present() == {0: ["pain"]}
    rows = annotations_of(truth_record(refs[0])).to_pylist()
    assert [(row["frame_index"], row["occurrence"]) for row in rows] == [(0, True), (2, False)]
    assert read_truth(refs[2]).annotations.num_rows == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chosen": "nowhere.parquet"}, "source.options.chosen: 'nowhere.parquet' cannot be read"),
        ({"choose": "x"}, "has no option 'choose'; did you mean 'chosen'"),
    ],
)
def test_what_is_wrong_is_one_sentence(crops, options, words):
    with pytest.raises(InputError, match=words):
        list_source("crops", crops.uri, (), options)


def test_a_choice_without_numbers_is_refused(crops):
    path = chosen(crops, [{"sequence_id": "x", "frame_index": 0}])
    with pytest.raises(InputError, match="lacks the column 'row'"):
        list_source("crops", crops.uri, (), {"chosen": path})
