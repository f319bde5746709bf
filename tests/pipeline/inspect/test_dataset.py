"""Which dataset a folder is, what it holds and what it lacks: by names and small files, without decoding."""

import json
import shlex

import pytest

from fer_batch import cli
from fer_batch.pipeline.inspect.uri import inspect_text, inspect_uri
from fer_batch.sources.dataset import DATASETS
from fer_batch.sources.listing import list_source

NAMES = {
    "ck_plus": ["cohn-kanade-images/S005/001/S005_001_00000001.png"],
    "affectnet": ["Manually_Annotated_Images/1/a.jpg", "Manually_Annotated_file_lists/training.csv"],
    "affectnet_npy": ["val_set/images/1.jpg", "val_set/annotations/1_exp.npy"],
    "affectnet_plus": ["human_annotated/train_set/images/1.jpg", "human_annotated/train_set/annotations/1.json"],
    "raf_db": ["EmoLabel/list_patition_label.txt", "Image/aligned/train_00001_aligned.jpg"],
    "unbc_mcmaster": ["Images/042-ll042/ll042t1aaaff/ll042t1aaaff001.png", "Frame_Labels/PSPI/x/y/z001_facs.txt"],
    "biovid": ["PartA/video/071309_w_21/071309_w_21-BL1-081.mp4"],
    "disfa": ["Video_LeftCamera/LeftVideoSN001_comp.avi", "ActionUnit_Labels/SN001/SN001_au1.txt"],
    "disfa_plus": ["Images/SN001/A1/1.jpg", "Labels/SN001/A1/AU1.txt"],
    "bp4d": ["Sequences_2D+3D/F001/T1/0000.jpg"],
    "bp4d_plus": ["2D+3D/F001/T1/001.jpg"],
    "fera17": ["train/FERA17_TR_F001_T1_6.mp4"],
    "jaffe": ["KA.AN1.39.tiff"],
    "fer2013": ["fer2013.csv"],
    "fer_plus": ["fer2013.csv", "fer2013new.csv"],
}


TEXTS = {
    "training.csv": "1/a.jpg,1,1,9,9,,3,0.1,0.1\n",
    "list_patition_label.txt": "train_00001.jpg 1\n",
    "fer2013.csv": "emotion,pixels,Usage\n3,1 2 3 4,Training\n",
    "fer2013new.csv": "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    "Training,fer0000000.png,9,1,0,0,0,0,0,0,0,0\n",
    "1.json": '{"human-label": 1}',
    "SN001_au1.txt": "1,0\n",
    "AU1.txt": "1.jpg 0\n",
}


def write(root, names, top=""):
    for name in names:
        path = root / top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXTS.get(path.name, ""))


def test_every_dataset_has_marks_or_is_openface():
    """OpenFace's output is a folder of videos; every other record is tried below."""
    assert {name for name, record in DATASETS.items() if record.marks} == set(NAMES) == set(DATASETS) - {"openface"}


@pytest.mark.parametrize("name", NAMES)
def test_refs_carry_the_form_of_ground_truth_of_their_record(tmp_path, name):
    write(tmp_path, NAMES[name])
    form = DATASETS[name].truth
    for ref in list_source(name, str(tmp_path)):
        assert ref.truth == form.name if form else not ref.annotation_uris and not ref.landmarks_uri


@pytest.mark.parametrize("top", ["", "some copy/"])
@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_is_recognised_by_its_names(tmp_path, name, top):
    write(tmp_path, [*NAMES[name], ".DS_Store"], top)
    found = inspect_uri(str(tmp_path))
    assert (found["kind"], found["format"], found["inputs"]) == ("dataset", name, 1)
    assert inspect_text(found).startswith(f"dataset {name}: 1 ")


@pytest.mark.parametrize("name", NAMES)
def test_the_job_line_plans(tmp_path, name, capsys, request, monkeypatch):
    write(tmp_path, NAMES[name], "data set")
    monkeypatch.chdir(request.config.rootpath)
    line = inspect_uri(str(tmp_path / "data set"))["run"]
    words = shlex.split(line.replace("OUT", str(tmp_path / "out")))
    detector = ["--set", "faces.detector=none"]  # dlib may not be installed
    assert words[0] == "fer-batch"
    assert cli.main([*words[1:], *detector, "--set", "phases=[report]", "--dry-run"]) == 0, capsys.readouterr().err
    assert "1 to do" in capsys.readouterr().err


def ck_plus(root):
    for sequence in ("S005/001", "S005/002", "S010/001"):
        stem = sequence.replace("/", "_")
        write(root, [f"cohn-kanade-images/{sequence}/{stem}_{number:08d}.png" for number in (1, 2, 3)])
    labels = {"FACS": "1 2\n2 0\n", "Emotion": "7.0\n"}
    for kind, text in labels.items():
        path = root / kind / "S005" / "001" / f"S005_001_00000003_{kind.lower()}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (root / "Emotion" / "S005" / "002").mkdir()


