"""What a folder of media holds, and what people put beside it."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.sources.listing import frame_number, in_order, list_source
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A function that makes a folder with files; gives its URI."""

    def make(*names, **contents):
        store = Store(str(tmp_path / "in") if request.param == "local" else f"memory://{uuid.uuid4().hex}/in")
        for name in names:
            store.put(name, b"x")
        for name, text in contents.items():
            store.put(name, text.encode())
        return store.uri

    return make


def ids(refs):
    return [ref.sequence_id for ref in refs]


def test_videos_with_their_sidecars_and_people(folder):
    people = "path,subject_id,emotion\nP1/a.mp4,P1,happiness\n./b.MOV,P2,\nshort\n"
    uri = folder(
        "P1/a.mp4", "P1/a.annotations.csv", "b.MOV", "b.landmarks.csv", "notes.txt", **{"sequences.csv": people}
    )
    a, b = list_source("videos", uri)
    assert (a.sequence_id, a.kind, a.subject_id, a.emotion, a.size) == ("P1/a.mp4", "video", "P1", "happiness", 1)
    assert a.annotation_uris[0].endswith("P1/a.annotations.csv")
    assert a.landmarks_uri is None
    assert (b.sequence_id, b.subject_id, b.emotion) == ("b.MOV", "P2", None)
    assert b.landmarks_uri.endswith("b.landmarks.csv")
    assert Store(uri).read_bytes("P1/a.mp4") == b"x"


def test_a_changed_sidecar_is_another_version(folder):
    uri = folder("a.mp4", "a.annotations.csv")
    (before,) = list_source("videos", uri)
    Store(uri).put("a.annotations.csv", b"longer")
    (after,) = list_source("videos", uri)
    assert before.version == after.version
    assert before.truth_version != after.truth_version


def test_resource_forks_are_skipped_and_said(folder):
    fork, real = list_source("videos", folder("._a.mp4", "a.mp4"))
    assert "resource fork" in fork.skip_reason
    assert real.skip_reason is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (("*.mp4",), ["S1/a.mp4", "S1/x/b.mp4", "c.mp4"]),
        (("**/*.mp4",), ["S1/a.mp4", "S1/x/b.mp4", "c.mp4"]),
        (("S1/**",), ["S1/a.mp4", "S1/d.avi", "S1/x/b.mp4"]),
        (("S1/*.avi", "c.*"), ["S1/d.avi", "c.mp4"]),
        (("*.dat",), ["S1/e.dat"]),
    ],
)
def test_patterns_take_media_and_never_sidecars(folder, pattern, expected):
    uri = folder("S1/a.mp4", "S1/a.annotations.csv", "S1/x/b.mp4", "S1/d.avi", "S1/e.dat", "c.mp4", "c.txt")
    assert ids(list_source("videos", uri, pattern)) == expected


def test_images_are_stills_with_the_emotion_as_label(folder):
    uri = folder("happy/1.JPG", "2.png", **{"sequences.csv": "path,subject_id,emotion\nhappy/1.JPG,,happiness\n"})
    second, first = list_source("images", uri)
    assert (first.sequence_id, first.kind, first.labels) == ("happy/1.JPG", "still", (("happiness", 1.0),))
    assert second.labels == ()


def test_image_sequences_are_ordered_by_number_not_by_name(folder):
    names = ["S/1/f10.png", "S/1/f9.png", "S/1/f0100.png", "S/1/._f9.png", "S/2/a_1.png", "S/1/annotations.csv"]
    one, two = list_source("image_sequences", folder(*names))
    assert [uri.rpartition("/")[2] for uri in one.files] == ["f9.png", "f10.png", "f0100.png"]
    assert (one.sequence_id, one.kind, one.size) == ("S/1", "image_sequence", 3)
    assert one.annotation_uris[0].endswith("S/1/annotations.csv")
    assert two.annotation_uris == ()


@pytest.mark.parametrize("names", [("S/f1.png", "S/g1.png", "S/f2.png"), ("S/f1.png", "S/cover.png")])
def test_numbers_that_are_no_order_are_refused_with_the_culprit(folder, names):
    with pytest.raises(InputError, match=r"distinct numbers.*'(f1|cover)\.png'"):
        list_source("image_sequences", folder(*names))


def test_a_changed_frame_is_another_version(folder):
    uri = folder("S/1.png", "S/2.png")
    (before,) = list_source("image_sequences", uri)
    Store(uri).put("S/2.png", b"longer")
    assert list_source("image_sequences", uri)[0].version != before.version


def test_numbers_of_names():
    assert frame_number("x/S005_001_00000011.png") == 11
    assert frame_number("x/cover.png") is None
    assert frame_number("x/9223372036854775807.jpg") == 2**63 - 1
    assert frame_number("x/737db12345678901234567890123.jpg") is None, "a hash is no frame number; tables hold 64 bits"


