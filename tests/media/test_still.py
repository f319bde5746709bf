"""Pictures decode whole, or give a reason."""

import numpy as np
import pytest
from PIL import Image

from fer_batch.media.decode import Decoder
from fer_batch.types import MediaError

# Height and width, or part of the reason.
NASTY_IMAGES = {
    "compreface_corrupted.png": "not a picture in a known format",
    "compreface_empty.png": "not a picture in a known format",
    "compreface_truncated.jpg": "truncated",
    "face-recognition_partial_face.jpg": (1137, 491),
    "pillow_broken.png": "not a picture in a known format",
    "pillow_broken_data_stream.png": "damaged",
    "pillow_decompression_bomb.gif": "64 megapixels",
    "pillow_hopper.bmp": (128, 128),
    "pillow_hopper.gif": (128, 128),
    "pillow_hopper.jpg": (128, 128),
    "pillow_hopper.tif": (128, 128),
    "pillow_hopper.webp": (128, 128),
    "pillow_hopper_16bit.pgm": (128, 128),
    "pillow_hopper_gray.jpg": (128, 128),
    "pillow_hopper_orientation_6.jpg": (128, 128),
    "pillow_invalid-exif.jpg": (200, 200),
    "pillow_pil_sample_cmyk.jpg": (100, 100),
    "pillow_truncated_image.png": "truncated",
    "pillow_truncated_jpeg.jpg": "truncated",
    "pillow_zero_width.gif": "not a picture in a known format",
    "skimage_truncated.jpg": "damaged",
}


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=30.0) as decoder:
        yield decoder


@pytest.mark.parametrize("name", NASTY_IMAGES)
def test_nasty_images_decode_or_give_a_reason(shared_data, decoder, name):
    expected = NASTY_IMAGES[name]
    if isinstance(expected, str):
        with pytest.raises(MediaError, match=expected):
            decoder.image(shared_data / "nasty" / name)
    else:
        image = decoder.image(shared_data / "nasty" / name).image
        assert image.shape == (*expected, 3)
        assert image.dtype == np.uint8


@pytest.mark.parametrize("name", ["pillow_hopper.bmp", "pillow_hopper.tif", "pillow_hopper_orientation_6.jpg"])
def test_variants_of_one_picture_agree(shared_data, decoder, name):
    reference = decoder.image(shared_data / "nasty" / "pillow_hopper.jpg").image.astype(int)
    image = decoder.image(shared_data / "nasty" / name).image.astype(int)
    assert np.abs(image - reference).mean() < 5  # JPEG's own error; upside down it is above 50


def test_sixteen_bit_grey_spans_the_range(decoder, tmp_path):
    values = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(decoder.image(tmp_path / "deep.png").image[0, :, 0], [0, 0, 1, 128, 255])


def test_alpha_is_dropped_and_palettes_are_resolved(decoder, tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = 200, 7
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    Image.fromarray(rgba[..., :3]).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(decoder.image(tmp_path / "alpha.png").image, rgba[..., :3])
    assert decoder.image(tmp_path / "palette.png").image.shape == (2, 2, 3)


def test_a_picture_beyond_64_megapixels_is_refused(tmp_path, decoder):
    Image.fromarray(np.zeros((8001, 8000), np.uint8)).save(tmp_path / "huge.png")
    with pytest.raises(MediaError, match="64 megapixels"):
        decoder.image(tmp_path / "huge.png")
