"""Where the evidence of a target is expected: on a face, and on the standard face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch import facs
from fer_batch.regions import expression_masks, region_masks, standard_face


def region_of(target: str, landmarks: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a target shows, shape (height, width): the region of an Action Unit, or of those of an expression together.

    Parameters
    ----------
    target
        Empty regions are of targets without one.
    landmarks : shape (68, 2), pixels
    shape
        Height and width.
    """
    units = facs.EXPRESSION_UNITS.get(target)
    names = [target] if units is None else [facs.au_name(unit) for unit in units]
    found = [region_masks(landmarks[None], name, shape) for name in names]
    masks = [mask[0] for mask in found if mask is not None]
    return np.any(masks, axis=0) if masks else np.zeros(shape, bool)


def mask_of(target: str) -> NDArray[np.bool_] | None:
    """Where the evidence of a class is expected on the standard face, shape (275, 224); None where nothing says so.

    Ekman's masks for the six expressions, the regions of its units for others.

    Parameters
    ----------
    target
        An expression, or an Action Unit.
    """
    points, shape = standard_face()
    ekman = expression_masks().get(target)
    mask = region_of(target, points.astype(np.float32), shape) if ekman is None else ekman
    return mask if mask.any() else None
