"""Which column of a manifest is which, and which are not read."""

import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch.sources import manifest
from fer_batch.sources.listing import list_source
from fer_batch.sources.manifest_table import unread_columns
from fer_batch.storage.store import Store
from fer_batch.types import InputError


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_a_table_with_other_names(store):
    store.put("pics/14_f_happy.jpg", b"x")
    store.put("norms.csv", b"File,Person,Norm,Action unit 6\npics/14_f_happy.jpg,F14,Happy,3\n")
    columns = {"path": "File", "subject_id": "Person", "emotion": "Norm", "AU06": "Action unit 6"}
    (ref,) = list_source("manifest", store.url("norms.csv"), (), {"columns": columns})
    assert (ref.subject_id, ref.emotion, ref.size) == ("F14", "happiness", 1)
    assert ref.labels == (("happiness", 1.0), ("AU06", 3.0))
    assert ref.raw_labels == (("happiness", "Happy"),)
    with pytest.raises(InputError, match="has no column 'Filename'; did you mean 'File'"):
        list_source("manifest", store.url("norms.csv"), (), {"columns": {"path": "Filename"}})
    with pytest.raises(InputError, match="'emotionn' is no column of a manifest; did you mean 'emotion'"):
        list_source("manifest", store.url("norms.csv"), (), {"columns": columns | {"emotionn": "Norm"}})
    with pytest.raises(InputError, match="emotion and split are both 'Norm'; expected one of them"):
        list_source("manifest", store.url("norms.csv"), (), {"columns": columns | {"split": "Norm"}})


def test_a_column_that_is_chosen_goes_before_one_of_our_name(store):
    store.put("norms.csv", b"path,emotion,Norm\n1.jpg,wrong,Sad\n")
    (ref,) = list_source("manifest", store.url("norms.csv"), (), {"columns": {"emotion": "Norm"}})
    assert ref.emotion == "sadness"
    assert unread_columns(store.url("norms.csv"), {"emotion": "Norm"}) == "columns not read: emotion"


def test_columns_that_nobody_reads_are_named(store):
    def unread(header):
        store.put("m.csv", header.encode() + b"\n1.jpg" + b"," * header.count(",") + b"\n")
        return unread_columns(store.url("m.csv"), {})

    assert unread("path,Subject,emotoin,AU1,AU 12,AU12_c,note") == (
        "columns not read: Subject (did you mean subject_id?), emotoin (did you mean emotion?), "
        "AU 12 (did you mean AU12?), AU12_c, note"
    )
    assert unread("path,x0") == "columns not read: x0 (landmarks need all of x0..x67, y0..y67)"
    assert unread(",".join(("path", *manifest.POINTS[:-1]))).startswith("columns not read: x0 and 134 more (landmarks")
    assert unread(",".join(("path", *manifest.POINTS))) is None
    assert unread("path," + ",".join(f"q{i}" for i in range(20))).endswith("q11 and 8 more")
    table = pa.table({"path": ["1.jpg"], "Emotion": ["happy"]})
    pq.write_table(table, (sink := pa.BufferOutputStream()))
    store.put("m.parquet", sink.getvalue().to_pybytes())
    assert unread_columns(store.url("m.parquet"), {}) == "columns not read: Emotion (did you mean emotion?)"
