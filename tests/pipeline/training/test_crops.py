"""Sources become crops: what is written, and what cuts them anew."""

import json
import pickle

import cv2
import numpy as np

from fer_batch.media.sampling import balanced_frames
from fer_batch.pipeline.training import crops as cropping
from fer_batch.pipeline.training.crops import CropOptions, crop_unit, crops_folder
from fer_batch.pipeline.training.labels import annotated_targets, occurrence_labels
from fer_batch.pipeline.training.listing import list_sources
from fer_batch.pipeline.training.shards import Crops, write_shard
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_people
from fer_batch.storage.parquet import decode
from fer_batch.storage.store import Store
from fer_batch.training.data import Shards
from fer_batch.training.settings import LabelSettings

NAN = float("nan")


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


def test_crops_labels_and_landmarks_are_those_of_the_clips(job_of, clips, tmp_path):
    store, crops = cut(job_of(tmp_path / "out", {"dataset": "a", "uri": str(clips)}))
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


def test_the_folder_of_crops_changes_with_data_and_faces_and_not_with_what_is_learned(job_of, clips, tmp_path):
    source = {"dataset": "a", "uri": str(clips)}

    def folder(size=48, **more):
        return crops_folder(list_sources(job_of(tmp_path / "out", more.pop("source", source), **more), size))

    base = folder()
    assert folder(seed=3, recipe={"epochs": 2}, targets=["AU12"]) == base
    assert folder(size=64) != base
    assert folder(faces={"detector": "dataset", "margin": 0.3}) != base
    assert folder(source={**source, "sampling": {"stride": 2}}) != base
    assert folder(source={**source, "dataset": "b"}) != base


def test_a_unit_that_met_a_fault_of_the_store_leaves_nothing(job_of, clips, tmp_path, monkeypatch):
    config = job_of(tmp_path / "out", {"dataset": "a", "uri": str(clips)})
    store, (source,) = Store(config.output), list_sources(config, 48)

    def failing(ref):
        raise cropping.StoreFault("the store is asleep")

    monkeypatch.setattr(cropping, "read_truth", failing)
    unit = next(unit for unit in source.units if "mixed" in unit.members[0].sequence_id)
    options = CropOptions(store.uri, "_crops/x", "a", source.decode)
    found = crop_unit({"unit": pickle.dumps(unit), "options": pickle.dumps(options)})
    assert found == {"n_inputs": 1, "fault": "the store is asleep"}
    assert not [name for name in store.names("_crops/x/units") if name.endswith(".parquet")]


def test_frames_without_a_face_are_counted(job_of, tmp_path):
    write_clips(tmp_path / "in", size=96, plans=plan_people(1, 2, 12)[:1])
    (landmarks,) = (tmp_path / "in").rglob("*.landmarks.csv")
    landmarks.write_text("".join(landmarks.read_text().splitlines(keepends=True)[:8]))
    config = job_of(tmp_path / "out", {"dataset": "a", "uri": str(tmp_path / "in")})
    (source,) = list_sources(config, 48)
    (unit,), store = source.units, Store(config.output)
    options = CropOptions(store.uri, "_crops/x", "a", source.decode)
    crop_unit({"unit": pickle.dumps(unit), "options": pickle.dumps(options)})
    table = decode(store.read_bytes(f"_crops/x/units/{unit.unit_id}.parquet"))
    frames = json.loads(table.schema.metadata[b"frames"])
    assert table.num_rows == 7
    assert frames == {unit.members[0].sequence_id: {"ok": 7, "no_face": 5}}


def test_another_stated_part_cuts_the_crops_anew(job_of, clips, tmp_path):
    """Crops keep the part they were cut with: a mended split must not be answered with the old one."""

    def folder(regex):
        source = {"dataset": "a", "uri": str(clips), "options": {"regex": regex}}
        return crops_folder(list_sources(job_of(tmp_path / "out", source), 48))

    base = folder("(?P<split>test)?")
    assert folder(None) == base, "a source without a split keeps the crops that it has"
    assert folder(r"(?P<split>P)001") != base


def test_numbered_images_are_chosen_by_three_equal_slots_of_their_order(job_of, tmp_path):
    """Methods PD-a without a clock; a folder of fewer images than asked for gives all it has."""
    for name, n in (("p1-disgust", 60), ("p2-disgust", 11)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(n):
            image = np.full((48, 48, 3), 4 * i, np.uint8)
            cv2.imwrite(str(tmp_path / "in" / name / f"{i + 100:04d}.png"), image)
    source = {"dataset": "a", "uri": str(tmp_path / "in"), "format": "image_sequences", "subjects": "per_input",
              "sampling": {"slots": 3, "per_slot": 7}}  # fmt: skip
    config = job_of(tmp_path / "out", source, faces={"detector": "none"})
    store, crops = cut(config)
    rows = crops.rows(store).to_pylist()
    by_input = {name: [row["frame_index"] for row in rows if row["sequence_id"] == name] for name in
                ("p1-disgust", "p2-disgust")}  # fmt: skip
    assert by_input["p1-disgust"] == balanced_frames(60, 3, 7).tolist()
    assert [sum(20 * slot <= i < 20 * (slot + 1) for i in by_input["p1-disgust"]) for slot in range(3)] == [7, 7, 7]
    assert by_input["p2-disgust"] == list(range(11))
    images = Shards(crops.files(store))[np.arange(len(rows))]
    assert [round(image.mean() / 4) for image in images[:21]] == by_input["p1-disgust"]
