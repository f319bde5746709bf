"""A picture file as RGB pixels. Runs in the decoding process."""

from __future__ import annotations

import contextlib
import struct
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.limits import MAX_PIXELS, Unreadable, plain, refuse_large

if TYPE_CHECKING:
    from PIL import Image

# What Pillow may open: neither formats that call other programs (EPS) nor vector graphics.
IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")  # JPEG opens MPO too


def still(path: str) -> NDArray[np.uint8]:
    """RGB picture, EXIF orientation applied; alpha is dropped, wider samples are scaled to 8 bit.

    Returns
    -------
    shape (H, W, 3), uint8

    Raises
    ------
    Unreadable
        If it is no picture in a known format, damaged, or too large.
    """
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.init()  # AVIF depends on how Pillow was built
            image: Image.Image = Image.open(path, formats=[name for name in IMAGE_FORMATS if name in Image.OPEN])
            refuse_large(*image.size)
            image.load()
            with contextlib.suppress(Exception):  # unreadable EXIF has no orientation to apply
                image = ImageOps.exif_transpose(image)
            return np.asarray(_eight_bit(image).convert("RGB"))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable(f"a picture of more than {MAX_PIXELS // 10**6} megapixels is not decoded") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("it is not a picture in a known format, or its header is damaged") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise Unreadable(f"the picture is damaged: {plain(error)}") from None


def _eight_bit(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "F":
        raise Unreadable("the picture has floating-point samples, whose black and white are not defined")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("the picture has samples outside of 0..65535, whose black and white are not defined")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