def test_what_is_there_and_what_is_missing(tmp_path, capsys):
    ck_plus(tmp_path)
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["inputs"], found["subjects"], found["frames"], found["emotions"]) == (3, 2, 9, {"surprise": 1})
    assert found["units"]["AU02"] == {"present": 1, "absent": 1}
    assert found["units"]["AU04"] == {"present": 0, "absent": 2}
    for sentence in (
        "2 of 3 sequences have no emotion label",
        "2 of 3 sequences have no Action Unit label",
        "3 of 3 sequences have no landmarks; they need faces.detector: dlib or none",
        "the whole collection has 593 sequences of 123 subjects",
    ):
        assert sentence in found["missing"]
    assert cli.main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "dataset ck_plus: 3 image sequences of 2 subjects, 9 frames" in printed
    assert "AU01 1/1" in printed and "jobs/ck_plus.yaml" in printed


def test_a_million_files_are_not_opened(tmp_path):
    write(tmp_path, [f"train_set/images/{i}.jpg" for i in range(5)])
    write(tmp_path, [f"train_set/annotations/{i}_{kind}.npy" for i in range(5) for kind in ("exp", "val", "aro")])
    from fer_batch.pipeline.inspect import dataset as inspect_dataset

    limit, inspect_dataset.LOCAL_FILES = inspect_dataset.LOCAL_FILES, 14
    try:
        found = inspect_uri(str(tmp_path))
    finally:
        inspect_dataset.LOCAL_FILES = limit
    assert found["not_counted"] == ["not counted: labels of 5 inputs, which are in 15 files"]
    assert (found["inputs"], found["emotions"]) == (5, {})
    read = inspect_uri(str(tmp_path))
    assert "labels of 5 inputs cannot be read" in read["missing"][-1], "these are empty"


def test_the_detector_of_the_job_line_is_what_the_dataset_has(tmp_path):
    ck_plus(tmp_path / "bare")
    assert "faces.detector=dlib" in inspect_uri(str(tmp_path / "bare"))["run"]
    ck_plus(tmp_path / "whole")
    write(tmp_path / "whole", ["Landmarks/S005/001/S005_001_00000001_landmarks.txt"])
    assert "faces.detector" not in inspect_uri(str(tmp_path / "whole"))["run"], "the job takes the dataset's"
    write(tmp_path / "raf", NAMES["raf_db"])
    assert "faces.detector=none" in inspect_uri(str(tmp_path / "raf"))["run"], "its faces are cropped"


def test_landmarks_that_no_input_has_are_not_waited_for(tmp_path, capsys, request, monkeypatch):
    write(tmp_path, NAMES["ck_plus"])
    monkeypatch.chdir(request.config.rootpath)
    job = ["run", "jobs/ck_plus.yaml", "--set", f"source.uri={tmp_path}", "--output", str(tmp_path / "o"), "--dry-run"]
    assert cli.main(job) == 1
    assert "none of the 1 inputs has landmarks or a face box; give dlib" in capsys.readouterr().err


def test_pspi_is_checked(tmp_path):
    frame = "042-ll042/ll042t1aaaff/ll042t1aaaff001"
    write(tmp_path, [f"Images/{frame}.png"])
    for kind, text in {"FACS": "4 2 0 0\n", "PSPI": "3.0\n"}.items():
        path = tmp_path / "Frame_Labels" / kind / f"{frame}_facs.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert "PSPI of 1 frame is not that of their Action Units" in inspect_uri(str(tmp_path))["missing"]


def test_an_expression_that_is_none_is_counted_as_skipped(tmp_path):
    write(tmp_path, NAMES["affectnet"])
    lists = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    lists.write_text("".join(f"1/{i}.jpg,1,1,9,9,,{code},0.1,0.1\n" for i, code in enumerate((3, 9, 9, 10))))
    found = inspect_uri(str(tmp_path))
    assert found["emotions"] == {"surprise": 1}
    assert found["skipped"] == {"labelled as uncertain": 2, "labelled as showing no face": 1}
    assert "4 of 4 stills have no file" in found["missing"]


def test_the_automatic_list_is_said_where_it_is_not_counted(tmp_path):
    write(tmp_path, NAMES["affectnet"])
    assert inspect_uri(str(tmp_path))["not_counted"] == []
    (tmp_path / "automatically_annotated.csv").write_text("9/a.jpg,1,1,9,9,,3,0.1,0.1\n")
    found = inspect_uri(str(tmp_path))
    assert found["inputs"] == 1
    assert "  not counted: the automatic list; source.options: {parts: " in inspect_text(found)


def test_a_dataset_that_is_one_table(tmp_path):
    write(tmp_path, NAMES["fer2013"])
    found = inspect_uri(str(tmp_path / "fer2013.csv"))
    assert (found["format"], found["emotions"], found["splits"]) == ("fer2013", {"happiness": 1}, {"train": 1})
