"""Sources become crops and labels: what is written, what it means, what goes on after a kill, what is refused."""

import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.config import build_train
from fer_batch.pipeline.training import data as training_data
from fer_batch.pipeline.training.data import (
    CropOptions,
    Crops,
    annotated_targets,
    class_labels,
    crop_unit,
    crops_folder,
    inferred_targets,
    list_sources,
    occurrence_labels,
    write_shard,
)
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_people
from fer_batch.storage.parquet import decode
from fer_batch.storage.store import Store
from fer_batch.training.data import Shards
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError

NAN = float("nan")


def job(output, *sources, **more):
    return build_train(
        {
            "kind": "train",
            "name": "test",
            "sources": list(sources),
            "output": str(output),
            "faces": {"detector": "dataset"},
            "network": {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}},
            **more,
        },
        "test",
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, size=96, plans=plan_people(2, 2, 12))
    (folder / "P001" / "broken.mp4").write_bytes(b"not a video")
    text = (folder / "sequences.csv").read_text() + "P001/broken.mp4,P001,\n"
    (folder / "sequences.csv").write_text(text)
    return folder


def cut(config, size=48):
    """What `prepare` does, in this process."""
    store = Store(config.output)
    sources = list_sources(config, size)
    folder, ids = crops_folder(sources), []
    for source in sources:
        for unit in source.units:
            options = CropOptions(store.uri, folder, source.dataset, source.decode)
            found = crop_unit({"unit": pickle.dumps(unit), "options": pickle.dumps(options)})
            assert found == {"n_inputs": 1, "fault": ""}
            ids.append(unit.unit_id)
    known = [decode(store.read_bytes(f"{folder}/units/{name}.parquet")).schema.metadata[b"frames"] for name in ids]
    assert all(status == "ok" for unit in known for statuses in json.loads(unit).values() for status in statuses)
    write_shard(store.uri, folder, "shard-00000", ids, size)
    return store, Crops(folder, ("shard-00000",), size)


def test_crops_labels_and_landmarks_are_those_of_the_clips(clips, tmp_path):
    store, crops = cut(job(tmp_path / "out", {"dataset": "a", "uri": str(clips)}))
    rows, images = crops.rows(store), Shards(crops.files(store))
    assert images.shape == (48, 48, 48, 3) and rows.num_rows == 48  # the broken one has none
    assert set(rows["subject_id"].to_pylist()) == {"a:P001", "a:P002"}
    assert np.asarray(rows["landmarks"].to_pylist()).shape == (48, 136)
    found = images[np.arange(48)]
    assert found.std((1, 2, 3)).min() > 10  # a face, not a grey square
    targets = annotated_targets(rows)
    assert targets[:3] == ["AU01", "AU02", "AU04"] and len(targets) == 16
    labels = occurrence_labels(rows, targets, LabelSettings())
    plans = {f"{plan.name}.mp4": plan for plan in plan_people(2, 2, 12) if plan.subject == 1}
    for row, (name, frame, who) in enumerate(
        zip(*(rows[k].to_pylist() for k in ("sequence_id", "frame_index", "subject_id")), strict=True)
    ):
        if who == "a:P002":
            intensity = plans[name.split("/")[1]].intensities[frame]
            expected = np.where(intensity >= 2, 1, np.where(intensity == 0, 0, np.nan))
            np.testing.assert_array_equal(labels[row], expected)


def test_the_folder_of_crops_changes_with_data_and_faces_and_not_with_what_is_learned(clips, tmp_path):
    source = {"dataset": "a", "uri": str(clips)}

    def folder(size=48, **more):
        return crops_folder(list_sources(job(tmp_path / "out", more.pop("source", source), **more), size))

    base = folder()
    assert folder(seed=3, recipe={"epochs": 2}, targets=["AU12"]) == base
    assert folder(size=64) != base
    assert folder(faces={"detector": "dataset", "margin": 0.3}) != base
    assert folder(source={**source, "sampling": {"stride": 2}}) != base
    assert folder(source={**source, "dataset": "b"}) != base


