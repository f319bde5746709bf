"""One image on its way to the standard face (figure 3 of Gaya-Morey et al. 2024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.analysis.standard_faces import evidence, warped
from fer_batch.pipeline.study.images import drawn, landmarks_of, maps_of
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.regions import StandardWarp, standard_face
from fer_batch.regions.face_mesh import mesh_points, triangulation
from fer_batch.report.page import Picture
from fer_batch.storage.crop_set import open_crops
from fer_batch.types import InputError
from fer_batch.visualize.figure import save
from fer_batch.visualize.heatmap import jet, resize_face
from fer_batch.visualize.standard_face import line_face, with_mesh
from fer_batch.visualize.tiles import Band, Tile, tiles_figure

_SIDE = 275  # pixels: the height of the standard face


def example(work: StudyWork) -> Picture | None:
    """An image, its landmarks, its map under each explanation, and image and maps on the standard face.

    Parameters
    ----------
    work
        The study.

    Returns
    -------
    Picture or None
        None where the crops are gone, or the image that is drawn has no landmarks.
    """
    for network in work.shown():
        try:
            crops = open_crops(network.crops)
        except InputError:  # keep_crops: false
            return None
        image = drawn(work, network, 1)
        points = landmarks_of(image)
        if points is None:
            continue
        face = crops.images(image.numbers)[0]
        maps = {name: found[0] for name, found in maps_of(work, network, image).items() if np.isfinite(found).all()}
        title = f"{network.title}: {image.keys[0][0]}, predicted as {network.model.targets[image.targets[0]]}"
        return Picture(strip(face, points[0], maps, title), f"{title}; image and maps before and after the warp")
    return None


def strip(
    face: NDArray[np.uint8], landmarks: NDArray[np.float32], maps: dict[str, NDArray[np.float32]], title: str
) -> bytes:
    """The picture, as PNG.

    Parameters
    ----------
    face : shape (S, S, 3), uint8, RGB
        The crop.
    landmarks : shape (68, 2), pixels of the crop
    maps
        By explanation, shape (h, w), any unit.
    title
        Above all.
    """
    side = face.shape[0]
    large = resize_face(face, _SIDE, _SIDE)
    points, canvas = standard_face()
    triangles = triangulation(mesh_points(points[None], canvas)[0])
    meshes = [mesh_points(one[None], shape)[0] for one, shape in ((landmarks, (side, side)), (points, canvas))]
    own = with_mesh(large, (meshes[0] + 0.5) * (_SIDE / side) - 0.5, triangles)
    standard = StandardWarp()(face[None], landmarks[None], (side, side)).values[0]
    first = [large, own, *map(_shown, maps.values())]
    second = [_square(standard), _square(with_mesh(line_face(*canvas, points), meshes[1], triangles))]
    for values in maps.values():
        found, _ = warped(evidence(values[None], "none"), landmarks[None], side)
        second.append(_square(jet(found[0])))
    rows = ["on the crop", "on the standard face"]
    tiles = [[Tile((image,)) for image in images] for images in (first, second)]
    return save(tiles_figure([Band(["image", "89 points", *maps], rows, tiles)], title))


def _shown(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return resize_face(jet(evidence(values[None], "none")[0]), _SIDE, _SIDE)


def _square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The standard face in a square, as tiles are."""
    missing = _SIDE - image.shape[1]
    return np.pad(image, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), constant_values=255)
