"""Distances and the upright frame of a face in iBUG 68 points (methods 2.1, 2.2)."""

from __future__ import annotations

import functools
import json
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # the subject's: its right eye is on the left of the image
INNER_CORNERS = (39, 42)


@functools.cache
def standard_face() -> tuple[NDArray[np.float64], tuple[int, int]]:
    """The standard face (methods 2.2): its points, shape (68, 2), float64, pixels (x, y); and its canvas.

    The canvas is (height, width) = (275, 224) pixels. The points are not writeable.

    References
    ----------
    Gaya-Morey et al. (2024): digitised from the figure.
    """
    face = json.loads(resources.files(__package__).joinpath("standard_face.json").read_text())
    points = np.array(face["points"], dtype=np.float64)
    points.flags.writeable = False
    return points, (face["height"], face["width"])


def checked(landmarks: ArrayLike) -> NDArray[np.float64]:
    """Landmarks as float64, shape (n, 68, 2), pixels.

    Raises
    ------
    ValueError
        If they are not (n, 68, 2).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise ValueError(f"expected landmarks (n, 68, 2), got {points.shape}")
    return points


def eye_centres(landmarks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the six points of the subject's right and left eye, each of shape (n, 2), float64, pixels (x, y)."""
    return landmarks[:, RIGHT_EYE].mean(axis=1), landmarks[:, LEFT_EYE].mean(axis=1)


def interocular_distance(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the eye centres (IOD), pixels, shape (n,)."""
    right, left = eye_centres(landmarks)
    return np.linalg.norm(left - right, axis=1)


def inner_corner_distance(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the inner eye corners (ICD), pixels, shape (n,): the unit of length of EAC-Net and JAA-Net."""
    return np.linalg.norm(landmarks[:, INNER_CORNERS[1]] - landmarks[:, INNER_CORNERS[0]], axis=1)


def upright(landmarks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Turn faces about the middle of their eyes until the eye line is level.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels (x, y)

    Returns
    -------
    turned : shape (n, 68, 2), float64, pixels
    rotation : shape (n, 2, 2), float64
        `turned = (point - pivot) @ rotation.T + pivot`; its transpose turns back.
    pivot : shape (n, 2), float64, pixels
        All three are NaN for a face whose eyes are undefined or coincide.
    """
    right, left = eye_centres(landmarks)
    across = left - right
    length = np.linalg.norm(across, axis=1, keepdims=True)
    cosine, sine = np.divide(across, length, out=np.full_like(across, np.nan), where=length > 0).T
    rotation = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], axis=1)
    pivot = (left + right) / 2
    return np.einsum("nij,nkj->nki", rotation, landmarks - pivot[:, None]) + pivot[:, None], rotation, pivot