def rows_of(*labels, emotion=None):
    """Rows with labels `(target, intensity, occurrence)`."""
    return pa.table(
        {
            "targets": pa.array([[t for t, *_ in row] for row in labels], pa.list_(pa.string())),
            "intensity": pa.array([[i for _, i, _ in row] for row in labels], pa.list_(pa.float32())),
            "occurrence": pa.array([[o for *_, o in row] for row in labels], pa.list_(pa.bool_())),
            "emotion": pa.array(emotion or [None] * len(labels), pa.string()),
        }
    )


def test_the_stated_occurrence_decides_and_intensity_where_there_is_none_or_the_job_says_so():
    rows = rows_of(
        [("AU01", 3.0, True), ("AU04", None, True)],
        [("AU01", 1.0, None), ("AU04", None, False)],
        [("AU01", 0.0, False), ("AU04", None, None)],
        [("AU01", 2.0, None)],
        [("AU01", 1.0, True)],  # a trace that is stated as present, as CK+ and BP4D do
        [],
    )
    expected = [[1, 1], [NAN, 0], [0, NAN], [1, NAN], [1, NAN], [NAN, NAN]]
    np.testing.assert_array_equal(occurrence_labels(rows, ["AU01", "AU04"], LabelSettings()), expected)
    low = occurrence_labels(rows, ["AU04", "AU01"], LabelSettings(present_from=1.0))
    np.testing.assert_array_equal(low[:, 1], [1, 1, 0, 1, 1, NAN])
    high = occurrence_labels(rows, ["AU01"], LabelSettings(present_from=2.0))
    np.testing.assert_array_equal(high[:, 0], [1, NAN, 0, 1, NAN, NAN])  # the intensity, whatever is stated
    with pytest.raises(InputError, match="no source annotates 'AU02'; did you mean"):
        occurrence_labels(rows, ["AU02"], LabelSettings())


def test_datasets_with_other_units_leave_them_open():
    rows = rows_of([("AU01", None, True)], [("AU26", None, False)])
    np.testing.assert_array_equal(occurrence_labels(rows, ["AU01", "AU26"], LabelSettings()), [[1, NAN], [NAN, 0]])


def test_a_frame_s_class_is_its_own_or_that_of_its_whole_input():
    rows = rows_of(
        [("anger", None, True), ("AU04", 3.0, True)], [], [("fear", None, True), ("anger", None, True)], [],
        emotion=["fear", "fear", None, "boredom"],
    )  # fmt: skip
    whole = LabelSettings(whole_inputs=True)
    expected = [[1, 0], [0, 1], [NAN, NAN], [NAN, NAN]]
    np.testing.assert_array_equal(class_labels(rows, ["anger", "fear"], whole), expected)
    renamed = LabelSettings(whole_inputs=True, classes={"boredom": "fear"})
    np.testing.assert_array_equal(class_labels(rows, ["anger", "fear"], renamed)[3], [0, 1])
    with pytest.raises(InputError, match=r"annotated with the class 'joy'; known: anger, boredom, fear$"):
        class_labels(rows, ["anger", "joy"], whole)
    with pytest.raises(InputError, match=r"'fear'; frames have no class; labels\.whole_inputs: true .* \(fear\)$"):
        class_labels(rows_of([], emotion=["fear"]), ["fear"], LabelSettings())


def test_a_unit_that_met_a_fault_of_the_store_leaves_nothing(clips, tmp_path, monkeypatch):
    config = job(tmp_path / "out", {"dataset": "a", "uri": str(clips)})
    store, (source,) = Store(config.output), list_sources(config, 48)

    def failing(ref):
        raise training_data.StoreFault("the store is asleep")

    monkeypatch.setattr(training_data, "read_truth", failing)
    unit = next(unit for unit in source.units if "mixed" in unit.members[0].sequence_id)
    options = CropOptions(store.uri, "_crops/x", "a", source.decode)
    found = crop_unit({"unit": pickle.dumps(unit), "options": pickle.dumps(options)})
    assert found == {"n_inputs": 1, "fault": "the store is asleep"}
    assert not [name for name in store.names("_crops/x/units") if name.endswith(".parquet")]


