import io

import numpy as np
from PIL import Image

from fer_batch.pipeline.study.comparisons.standard_example import example, strip
from fer_batch.regions import standard_face
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.store import Store


def test_the_picture_is_of_an_image_that_was_explained(made_study):
    study = made_study(networks={"weinet-0a": None}, folds=(0,), methods=("lime", "z"))
    found = example(study.work)
    assert found.alt.startswith("weinet-0a, fold 0: ") and "predicted as" in found.alt
    with Image.open(io.BytesIO(found.content)) as picture:
        assert picture.size[0] > picture.size[1]


def test_there_is_none_where_the_crops_are_gone_or_have_no_landmarks(made_study):
    study = made_study(networks={"weinet-0a": None}, folds=(0,))
    Store(study.crops).delete("crops.json")
    open_crops.cache_clear()
    assert example(study.work) is None


def test_a_map_is_warped_with_its_image():
    """A face whose left half is bright, and a map that marks it: both are bright at the left of the standard face."""
    points, (height, width) = standard_face()
    face = np.full((64, 64, 3), 60, np.uint8)
    face[:, :32] = 200
    drawn = strip(
        face, (points * (64 / width, 64 / height)).astype(np.float32), {"z": face[..., 0].astype(np.float32)}, "t"
    )
    image = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB")).astype(int)
    lower = image[image.shape[0] // 2 + 40 :]
    red = (lower[..., 0] > 100) & (lower[..., 1] < 40) & (lower[..., 2] < 40)
    blue = (lower[..., 2] > 100) & (lower[..., 1] < 40) & (lower[..., 0] < 40)
    assert red.sum() > 3000 and blue.sum() > 3000
    assert np.nonzero(red)[1].mean() < np.nonzero(blue)[1].mean()
