"""Draws `standard_face.png` and `au_maps.png`: the warp, Ekman masks, and maps of Action Units of one portrait."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from fer_batch.posed.astronaut import SMILING_68
from fer_batch.regions import StandardWarp, expression_maps, expression_masks, standard_face
from fer_batch.regions.face_mesh import mesh_points, standard_grid
from fer_batch.training.cutting import landmark_crop
from fer_batch.visualize.heatmap import jet, overlay
from fer_batch.visualize.regions import sheet
from fer_batch.visualize.standard_face import line_face

SIDE = 224
S68, CANVAS = standard_face()
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


def crop(rotation, shift=(0.0, 0.0), margin=0.3):
    """The portrait's face, turned by some degrees, and its landmarks."""
    low, high = SMILING_68.min(0), SMILING_68.max(0)
    side = float((high - low).max() + 1) * (1 + 2 * margin)
    angle = np.radians(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (SMILING_68 - (low + high) / 2 - np.array(shift) * side) @ turn.T * SIDE / side + (SIDE - 1) / 2
    return landmark_crop(data.astronaut(), SMILING_68, SIDE, margin, shift, rotation), points


def meshed(image, points, size):
    """An image with the triangles of the standard face on it."""
    picture = Image.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    corners = mesh_points(points[None], size)[0]
    for triangle in standard_grid(CANVAS).triangles:
        canvas.line([tuple(corners[i]) for i in (*triangle, triangle[0])], fill="#0072b2", width=1)
    return np.asarray(picture)


def framed(image):
    """An image at the upper edge of a picture of the canvas's size."""
    page = np.full((*CANVAS, 3), 255, np.uint8)
    page[: image.shape[0], : image.shape[1]] = image
    return page


def relevance(points):
    """A map about the corners of the lips and one brow."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return sum(np.exp(-((x - points[i, 0]) ** 2 + (y - points[i, 1]) ** 2) / 2 / 8**2) for i in (48, 54, 19))


def warp_sheet():
    """Two crops of the portrait, and what is on the standard face of them."""
    pictures = [("the standard face\n89 points, 153 triangles", meshed(line_face(*CANVAS), S68, CANVAS))]
    for name, (image, points) in {"a crop": crop(0), "another": crop(18, (0.08, -0.05), 0.45)}.items():
        found = relevance(points)
        warped, values = StandardWarp(sampling="bilinear"), StandardWarp(sampling="bilinear", keep="sums")
        face = warped(image[None], points[None], (SIDE, SIDE)).values[0]
        on_face = values(found[None], points[None], (SIDE, SIDE)).values[0]
        pictures += [
            (f"{name}\nand its triangles", framed(meshed(image, points, (SIDE, SIDE)))),
            (f"{name}: a map\nsum {found.sum():,.0f}", framed(overlay(image, found))),
            (f"{name}, warped\nsum of the map {on_face.sum():,.0f}", overlay(face, on_face)),
        ]
    return sheet(pictures, columns=7)


def map_sheet():
    """Masks and maps of six expressions."""
    image, points = crop(0)
    maps = expression_maps(np.repeat(points[None], 6, 0), EXPRESSIONS, (SIDE, SIDE))
    face, masks = line_face(*CANVAS), expression_masks()
    masked = [
        (
            f"{one}\nEkman mask",
            np.where(masks[one][..., None], face // 2 + np.array([0, 80, 60]), face).astype(np.uint8),
        )
        for one in EXPRESSIONS
    ]
    mapped = [
        (f"{one}\nAction Units", (image * 0.45 + jet(found) * 0.55).astype(np.uint8))
        for one, found in zip(EXPRESSIONS, maps, strict=True)
    ]
    return np.vstack([sheet(masked, columns=6), sheet(mapped, columns=6)])


if __name__ == "__main__":
    for name, page in (("standard_face", warp_sheet()), ("au_maps", map_sheet())):
        picture = Image.fromarray(page).quantize(128)
        picture.save(Path(__file__).with_name(f"{name}.png"), optimize=True)
