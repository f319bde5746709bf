"""The sources of a training: whose inputs they are, and what is refused before anything is decoded."""

import shutil

import pytest
from PIL import Image

from fer_batch.pipeline.training.listing import list_sources, posed_people_made, short_inputs
from fer_batch.types import InputError


def test_what_cannot_be_trained_on_is_refused_before_anything_is_decoded(job_of, clips, tmp_path):
    uri, out = str(clips), tmp_path / "out"
    with pytest.raises(InputError, match="is named as two datasets, whose subjects would count as other people"):
        list_sources(job_of(out, {"dataset": "a", "uri": uri}, {"dataset": "b", "uri": uri + "/"}), 48)
    with pytest.raises(InputError, match="at least 2 clips of 12 frames a subject, got 1 of 20"):
        list_sources(job_of(out, {"dataset": "a", "posed": {"clips": 1}}), 48)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "one.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"the input 'one.mp4' has no subject, and splits are made by subject"):
        list_sources(job_of(out, {"dataset": "a", "uri": str(bare)}, faces={"detector": "none"}), 48)
    (source,) = list_sources(
        job_of(out, {"dataset": "a", "uri": str(bare), "subjects": "per_input"}, faces={"detector": "none"}), 48
    )
    assert source.units[0].members[0].subject_id == "a:one.mp4"


def test_one_folder_under_two_spellings_and_copied_inputs_are_refused(job_of, clips, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    a, b = {"dataset": "a", "uri": str(clips)}, {"dataset": "b"}
    monkeypatch.chdir(clips.parent)
    (tmp_path / "link").symlink_to(clips)
    for spelling in (f"./{clips.name}", f"{clips}/../{clips.name}/", str(tmp_path / "link"), f"file://{clips}"):
        with pytest.raises(InputError, match="named as two datasets, whose subjects would count as other people"):
            list_sources(job_of(out, a, {**b, "uri": spelling}), 48)
    with pytest.raises(InputError, match=r"'P001/.*' of dataset a and '.*' of dataset b are the same input"):
        list_sources(job_of(out, a, {**b, "uri": str(clips / "P001"), "subjects": "per_input"}), 48)
    shutil.copytree(clips, tmp_path / "copy", copy_function=shutil.copyfile)  # other times, other inodes
    with pytest.raises(InputError, match="are the same input"):
        list_sources(job_of(out, a, {**b, "uri": str(tmp_path / "copy")}), 48)
    for path in (tmp_path / "copy").rglob("*.mp4"):
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)  # another video of the same name and size, by a person of the same id
    capsys.readouterr()
    list_sources(job_of(out, a, {**b, "uri": str(tmp_path / "copy")}), 48)
    assert "a and b both have subjects P001, P002: splits take them for different people" in capsys.readouterr().err
    with pytest.raises(InputError, match="output and the uri of a source are the same folder"):
        job_of(tmp_path / "link", a)


def test_excluded_subjects_are_skipped_and_counted(job_of, clips, tmp_path):
    source = {"dataset": "a", "uri": str(clips), "exclude": ["P001"]}
    (listed,) = list_sources(job_of(tmp_path / "out", source), 48)
    assert {(ref.subject_id, ref.skip_reason) for ref in listed.refs} == {
        ("a:P001", "excluded by sources.exclude"),
        ("a:P002", None),
    }
    with pytest.raises(InputError, match="source a: exclude names no subject 'P003'; did you mean"):
        list_sources(job_of(tmp_path / "out", {**source, "exclude": "P003"}), 48)


def biovid(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"no video: {root.name} {name}".encode())
    return str(root)


def test_two_parts_of_one_dataset_share_their_people_where_the_job_says_so(job_of, tmp_path, capsys):
    a = biovid(tmp_path / "PartA", "071309_w_21/071309_w_21-PA1-081.mp4", "080314_m_25/080314_m_25-BL1-070.mp4")
    d = biovid(tmp_path / "PartD", "071309_w_21/071309_w_21-happy.mp4")
    sources = [{"dataset": name, "uri": uri, "format": "biovid"} for name, uri in (("a", a), ("d", d))]

    def people(*spaces):
        given = [{**source, "subject_space": space} for source, space in zip(sources, spaces, strict=True)]
        listed = list_sources(job_of(tmp_path / "out", *given, faces={"detector": "none"}), 48)
        return [sorted({ref.subject_id for ref in source.refs}) for source in listed]

    with pytest.raises(InputError, match=r"a and d both have the subject 'biovid:071309_w_21'; .* such as biovid; if"):
        people(None, None)
    assert people("biovid", "biovid") == [["biovid:071309_w_21", "biovid:080314_m_25"], ["biovid:071309_w_21"]]
    assert capsys.readouterr().err == "", "they are the same people, which the job has said"
    assert people("a", "d") == [["a:071309_w_21", "a:080314_m_25"], ["d:071309_w_21"]]
    said = capsys.readouterr().err
    assert "a and d both have subjects 071309_w_21" in said and "give these sources one subject_space" in said
    assert people("x", "biovid") == [["x:071309_w_21", "x:080314_m_25"], ["biovid:071309_w_21"]]


