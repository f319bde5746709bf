"""`fer-batch heatmaps`: folders of plain PNG files to the tables of methods 13.7 and E-6 to E-9."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.cluster.hierarchy import linkage
from skimage.filters import threshold_otsu
from sklearn.metrics import jaccard_score, precision_recall_fscore_support

from fer_batch import cli
from fer_batch.pipeline.partition.heatmap_files import read_heatmaps
from fer_batch.pipeline.partition.heatmap_scores import MEAN_MAP, heatmap_json, heatmap_scores, heatmap_text
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
MASKS["anger"][4:16, 4:16] = MASKS["fear"][22:38, 8:28] = True


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


def test_figures_are_those_of_other_libraries(folder, masks):
    found = heatmap_json(heatmap_scores(read_heatmaps(folder, masks)))["expressions"]
    assert list(found) == list(EXPRESSIONS)
    for (network, expression), grey in MAPS.items():
        above, mask = (grey > threshold_otsu(grey)).ravel(), MASKS[expression].ravel()
        own = found[expression]["overlap"][network]
        assert own["iou"] == pytest.approx(jaccard_score(mask, above), abs=1e-12)
        expected = precision_recall_fscore_support(mask, above, average="binary")[:3]
        assert [own[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected, abs=1e-12)
    for expression in EXPRESSIONS:
        names = found[expression]["compared"]
        rows = np.array([MAPS[name, expression].ravel() for name in names], float)
        expected = np.corrcoef(rows)
        np.testing.assert_allclose(found[expression]["correlations"]["centred"], expected, atol=1e-12)
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(found[expression]["correlations"]["uncentred"], units @ units.T, atol=1e-12)
        heights = linkage((1 - expected)[np.triu_indices(len(names), 1)], "average")[:, 2]
        assert [one["height"] for one in found[expression]["merges"]["centred"]] == pytest.approx(heights, abs=1e-12)
        assert sorted(map(sorted, found[expression]["merges"]["centred"][-1]["clusters"])) == [
            ["ResNet50", "VGG16"],
            ["SilNet", "WeiNet"],
        ]


@pytest.mark.parametrize("layout", ["{e}/{n}.png", "{n}/{e}.png", "{n}_{e}.png", "2024/{e}-{n}_gray.png"])
def test_layouts_of_a_folder(tmp_path, masks, layout):
    for (network, expression), values in MAPS.items():
        save(tmp_path / "other" / layout.format(n=network, e=expression), values)
    found = read_heatmaps(str(tmp_path / "other"), masks)
    assert {name: list(of) for name, of in found.maps.items()} == dict.fromkeys(EXPRESSIONS, sorted(NETWORKS))
    np.testing.assert_array_equal(found.maps["fear"]["VGG16"], MAPS["VGG16", "fear"])
    np.testing.assert_array_equal(found.masks["fear"], MASKS["fear"])


def test_g15_through_the_command(tmp_path, capsys):
    square = np.zeros((4, 4))
    square[:2, :2] = 255
    shifted = np.roll(square, 1, axis=1)
    save(tmp_path / "masks/joy.png", square)
    for name, values in {"a": shifted, "b": 255 - shifted, "c": square}.items():
        save(tmp_path / f"maps/joy/{name}.png", values)
    arguments = ["heatmaps", "--evaluate", str(tmp_path / "maps"), "--masks", str(tmp_path / "masks")]
    assert cli.main([*arguments, "--json"]) == 0
    joy = json.loads(capsys.readouterr().out)["expressions"]["joy"]
    assert joy["overlap"]["a"] == pytest.approx({"iou": 2 / 6, "precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert joy["overlap"]["c"]["iou"] == 1
    assert joy["correlations"]["centred"][0][1] == pytest.approx(-1)
    assert joy["correlations"]["uncentred"][0][1] == pytest.approx(0)
    assert cli.main([*arguments, "--pretrained", "a", "--pretrained", "c"]) == 0
    text = capsys.readouterr().out
    (row,) = [line.split() for line in text[: text.index("precision")].splitlines() if line.startswith("a ")]
    assert row == ["a", ".3333", ".3333"]
    (heights,) = [line.split() for line in text.splitlines() if line.startswith("joy ")]
    # a and c: covariance of two squares that share half, 1/8 - 1/16, over the variance 3/16; then b against both
    assert heights[3] == ".667" and heights[-1] == "yes"
    assert float(heights[1]) == pytest.approx((2 + (1 + 1 / 3)) / 2, abs=5e-4)


def test_the_text_sets_printed_figures_beside(folder, masks):
    text = heatmap_text(heatmap_scores(read_heatmaps(folder, masks), ("ResNet50", "VGG16")))
    lines = text.splitlines()
    row = lines.index(next(line for line in lines if line.startswith("ResNet50")))
    assert lines[row + 1].split() == ["published", ".1944", ".2226", ".2085"]
    assert MEAN_MAP in text
    assert [line.split()[-1] for line in lines if line.startswith(("anger ", "fear "))] == ["yes", "yes"]


def test_a_constant_map_has_an_overlap_and_no_place_in_the_dendrogram(tmp_path, folder, masks):
    save(tmp_path / "maps/Flat_Anger_heatmap.png", np.full((40, 30), 7))
    scores = heatmap_scores(read_heatmaps(folder, masks))
    found = heatmap_json(scores)["expressions"]["anger"]
    assert found["overlap"]["Flat"] == {"iou": 0, "precision": None, "recall": 0, "f1": 0}
    assert "Flat" not in found["compared"]
    assert "without a correlation: Flat" in heatmap_text(scores)


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
