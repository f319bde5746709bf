"""A face in parts: every pixel belongs to the part whose landmarks are nearest, or to what surrounds the face."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.regions.geometry import checked, standard_face

# Landmarks of the 68-point scheme; `right` is the subject's, on the left of the image (methods 2.1).
PARTS: dict[str, tuple[int, ...]] = {
    "right brow": (17, 18, 19, 20, 21),
    "left brow": (22, 23, 24, 25, 26),
    "right eye": (36, 37, 38, 39, 40, 41),
    "left eye": (42, 43, 44, 45, 46, 47),
    "nose": (27, 28, 29, 30, 31, 32, 33, 34, 35),
    "mouth": tuple(range(48, 68)),
    "right jaw": (0, 1, 2, 3, 4, 5),
    "chin": (6, 7, 8, 9, 10),
    "left jaw": (11, 12, 13, 14, 15, 16),
}
# Parts without landmarks, by points between some: (one, other) and the share of the way from one to the other.
BETWEEN: dict[str, tuple[tuple[int, int, float], ...]] = {
    "right cheek": ((41, 4, 0.5), (40, 48, 0.5), (31, 3, 0.5)),
    "left cheek": ((46, 12, 0.5), (47, 54, 0.5), (35, 13, 0.5)),
    "forehead": ((27, 19, 1.6), (27, 21, 2.2), (27, 22, 2.2), (27, 24, 1.6)),
}
NAMES = (*PARTS, *BETWEEN, "surroundings")
OUTLINE = (*range(17), 26, 25, 24, 23, 22, 21, 20, 19, 18, 17)


def face_parts(landmarks: ArrayLike, height: int, width: int) -> NDArray[np.int64]:
    """Which part of the face every pixel belongs to.

    Within the outline of the face, brows lifted by half the height of the nose to take in the forehead, a pixel is of
    the part with the nearest point; all others are surroundings.

    Parameters
    ----------
    landmarks : shape (N, 68, 2), pixels
    height, width : pixels
        Of the images.

    Returns
    -------
    shape (N, height, width), int64
        Index into `NAMES`.

    Raises
    ------
    ValueError
        If the landmarks are not (N, 68, 2).
    """
    faces = checked(landmarks)
    y, x = np.mgrid[:height, :width]
    pixels = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    found = np.zeros((len(faces), height, width), np.int64)
    for index, face in enumerate(faces):
        found[index] = _parts(face, pixels).reshape(height, width)
    return found


# Places as a researcher names them: both sides together.
PLACES = {
    "brows": ("right brow", "left brow"),
    "eyes": ("right eye", "left eye"),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "cheeks": ("right cheek", "left cheek"),
    "forehead": ("forehead",),
    "jaw": ("right jaw", "chin", "left jaw"),
    "surroundings": ("surroundings",),
}


def place_shares(relevance: NDArray[np.floating]) -> dict[str, float]:
    """How much of the positive relevance of a map on the standard face lies at each of `PLACES`.

    Parameters
    ----------
    relevance : shape (h, w), any unit
        On the standard face, at any size.

    Returns
    -------
    dict of float
        Shares that add up to 1; all 0 where nothing is positive.
    """
    points, (height, width) = standard_face()
    scale = np.array([relevance.shape[1] / width, relevance.shape[0] / height])
    parts = face_parts(((points + 0.5) * scale - 0.5)[None], *relevance.shape)[0]
    positive = np.maximum(relevance, 0).astype(np.float64)
    by_part = np.bincount(parts.ravel(), positive.ravel(), len(NAMES)) / (positive.sum() or 1.0)
    return {place: float(sum(by_part[NAMES.index(name)] for name in names)) for place, names in PLACES.items()}


def _parts(face: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    known = [(NAMES.index(name), face[i]) for name, indices in PARTS.items() for i in indices]
    known += [
        (NAMES.index(name), face[one] + share * (face[other] - face[one]))
        for name, ways in BETWEEN.items()
        for one, other, share in ways
    ]
    from scipy.spatial import cKDTree  # as in `face_mesh`

    part = np.array([index for index, _ in known])
    _, nearest = cKDTree(np.array([point for _, point in known])).query(pixels)
    return np.where(_inside(_outline(face), pixels), part[nearest], len(NAMES) - 1)


def _outline(face: NDArray[np.float64]) -> NDArray[np.float64]:
    """The jaw, and the brows lifted along the bridge of the nose."""
    outline = face[list(OUTLINE)].copy()
    outline[17:] += 0.5 * (face[27] - face[33])
    return outline


def _inside(polygon: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points lie in a polygon, by counting crossings of a ray, shape (n,)."""
    inside = np.zeros(len(pixels), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y0 > pixels[:, 1]) != (y1 > pixels[:, 1])
        if y0 != y1:
            inside ^= crosses & (pixels[:, 0] < (x1 - x0) * (pixels[:, 1] - y0) / (y1 - y0) + x0)
    return inside