def test_names_of_a_manifest_keep_what_stands_before_a_colon_in_a_subject_space(job_of, clips, tmp_path):
    text = (clips / "sequences.csv").read_text()
    root = tmp_path / "in"
    shutil.copytree(clips, root)
    (root / "sequences.csv").write_text(text.replace(",P001,", ",site1:P,").replace(",P002,", ",site2:P,"))
    (source,) = list_sources(job_of(tmp_path / "out", {"dataset": "a", "uri": str(root), "subject_space": "s"}), 48)
    assert {ref.subject_id for ref in source.refs} == {"s:site1:P", "s:site2:P"}


def test_one_clip_of_each_subject_and_level_is_kept_whatever_else_there_is(job_of, tmp_path):
    """Methods 1.1: part A has twenty clips a level, and the study has the 138 frames of one."""
    people, levels = ("071309_w_21", "080314_m_25"), ("PA3", "PA4", "BL1")
    names = [f"{who}/{who}-{level}-{i:03d}.mp4" for who in people for level in levels for i in range(1, 21)]
    root = biovid(tmp_path / "PartA", *names)
    source = {"dataset": "a", "uri": root, "format": "biovid", "inputs_per_subject": 1}

    def kept(**more):
        (listed,) = list_sources(job_of(tmp_path / "out", {**source, **more}, faces={"detector": "none"}), 48)
        skipped = [ref for ref in listed.refs if ref.skip_reason]
        assert all("inputs_per_subject" in ref.skip_reason for ref in skipped)
        return sorted((ref.subject_id, ref.emotion, ref.sequence_id) for ref in listed.refs if not ref.skip_reason)

    one = kept()
    assert [key[:2] for key in one] == sorted((f"biovid:{who}", level) for who in people for level in levels)
    assert len({name.split("-")[-1] for *_, name in one}) > 1  # not simply the first of each
    assert set(one) < set(kept(inputs_per_subject=5))
    assert len(kept(inputs_per_subject=5)) == 5 * len(one)
    (tmp_path / "PartA" / names[0]).with_name("091809_w_43-PA4-080.mp4").write_bytes(b"another")
    assert [key for key in kept() if "091809" not in key[0]] == one


def test_clips_that_are_too_short_for_their_slots_are_counted_and_stills_have_none(job_of, tmp_path):
    sampling = {"slots": 3, "per_slot": 107}
    config = job_of(tmp_path, {"dataset": "a", "uri": "x", "sampling": sampling}, {"dataset": "b", "uri": "y"})
    rows = [("a", "long.mp4", "done", 321), ("a", "short.mp4", "done", 320), ("a", "cut.mp4", "partial", 40),
            ("a", "broken.mp4", "failed", 0), ("b", "tiny.mp4", "done", 2)]  # fmt: skip
    inputs = [dict(zip(("dataset", "sequence_id", "status", "n_frames"), row, strict=True)) for row in rows]
    assert short_inputs(config, inputs) == [
        "a: 2 of 3 inputs have fewer than the 321 frames that sampling asks for; the shortest is cut.mp4 with 40"
    ]
    assert short_inputs(config, inputs[:1]) == []
    Image.new("RGB", (8, 8)).save(tmp_path / "face.png")
    source = {"dataset": "a", "uri": str(tmp_path), "format": "images", "subjects": "per_input", "sampling": sampling}
    with pytest.raises(InputError, match=r"it has stills; labels\.per_subject keeps"):
        list_sources(job_of(tmp_path / "out", source, faces={"detector": "none"}), 48)


def test_whether_posed_people_are_there_is_known_without_making_them(job_of, tmp_path):
    config = job_of(tmp_path, {"dataset": "a", "posed": {"subjects": 1, "clips": 2, "frames": 12}})
    assert not posed_people_made(config) and not list(tmp_path.iterdir())
    list_sources(config, 48)
    assert posed_people_made(config)
    other = job_of(tmp_path, {"dataset": "a", "posed": {"subjects": 1, "clips": 2, "frames": 12, "seed": 1}})
    assert not posed_people_made(other)
    assert posed_people_made(job_of("s3://bucket/out", {"dataset": "a", "uri": "x"}))
