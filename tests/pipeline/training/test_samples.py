"""Which crops are trained on."""

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.pipeline.training.samples import counts_sentence, read_samples, write_samples
from fer_batch.pipeline.training.shards import ROWS, Crops
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def test_crops_without_a_target_are_left_out_where_the_job_says_so(job, tmp_path, capsys):
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
    assert write_samples(config, store, Crops("crops", ("shard",), 48), "kept") == ("AU01",)
    assert read_samples(store, "kept")["row"].to_pylist() == [0]
    assert "1 of 2 crops show no target and are left out" in capsys.readouterr().err
    write_samples(job(targets=["AU01"]), store, Crops("crops", ("shard",), 48), "all")
    assert read_samples(store, "all")["row"].to_pylist() == [0, 1]


def class_rows(counts):
    """Crops by subject, class and input, and how many frames that has; in an order that is not theirs."""
    rows = [
        {"dataset": "a", "subject_id": who, "sequence_id": f"{who}/{name}", "split": None, "emotion": kind,
         "frame_index": frame, "targets": [], "intensity": [], "occurrence": []}
        for (who, kind, name), n in counts.items() for frame in range(n)
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(rows))
    return pa.Table.from_pylist([rows[i] for i in order], ROWS)


@pytest.mark.parametrize("n", [321, 7])
def test_every_subject_has_as_many_crops_of_each_class_as_asked_for_or_all_it_has(job, tmp_path, capsys, n):
    kinds = {
        "pain": {"PA3-1": 138, "PA4-2": 138, "PA4-7": 90},
        "disgust": {"d": 1500},
        "happiness": {"h": 321, "h2": 9},
    }
    counts = {(who, kind, name): many for who, (kind, clips) in itertools.product("pq", kinds.items())
              for name, many in clips.items()}  # fmt: skip
    counts["r", "pain", "PA3-9"] = 5  # too short a clip
    store = Store(str(tmp_path))
    store.put("crops/shard.parquet", encode(class_rows(counts)))
    config = job(head="softmax", targets=list(kinds), labels={"whole_inputs": True, "per_subject": n})
    write_samples(config, store, Crops("crops", ("shard",), 48), "kept")
    samples = read_samples(store, "kept").to_pylist()
    shown = [(row["subject_id"], list(kinds)[row["labels"].index(1)]) for row in samples]
    assert Counter(shown) == {**{(who, kind): n for who in "pq" for kind in kinds}, ("r", "pain"): 5}
    assert len({(row["sequence_id"], row["frame_index"]) for row in samples}) == len(samples)
    frames = sorted(row["frame_index"] for row in samples if row["sequence_id"] == "p/d")
    assert np.ptp(np.diff(frames)) <= 1  # evenly spaced
    said = capsys.readouterr().err
    assert f"{6 * n + 5} of {sum(counts.values())} crops are kept, at most {n} of each subject and class" in said
    found = counts_sentence(read_samples(store, "kept"), list(kinds))
    others = ", ".join(f"{kind} {n} of 2 subjects" for kind in ("disgust", "happiness"))
    assert found == f"crops per subject: pain 5 to {n} of 3 subjects, {others}"


def test_a_number_of_crops_of_each_class_is_for_classes(job):
    with pytest.raises(InputError, match=r"labels\.per_subject.*head: softmax"):
        job(labels={"per_subject": 3})
