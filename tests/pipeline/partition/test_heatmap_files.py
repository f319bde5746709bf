"""Folders of plain PNG files in every layout, and what is wrong in one."""

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.partition.heatmap_files import read_heatmaps
from fer_batch.pipeline.partition.heatmap_scores import heatmap_scores
from fer_batch.types import InputError

NETWORKS = ("ResNet50", "VGG16", "SilNet", "WeiNet")


EXPRESSIONS = ("anger", "fear")


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).convert(mode or "L").save(path)


def blob(y, x, noise=0.0, seed=0):
    rows, columns = np.mgrid[:40, :30]
    values = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60) + noise * np.random.default_rng(seed).random((40, 30))
    values -= values.min()
    return (255 * values / values.max()).astype(np.uint8)


PLACES = {"ResNet50": (10, 10), "VGG16": (11, 10), "SilNet": (30, 20), "WeiNet": (30, 17)}


MAPS = {
    (network, expression): blob(*PLACES[network], 0.3, seed=10 * i + j)
    for i, network in enumerate(NETWORKS)
    for j, expression in enumerate(EXPRESSIONS)
}


MASKS = {"anger": np.zeros((40, 30), bool), "fear": np.zeros((40, 30), bool)}


@pytest.fixture
def masks(tmp_path):
    for expression, mask in MASKS.items():
        save(tmp_path / f"masks/{expression.title()}_mask.png", mask * 255, "RGB")
    return str(tmp_path / "masks")


@pytest.fixture
def folder(tmp_path):
    for (network, expression), values in MAPS.items():
        save(tmp_path / f"maps/{network}_{expression.title()}_heatmap.png", values)
    return str(tmp_path / "maps")


@pytest.mark.parametrize("layout", ["{e}/{n}.png", "{n}/{e}.png", "{n}_{e}.png", "2024/{e}-{n}_gray.png"])
def test_layouts_of_a_folder(tmp_path, masks, layout):
    for (network, expression), values in MAPS.items():
        save(tmp_path / "other" / layout.format(n=network, e=expression), values)
    found = read_heatmaps(str(tmp_path / "other"), masks)
    assert {name: list(of) for name, of in found.maps.items()} == dict.fromkeys(EXPRESSIONS, sorted(NETWORKS))
    np.testing.assert_array_equal(found.maps["fear"]["VGG16"], MAPS["VGG16", "fear"])
    np.testing.assert_array_equal(found.masks["fear"], MASKS["fear"])


def test_what_cannot_be_read_is_named(tmp_path, folder, masks):
    with pytest.raises(InputError, match="no folder"):
        read_heatmaps(str(tmp_path / "nowhere"), masks)
    with pytest.raises(InputError, match=r"no map is of a network 'VGG61'.*VGG16"):
        heatmap_scores(read_heatmaps(folder, masks), ("VGG61",))
    for name, pixels, said in (
        ("ResNet50_joy_heatmap.png", np.zeros((40, 30)), "names no expression; expected one of anger, fear"),
        ("Other_Fear_heatmap.png", np.zeros((30, 30)), "30 x 30 pixels, its mask 30 x 40"),
        ("sub/ResNet50_Fear_heatmap.png", np.zeros((40, 30)), None),
    ):
        path = tmp_path / "maps" / name
        save(path, pixels)
        if said is None:
            assert "sub_ResNet50" in read_heatmaps(folder, masks).maps["fear"]
        else:
            with pytest.raises(InputError, match=said):
                read_heatmaps(folder, masks)
        path.unlink()
    Image.fromarray(np.eye(40, 30, dtype=np.uint8)[..., None] * np.uint8([255, 0, 0])).save(
        tmp_path / "maps/X_Fear.png"
    )
    with pytest.raises(InputError, match="in colour"):
        read_heatmaps(folder, masks)
    deep = Image.fromarray(np.eye(40, 30, dtype=np.uint16) * 4000)
    deep.save(tmp_path / "maps/X_Fear.png")
    with pytest.raises(InputError, match=r"X_Fear.png' has more than 8 bits a pixel"):
        read_heatmaps(folder, masks)
    (tmp_path / "maps/X_Fear.png").unlink()
    save(tmp_path / "masks/Fear_mask.png", blob(3, 3))
    with pytest.raises(InputError, match="expected a mask of black and white"):
        read_heatmaps(folder, masks)
