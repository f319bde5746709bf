"""`fer-batch inspect --au-map`: landmarks in any usual form, a picture of where to look."""

import numpy as np
import pytest
from PIL import Image

from fer_batch import cli
from fer_batch.pipeline.inspect.au_map import read_points
from fer_batch.regions import expression_maps, standard_face
from fer_batch.types import InputError

POINTS = np.trunc(standard_face()[0] * [1, 224 / 275])


@pytest.fixture
def files(tmp_path):
    """The same face in five forms."""
    rows = "\n".join(f"{x:g} {y:g}" for x, y in POINTS)
    (tmp_path / "a.txt").write_text(rows + "\n")
    (tmp_path / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    (tmp_path / "a.csv").write_text("x,y\n" + rows.replace(" ", ", "))
    header = ",".join(["frame_index", *(f"{axis}{i}" for axis in "xy" for i in range(68))])
    values = ",".join(f"{value:g}" for value in POINTS.T.ravel())
    (tmp_path / "landmarks.csv").write_text(f"{header}\n0{',' * 136}\n7,{values}\n")
    np.save(tmp_path / "a.npy", POINTS)
    return tmp_path


@pytest.mark.parametrize("name", ["a.txt", "a.pts", "a.csv", "landmarks.csv", "a.npy"])
def test_landmarks_are_read_in_every_form(files, name):
    np.testing.assert_array_equal(read_points(str(files / name)), POINTS)


def test_the_picture_is_the_map_over_the_face(files, capsys):
    output = files / "fear.png"
    command = ["inspect", "--au-map", str(files / "a.pts"), "--expression", "fear", "--output", str(output)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "fear (martinez): AU01 AU02 AU04 AU05 AU20 AU25 AU26 AU27; 224x224, mean 0.22" in said
    picture = np.asarray(Image.open(output)).astype(int)
    found = expression_maps(POINTS[None], ["fear"], (224, 224))[0]
    redness = picture[..., 0] - picture[..., 2]
    assert picture.shape == (224, 224, 3)
    assert redness[found > 0.95].mean() > 60 and redness[found == 0].mean() < -40


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("a.pts", ["--expression", "faer"], "unknown expression 'faer'; did you mean 'fear'"),
        ("a.pts", ["--expression", "neutral"], "no map of neutral: the expression has no Action Units"),
        ("a.pts", ["--expression", "fear", "--codebook", "emfacs"], "unknown codebook 'emfacs'"),
        ("a.pts", [], "--au-map needs --expression"),
        ("none.txt", ["--expression", "fear"], "none.txt"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(files, capsys, name, more, said):
    assert cli.main(["inspect", "--au-map", str(files / name), *more, "--output", str(files / "x.png")]) != 0
    assert said in capsys.readouterr().err
    assert not (files / "x.png").exists()


def test_files_without_68_points_are_refused(tmp_path):
    for text, said in (("1 2\n3 4\n", "got shape"), ("1 2 3\n", "x and y for each point, got '1 2 3'")):
        (tmp_path / "few.txt").write_text(text)
        with pytest.raises(InputError, match=said):
            read_points(str(tmp_path / "few.txt"))
    np.savetxt(tmp_path / "without_jaw.txt", POINTS[17:66])
    with pytest.raises(InputError, match="17 of them are not given"):
        read_points(str(tmp_path / "without_jaw.txt"))
