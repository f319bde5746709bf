"""Sheets show means of the maps, class by class."""

import io

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.study.comparisons.cue_pairs import families
from fer_batch.pipeline.study.comparisons.cue_sheets import example_sheet, mean_sheet, pair_sheet


def size(picture):
    with Image.open(io.BytesIO(picture.content)) as found:
        return found.size


@pytest.fixture
def network(cues, study, tmp_path):
    crops = study.crops(f"{tmp_path}/crops", cues().folds[0].network.samples, size=96)
    return cues(crops=crops)


def test_every_class_has_a_column_and_every_map_a_row(network):
    counts = {name: int((network.folds[0].labels == name).sum()) for name in network.classes}
    sheet = mean_sheet(network)
    assert all(f"{name} ({n})" in sheet.alt for name, n in counts.items())
    example = example_sheet(network)
    assert size(sheet)[0] == size(example)[0] and size(sheet)[1] > size(example)[1] * 1.5


def test_a_class_whose_own_units_are_in_no_crop_has_no_example(network):
    (cam,), (first, *others) = network.explanations, network.classes
    del network.folds[0].sums[cam, first]
    assert example_sheet(network).alt.endswith(f": {', '.join(others)}")
    for name in others:
        del network.folds[0].sums[cam, name]
    assert example_sheet(network) is None


def test_an_example_is_the_first_image_of_its_class(network):
    fold, name = network.folds[0], network.classes[2]
    first = fold.samples.images.numbers[int(np.flatnonzero(fold.labels == name)[0])]
    expected = np.random.default_rng(0).integers(0, 256, (70, 96, 96, 3), np.uint8)[first]
    np.testing.assert_array_equal(fold.example(name), expected)


def test_a_pair_stands_row_under_row(sweep):
    plain, prm = families(*sweep(n=42))
    sheet = pair_sheet(plain)
    assert sheet.alt.startswith("Without and with maps of Action Units: mean maps of ")
    assert "head=prm" in pair_sheet(prm).alt
    work, networks = sweep(n=42)
    assert pair_sheet(families(work, networks[:1])[0]) is None