def test_names_of_any_script_are_kept(folder):
    names = sorted(["it's 50 % #1.mp4", "Gesicht ü 顔.mp4", 'say "a".mp4'])
    refs = list_source("videos", folder(*names))
    assert ids(refs) == names


def test_a_name_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "a\udcff.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match="not valid UTF-8"):
        list_source("videos", str(tmp_path))


def test_an_output_below_the_source_is_no_source(folder):
    uri = folder("1.jpg", "out/_commits/a.json", "out/report/face.png")
    assert ids(list_source("images", uri)) == ["1.jpg"]


def test_what_is_wrong_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="did you mean 'videos'"):
        list_source("video", folder("a.mp4"))
    with pytest.raises(InputError, match="does not exist"):
        list_source("videos", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no images in .* such as"):
        list_source("images", folder("a.mp4"))
    with pytest.raises(InputError, match="names no input"):
        list_source("image_sequences", folder("._1.png"))
    (tmp_path / "file.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        list_source("videos", str(tmp_path / "file.mp4"))


def test_a_people_file_that_cannot_be_read_is_said(folder):
    with pytest.raises(InputError, match="expected the columns path"):
        list_source("videos", folder("a.mp4", **{"sequences.csv": "file,subject\na.mp4,x\n"}))
    uri = folder("a.mp4")
    Store(uri).put("sequences.csv", "path\nä.mp4".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        list_source("videos", uri)


def test_names_that_say_who_and_what(folder):
    """BU-4DFE in miniature: the folders are the labels."""
    uri = folder(*(f"F001/{name}/{i:03d}.jpg" for name in ("Angry", "Happy") for i in range(2)))
    regex = r"(?P<subject_id>[FM]\d+)/(?P<emotion>\w+)"
    angry, happy = list_source("image_sequences", uri, (), {"regex": regex})
    assert (angry.sequence_id, angry.subject_id, angry.emotion) == ("F001/Angry", "F001", "anger")
    assert happy.emotion == "happiness"
    still = list_source("images", uri, (), {"regex": regex})[0]
    assert (still.subject_id, still.labels) == ("F001", (("anger", 1.0),))


@given(numbers=st.sets(st.integers(0, 10**9), min_size=1, max_size=30), rng=st.randoms())
def test_the_order_of_frames_is_that_of_their_numbers_however_they_are_listed(numbers, rng):
    entries = [Entry(f"S/x_{number:0{rng.choice([1, 4, 8])}d}.png", 1, "1") for number in numbers]
    rng.shuffle(entries)
    assert [frame_number(entry.path) for entry in in_order(entries, "S")] == sorted(numbers)


def test_sequences_csv_says_expressions_in_the_words_of_the_tables(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg", "v.mp4"):
        (tmp_path / name).write_bytes(b"x")
    rows = [
        "path,subject_id,emotion,split",
        "a.jpg,s1,Happy,Training",
        "b.jpg,s1,anger,",
        "c.jpg,s1,Boredom,",
        "v.mp4,,sad,",
    ]
    (tmp_path / "sequences.csv").write_text("\n".join(rows))
    a, b, c = list_source("images", str(tmp_path))
    assert (a.emotion, a.labels, a.raw_labels) == ("happiness", (("happiness", 1.0),), (("happiness", "Happy"),))
    assert (a.split, b.split) == ("train", None)
    assert (b.emotion, b.raw_labels, c.emotion, c.raw_labels) == ("anger", (), "Boredom", ())
    (video,) = list_source("videos", str(tmp_path))
    assert (video.emotion, video.subject_id) == ("sadness", None)
    (tmp_path / "sequences.csv").write_text("path,emotion\na.jpg,3\n")
    with pytest.raises(InputError, match=r"sequences\.csv: the emotion of 'a\.jpg' is the number 3; expected its name"):
        list_source("images", str(tmp_path))


def test_names_that_fsspec_would_take_for_urls_are_names(tmp_path):
    """`::` chains filesystems for it, so that a folder of such a name was not found, or something else was read."""
    folder = tmp_path / "night::memory" / "a=b"
    folder.mkdir(parents=True)
    for name in ("x::y.mp4", "k=v#1?%2e.mp4", "new\nline.mp4", "file:.mp4"):
        (folder / name).write_bytes(b"xyz")
    for listed in (list_source("videos", str(folder.parent)), list_source("videos", str(folder))):
        assert {ref.uri.rpartition("/")[2] for ref in listed} == {path.name for path in folder.iterdir()}
        assert {ref.size for ref in listed} == {3}
