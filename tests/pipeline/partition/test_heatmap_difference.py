import io
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fer_batch.cli import cli
from fer_batch.evaluate.permutation import paired_difference, unpaired_difference
from fer_batch.pipeline.partition.heatmap_difference import difference_figure, difference_text
from fer_batch.pipeline.partition.heatmap_groups import CANVAS, Group, GroupDifference
from fer_batch.storage.store import Store

from .test_heatmap_groups import made, write


def groups(planted=2.0, n=14):
    rng = np.random.default_rng(0)
    found = Group("correct"), Group("NOT correct")
    people = tuple(f"p{i:02d}" for i in range(n))
    for place, group in enumerate(found):
        for who in people:
            values = rng.random(CANVAS)
            values[88:110, 35:78] += planted * (place == 0)  # the mouth
            group.add(who, values)
    found[0].add("p00", None)
    result = paired_difference(*(group.means(people) for group in found), n_arrangements=200)
    return GroupDifference(*found, (people, people), result)


def test_the_words_name_the_part_of_the_face_and_what_was_left_out():
    said = difference_text(groups(), "x.png")
    assert "correct: 14 maps of 14 people, 1 left out (no landmarks, or undefined)" in said
    assert "14 people, each with themselves; 200 arrangements; smallest p 0.0050" in said
    (line,) = [line for line in said.splitlines() if "more in correct" in line]
    assert "mouth" in line and "eye" not in line
    assert said.endswith("picture x.png")


def test_groups_that_do_not_differ_are_said_to():
    said = difference_text(groups(planted=0.0), "x.png")
    assert f"no place where they differ, p up to 0.05 corrected over {CANVAS[0] * CANVAS[1]} pixels" in said


@pytest.mark.parametrize(("n", "too_few"), [(5, True), (6, False)])
def test_a_test_that_can_find_nothing_says_so(n, too_few):
    assert ("too few people for p to reach 0.05" in difference_text(groups(0.0, n), "x.png")) == too_few


@pytest.mark.parametrize(("sizes", "too_few"), [((3, 3), True), ((3, 4), False)])
def test_so_does_one_of_different_people(sizes, too_few):
    found = groups(0.0)
    rng = np.random.default_rng(0)
    result = unpaired_difference(*(rng.random((n, 2, 2)) for n in sizes))
    assert ("too few people" in difference_text(replace(found, result=result), "x.png")) == too_few


def test_the_picture_is_red_where_the_first_group_has_more():
    image = np.asarray(Image.open(io.BytesIO(difference_figure(groups()))).convert("RGB")).astype(int)
    last = image[:, -240:]
    red = (last[..., 0] > 200) & (last[..., 1] < 90) & (last[..., 2] < 90)
    rows = np.flatnonzero(red.any(1))
    assert red.sum() > 1000 and rows.max() - rows.min() < 60


def test_the_command_prints_words_or_json_and_leaves_a_picture(tmp_path):
    store = Store(str(tmp_path))
    write(store, made(9))
    asked = ["heatmaps", str(tmp_path), "--compare", "correct", "NOT correct"]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    assert "512 arrangements, all there are" in done.output and "more in correct: mouth" in done.output
    found = json.loads(CliRunner().invoke(cli, [*asked, "--json"]).stdout)
    assert found["paired"] and found["n_compared"] == [9, 9] and found["share_different"] > 0.02
    with Image.open(found["picture"].removeprefix("file://")) as picture:
        assert picture.size[0] > 3 * 224


@pytest.mark.parametrize(
    "asked", [["out"], ["--evaluate", "maps"], ["out", "--evaluate", "a", "--masks", "b"], ["--compare", "a", "b"]]
)
def test_half_a_question_is_one_sentence(asked):
    done = CliRunner().invoke(cli, ["heatmaps", *asked])
    assert done.exit_code == 1 and "give --evaluate FOLDER and --masks FOLDER, or an output and" in str(done.exception)