def test_what_cannot_be_trained_on_is_refused_before_anything_is_decoded(clips, tmp_path):
    uri, out = str(clips), tmp_path / "out"
    with pytest.raises(InputError, match="is named as two datasets, whose subjects would count as other people"):
        list_sources(job(out, {"dataset": "a", "uri": uri}, {"dataset": "b", "uri": uri + "/"}), 48)
    with pytest.raises(InputError, match="at least 2 clips of 12 frames a subject, got 1 of 20"):
        list_sources(job(out, {"dataset": "a", "posed": {"clips": 1}}), 48)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "one.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"the input 'one.mp4' has no subject, and splits are made by subject"):
        list_sources(job(out, {"dataset": "a", "uri": str(bare)}, faces={"detector": "none"}), 48)
    (source,) = list_sources(
        job(out, {"dataset": "a", "uri": str(bare), "subjects": "per_input"}, faces={"detector": "none"}), 48
    )
    assert source.units[0].members[0].subject_id == "a:one.mp4"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": []}, "sources must be one or more"),
        ({"sources": [{"dataset": "a"}]}, "name the folder of the data, for example --set sources.0.uri=DIR"),
        ({"sources": [{"dataset": "a", "uri": "x", "posed": {}}]}, "give either uri or posed, not both"),
        ({"sources": [{"dataset": "a", "uri": "x"}, {"dataset": "a", "uri": "y"}]}, "each a dataset of its own name"),
        ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch'; did you mean 'epochs'"),
        ({"sources": [{"dataset": "a", "uri": "x", "formt": "y"}]}, "'sources.formt'; did you mean 'format'"),
        ({"split": {"tested": "b"}}, "split.tested: no source is of dataset 'b'"),
        ({"recipe": {"patience": 1}}, "set split.validation"),
        ({"head": "softmax"}, "targets of a softmax head are its classes"),
        ({"network": {}}, "give exactly one of architecture and factory"),
        ({"labels": {"present_from": 1, "absent_to": 1}}, "absent_to 1 must be below present_from 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_job_is_one_sentence(change, said, tmp_path):
    with pytest.raises(InputError, match=said):
        job(tmp_path, *change.pop("sources", [{"dataset": "a", "uri": "x"}]), **change)


def test_one_folder_under_two_spellings_and_copies_of_an_input_are_refused(clips, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    a, b = {"dataset": "a", "uri": str(clips)}, {"dataset": "b"}
    monkeypatch.chdir(clips.parent)
    (tmp_path / "link").symlink_to(clips)
    for spelling in (f"./{clips.name}", f"{clips}/../{clips.name}/", str(tmp_path / "link"), f"file://{clips}"):
        with pytest.raises(InputError, match="named as two datasets, whose subjects would count as other people"):
            list_sources(job(out, a, {**b, "uri": spelling}), 48)
    with pytest.raises(InputError, match=r"'P001/.*' of dataset a and '.*' of dataset b are the same input"):
        list_sources(job(out, a, {**b, "uri": str(clips / "P001"), "subjects": "per_input"}), 48)
    shutil.copytree(clips, tmp_path / "copy", copy_function=shutil.copyfile)  # other times, other inodes
    with pytest.raises(InputError, match="are the same input"):
        list_sources(job(out, a, {**b, "uri": str(tmp_path / "copy")}), 48)
    for path in (tmp_path / "copy").rglob("*.mp4"):
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)  # another video of the same name and size, by a person of the same id
    capsys.readouterr()
    list_sources(job(out, a, {**b, "uri": str(tmp_path / "copy")}), 48)
    assert "a and b both have subjects P001, P002: splits take them for different people" in capsys.readouterr().err
    with pytest.raises(InputError, match="output and the uri of a source are the same folder"):
        job(tmp_path / "link", a)


def test_excluded_subjects_are_skipped_and_counted(clips, tmp_path):
    source = {"dataset": "a", "uri": str(clips), "exclude": ["P001"]}
    (listed,) = list_sources(job(tmp_path / "out", source), 48)
    assert {(ref.subject_id, ref.skip_reason) for ref in listed.refs} == {
        ("a:P001", "excluded by sources.exclude"),
        ("a:P002", None),
    }
    with pytest.raises(InputError, match="source a: exclude names no subject 'P003'; did you mean"):
        list_sources(job(tmp_path / "out", {**source, "exclude": "P003"}), 48)


def test_an_annotation_that_is_almost_an_action_unit_is_refused_as_a_target():
    assert inferred_targets(rows_of([("AU12", None, True), ("AU01", 1.0, None), ("fear", None, True)])) == (
        "AU01",
        "AU12",
    )
    with pytest.raises(InputError, match="annotations name 'AU 1', and Action Units are named like AU01"):
        inferred_targets(rows_of([("AU 1", None, True), ("AU01", None, True)]))
    with pytest.raises(InputError, match="no source annotates an Action Unit"):
        inferred_targets(rows_of([("fear", None, True)]))


def test_frames_without_a_face_are_counted(tmp_path):
    write_clips(tmp_path / "in", size=96, plans=plan_people(1, 2, 12)[:1])
    (landmarks,) = (tmp_path / "in").rglob("*.landmarks.csv")
    landmarks.write_text("".join(landmarks.read_text().splitlines(keepends=True)[:8]))
    config = job(tmp_path / "out", {"dataset": "a", "uri": str(tmp_path / "in")})
    (source,) = list_sources(config, 48)
    (unit,), store = source.units, Store(config.output)
    options = CropOptions(store.uri, "_crops/x", "a", source.decode)
    crop_unit({"unit": pickle.dumps(unit), "options": pickle.dumps(options)})
    table = decode(store.read_bytes(f"_crops/x/units/{unit.unit_id}.parquet"))
    frames = json.loads(table.schema.metadata[b"frames"])
    assert table.num_rows == 7
    assert frames == {unit.members[0].sequence_id: {"ok": 7, "no_face": 5}}


def biovid(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"no video: {root.name} {name}".encode())
    return str(root)


def test_two_parts_of_one_dataset_share_their_people_where_the_job_says_so(tmp_path, capsys):
    a = biovid(tmp_path / "PartA", "071309_w_21/071309_w_21-PA1-081.mp4", "080314_m_25/080314_m_25-BL1-070.mp4")
    d = biovid(tmp_path / "PartD", "071309_w_21/071309_w_21-happy.mp4")
    sources = [{"dataset": name, "uri": uri, "format": "biovid"} for name, uri in (("a", a), ("d", d))]

    def people(*spaces):
        given = [{**source, "subject_space": space} for source, space in zip(sources, spaces, strict=True)]
        listed = list_sources(job(tmp_path / "out", *given, faces={"detector": "none"}), 48)
        return [sorted({ref.subject_id for ref in source.refs}) for source in listed]

    with pytest.raises(InputError, match=r"a and d both have the subject 'biovid:071309_w_21'; .* such as biovid; if"):
        people(None, None)
    assert people("biovid", "biovid") == [["biovid:071309_w_21", "biovid:080314_m_25"], ["biovid:071309_w_21"]]
    assert capsys.readouterr().err == "", "they are the same people, which the job has said"
    assert people("a", "d") == [["a:071309_w_21", "a:080314_m_25"], ["d:071309_w_21"]]
    said = capsys.readouterr().err
    assert "a and d both have subjects 071309_w_21" in said and "give these sources one subject_space" in said
    assert people("x", "biovid") == [["x:071309_w_21", "x:080314_m_25"], ["biovid:071309_w_21"]]


def test_names_of_a_manifest_keep_what_stands_before_a_colon_in_a_subject_space(clips, tmp_path):
    text = (clips / "sequences.csv").read_text()
    root = tmp_path / "in"
    shutil.copytree(clips, root)
    (root / "sequences.csv").write_text(text.replace(",P001,", ",site1:P,").replace(",P002,", ",site2:P,"))
    (source,) = list_sources(job(tmp_path / "out", {"dataset": "a", "uri": str(root), "subject_space": "s"}), 48)
    assert {ref.subject_id for ref in source.refs} == {"s:site1:P", "s:site2:P"}


def test_another_stated_part_cuts_the_crops_anew(clips, tmp_path):
    """Crops keep the part they were cut with: a mended split must not be answered with the old one."""

    def folder(regex):
        source = {"dataset": "a", "uri": str(clips), "options": {"regex": regex}}
        return crops_folder(list_sources(job(tmp_path / "out", source), 48))

    base = folder("(?P<split>test)?")
    assert folder(None) == base, "a source without a split keeps the crops that it has"
    assert folder(r"(?P<split>P)001") != base
