"""Folders of plain PNG files in every layout, and what is wrong in one."""

import numpy as np
import pytest
from PIL import Image

from fer_batch.pipeline.partition.heatmap_files import read_heatmaps
from fer_batch.pipeline.partition.heatmap_scores import heatmap_scores, heatmap_text
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
MASKS["anger"][5:20, 4:18] = MASKS["fear"][22:36, 10:26] = True


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
        ("Anger/ResNet50_Fear.png", np.zeros((40, 30)), "names anger and fear; expected one expression"),
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


def test_files_as_their_authors_publish_them(tmp_path):
    """Masks `Anger_gt.png` in three equal channels; maps `GRAY/AlexNet_CV1_Angry_heatmap.png`, also of a class more."""
    for expression, mask in (("Anger", MASKS["anger"]), ("Fear", MASKS["fear"])):
        save(tmp_path / f"GROUND_TRUTH/{expression}_gt.png", mask * 255, "RGB")
    for network in ("AlexNet", "MobileNetV3Large"):
        for fold in (1, 2):
            for expression in ("Angry", "Fear", "Neutral"):
                values = blob(10 + fold, 10, 0.3, seed=fold)
                save(tmp_path / f"GRAY/{network}_CV{fold}_{expression}_heatmap.png", values, "RGBA")
    found = read_heatmaps(str(tmp_path / "GRAY"), str(tmp_path / "GROUND_TRUTH"))
    assert list(found.maps) == ["anger", "fear"] and len(found.left_out) == 4
    assert found.networks == ["AlexNet_CV1", "AlexNet_CV2", "MobileNetV3Large_CV1", "MobileNetV3Large_CV2"]
    text = heatmap_text(heatmap_scores(found))
    assert "no mask is of the expression: 4 files" in text and "AlexNet_CV1_Neutral_heatmap.png" in text
    assert "published" not in text  # the printed rows are over all folds


def test_a_folder_whose_files_name_no_expression_is_refused(tmp_path, masks):
    save(tmp_path / "maps/ResNet50_contempt.png", np.zeros((40, 30)))
    with pytest.raises(InputError, match=r"names an expression, such as .*contempt.png'; expected one of anger, fear"):
        read_heatmaps(str(tmp_path / "maps"), masks)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.dstack([np.full((40, 30, 3), 255), blob(9, 9) > 99]), "has transparent parts"),  # its shape is its alpha
        (np.full((40, 30), 255), "has one value, 255, everywhere"),
        (np.zeros((40, 30)), "has one value, 0, everywhere"),
    ],
)
def test_a_mask_that_says_nothing_is_refused(tmp_path, folder, masks, pixels, words):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(tmp_path / "masks/Fear_mask.png")
    with pytest.raises(InputError, match=words):
        read_heatmaps(folder, masks)
