"""FER2013 and FER+ in miniature: pictures in a table, votes in another."""

import json

import numpy as np
import pytest
from PIL import Image

from fer_batch.sources.fetch import grey_picture, local_input
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError, MediaError

FACES = [np.random.default_rng(i).integers(0, 256, (48, 48)) for i in range(3)]


PIXELS = [" ".join(map(str, face.ravel())) for face in FACES]


TABLES = {
    "plain": "emotion,pixels,Usage\n0,{},Training\n3,{},PublicTest\n6,{},PrivateTest\n",
    "quoted": 'emotion,pixels,Usage\r\n0,"{}",Training\r\n3,"{}",PublicTest\r\n6,"{}",PrivateTest\r\n',
    "order": "emotion, Usage, pixels\n0, Training,{}\n3, PublicTest,{}\n6, PrivateTest,{}\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_fer2013_pictures_come_out_of_the_table(tree, table):
    refs = list_source("fer2013", tree({"fer2013/fer2013.csv": TABLES[table].format(*PIXELS)}))
    assert [(ref.sequence_id, ref.emotion, ref.split) for ref in refs] == [
        ("fer0000000.png", "anger", "train"),
        ("fer0000001.png", "happiness", "val"),
        ("fer0000002.png", "neutral", "test"),
    ]
    for ref, face in zip(refs, FACES, strict=True):
        with local_input(ref) as path:
            np.testing.assert_array_equal(np.asarray(Image.open(path)), face)
    assert len({ref.version for ref in refs}) == 3
    assert all(ref.size > 48 * 48 for ref in refs)


def test_pixels_that_are_none(tree):
    with pytest.raises(MediaError, match="expected a square of grey values, got 5"):
        grey_picture(b"1 2 3 4 5")
    with pytest.raises(MediaError, match="expected grey values of 0 to 255"):
        grey_picture(b"1 2 3 256")
    with pytest.raises(InputError, match="expected the columns emotion, pixels, Usage"):
        list_source("fer2013", tree({"fer2013.csv": "a,b\n1,2\n"}))
    with pytest.raises(InputError, match="picture 0: expected an expression code of fer2013, 0 to 6, got 7"):
        list_source("fer2013", tree({"fer2013.csv": "emotion,pixels\n7,1\n"}))


HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


VOTES = ["4,0,0,1,3,2,0,0,0,0", "5,5,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0,10"]


def fer_plus_table():
    names = ["fer0000000.png", "fer0000001.png", ""]
    rows = [f"Training,{name},{votes}\n" for name, votes in zip(names, VOTES, strict=True)]
    return HEADER + "".join(rows)


def test_fer_plus_votes_follow_the_order_of_the_table(tree, columns):
    files = {"fer2013.csv": TABLES["plain"].format(*PIXELS), "fer2013new.csv": fer_plus_table()}
    first, tie, none = list_source("fer_plus", tree(files))
    assert first.emotion == "neutral"
    ((target, raw),) = columns(read_truth(first).annotations, "target", "raw")
    assert (target, json.loads(raw)["anger"]) == ("neutral", 3)
    assert (tie.emotion, tie.labels, tie.skip_reason) == (None, (), None), "the most votes are shared"
    assert "no face" in none.skip_reason
    files["fer2013new.csv"] = HEADER + f"Training,fer0000000.png,{VOTES[0]}\n"
    with pytest.raises(InputError, match=r"3 pictures, but fer2013new\.csv has 1 rows"):
        list_source("fer_plus", tree(files))


def test_fer_plus_in_folders(tree, png):
    rows = [f'fer000000{i}.png,"(0, 0, 48, 48)",{votes}\n' for i, votes in enumerate(VOTES)]
    files = {f"data/FER2013Valid/fer000000{i}.png": png for i in range(2)}
    one, tie = list_source("fer_plus", tree({**files, "data/FER2013Valid/label.csv": "".join(rows)}))
    assert (one.sequence_id, one.emotion, one.split) == ("FER2013Valid/fer0000000.png", "neutral", "val")
    assert tie.emotion is None


def test_fer_plus_folders_without_all_their_votes(tree, png):
    files = {f"data/FER2013{part}/fer000000{i}.png": png for part in ("Valid", "Test") for i in range(2)}
    label = f'fer0000001.png,"(0, 0, 48, 48)",{VOTES[0]}\ngone.png,"(0, 0, 48, 48)",{VOTES[0]}\n'
    refs = list_source("fer_plus", tree({**files, "data/FER2013Valid/label.csv": label}))
    assert [(ref.split, ref.emotion) for ref in refs] == [
        ("test", None),
        ("test", None),
        ("val", None),
        ("val", "neutral"),
    ]
    assert [ref.labels for ref in refs[:3]] == [(), (), ()]


@pytest.mark.parametrize("row", ['fer0000001.png,"(0, 0, 48, 48)",4,0', f"fer0000001.png,x,{VOTES[0][:-1]}many"])
def test_a_row_of_votes_that_is_none_names_its_line(tree, png, row):
    files = {"data/FER2013Valid/fer0000001.png": png, "data/FER2013Valid/label.csv": f"\nother.png,x,1\n{row}\n"}
    with pytest.raises(InputError, match=r"FER2013Valid/label\.csv, line 3: expected 10 numbers of votes, got \['4'"):
        list_source("fer_plus", tree(files))


def test_votes_of_the_table_that_are_none_name_their_line(tree):
    files = {"fer2013.csv": TABLES["plain"].format(*PIXELS), "fer2013new.csv": fer_plus_table().replace("3,2", "x,2")}
    with pytest.raises(InputError, match=r"fer2013new\.csv, line 2: expected 10 numbers of votes"):
        list_source("fer_plus", tree(files))
    files["fer2013new.csv"] = fer_plus_table().replace(",NF", ",no face")
    with pytest.raises(InputError, match=r"fer2013new\.csv: expected the columns neutral"):
        list_source("fer_plus", tree(files))
