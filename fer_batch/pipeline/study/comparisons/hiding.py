"""Hide parts of the images of one network, in the order of every explanation: the worker of `faithfulness`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.faithfulness import against_chance, aopc, area_over, area_under, at_shares
from fer_batch.evaluate.subject_mean import subject_mean
from fer_batch.pipeline.devices import own_device
from fer_batch.pipeline.partition.standard_masks import region_of
from fer_batch.pipeline.study.comparisons.figures import kept, known
from fer_batch.pipeline.study.computed import Result
from fer_batch.pipeline.study.images import Drawn

VERSION = 2  # of what `measure` gives
_SHARES = np.linspace(0, 1, 21)  # at which curves over the share of pixels are averaged and drawn


@dataclass(frozen=True)
class How:
    """How pictures are hidden; the options of `faithfulness`."""

    segments: str
    n_segments: int
    n_random: int
    score: str


def measure(
    images: Drawn,
    methods: Sequence[str],
    maps: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    how: How,
) -> Result:
    """All methods of one network on the same images, on a worker.

    Parameters
    ----------
    images
        What is hidden.
    methods
        Names of the M methods.
    maps : shape (M, N, size, size), float32
    landmarks : shape (N, 68, 2), float32, pixels of the crops
        NaN where an image has none: it counts in all figures but those of parts and regions of the face.
    how
        As in `faithfulness`.

    Returns
    -------
    JSON values
    """
    import torch

    from fer_batch.explain.perturbation import Perturbation, flipping_curves, pixel_curves
    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess
    from fer_batch.storage.crop_set import open_crops

    torch.set_num_threads(1)
    used = images.model.preprocessing
    network = load(images.model).to(own_device()).eval()
    crops = open_crops(images.crops).images(images.numbers)
    inputs = preprocess(crops, used).numpy()
    plain = preprocess(crops, used.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3}))
    options = Perturbation(hide="mean", output=how.score, mean=used.mean, std=used.std)
    targets, subjects = np.asarray(images.targets), np.asarray(images.subjects)
    points = landmarks * (used.size / crops.shape[1])
    marked = np.isfinite(points).all((1, 2))
    curves = {}
    everyone = np.ones(len(marked), bool)
    cut = _segments(plain.permute(0, 2, 3, 1).numpy(), how)
    for way, who, labels in (("segments", everyone, cut), ("parts", marked, _parts(points[marked], cut.shape[1:]))):
        if who.any():
            found = flipping_curves(
                network, inputs[who], targets[who], maps[:, who], labels, options, n_random=how.n_random
            )
            curves[way] = _flipping(found, subjects[who].tolist(), by_area=way == "parts")
    pixels = pixel_curves(network, inputs, targets, maps, options, n_pixels=max(1, used.size**2 // 32))
    limits = (-np.inf, np.inf) if how.score == "logit" else (0.0, 1.0)
    names = [images.model.targets[target] for target in images.targets]
    return {
        "methods": list(methods),
        "curves": curves,
        "deletion": _areas(pixels.deletion, images.subjects, limits),
        "insertion": _areas(pixels.insertion, images.subjects, limits),
        "region": _region(network, inputs, images, names, points, options) if marked.any() else None,
        "score": how.score,
        "n_images": len(marked),
        "n_marked": int(marked.sum()),
    }


def _segments(pictures: NDArray[np.float32], how: How) -> NDArray[np.int64]:
    """Which superpixel or square every pixel belongs to, shape (N, H, W)."""
    from fer_batch.explain.region_order import grid_segments
    from fer_batch.explain.segments import slic_segments

    n, height, width, _ = pictures.shape
    if how.segments == "grid":
        side = max(1, round((height * width / how.n_segments) ** 0.5))
        return np.broadcast_to(grid_segments((height, width), side), (n, height, width))
    return np.stack([slic_segments(one, how.n_segments) for one in pictures])


def _parts(points: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.int64]:
    from fer_batch.regions.face_parts import face_parts

    return face_parts(points, *shape)


def _region(
    network: Any,
    inputs: NDArray[np.float32],
    images: Drawn,
    names: Sequence[str],
    points: NDArray[np.float32],
    options: Any,
) -> Result | None:
    """Fall of the score where the region of the predicted target is hidden, beside as much elsewhere on the face."""
    from fer_batch.explain.perturbation import region_drops
    from fer_batch.regions.face_parts import NAMES

    shape = inputs.shape[2:]
    masks, faces = np.zeros((2, len(inputs), *shape), bool)
    for index in np.flatnonzero(np.isfinite(points).all((1, 2))).tolist():
        masks[index] = region_of(names[index], points[index], shape)
        faces[index] = _parts(points[index : index + 1], shape)[0] != NAMES.index("surroundings")
    if not masks.any():
        return None
    found = region_drops(network, inputs, images.targets, masks, options, within=faces | masks)
    drop = against_chance(found.inside, found.elsewhere, images.subjects)
    if not drop.difference.n:  # no region has room elsewhere on the face
        return None
    return {
        "inside": kept(drop.value),
        "elsewhere": kept(drop.chance),
        "difference": kept(drop.difference),
        "above_chance": drop.above_chance,
    }


def _flipping(found: Any, subjects: Sequence[str], *, by_area: bool) -> Result:
    """Figures of `FlippingCurves`; over the share of pixels hidden where regions differ in size, else over steps."""
    if by_area:
        figures = [area_over(*pair) for pair in zip(found.scores, found.hidden, strict=True)]
        random = area_over(found.random, found.random_hidden)
        curves = at_shares(found.scores, found.hidden, _SHARES)
        random_curves = at_shares(found.random, found.random_hidden, _SHARES)
    else:
        figures, random = [aopc(one) for one in found.scores], aopc(found.random)
        curves, random_curves = found.scores, found.random
    each = [against_chance(one, random, subjects) for one in figures]
    return {
        "by_area": by_area,
        "area": [kept(one.value) for one in each],
        "random": [kept(one.chance) for one in each],
        "difference": [kept(one.difference) for one in each],
        "above_chance": [one.above_chance for one in each],
        "x": (_SHARES if by_area else np.arange(curves.shape[-1])).tolist(),
        "curve": [_mean_curve(one) for one in curves],
        "random_curve": _mean_curve(random_curves),
    }


def _mean_curve(curves: NDArray[np.float64]) -> list[float | None]:
    """Mean over the curves that are defined, shape (..., P) to P values."""
    rows = curves.reshape(-1, curves.shape[-1])
    rows = rows[np.isfinite(rows).all(1)]
    return [known(value) for value in rows.mean(0)] if len(rows) else [None] * curves.shape[-1]


def _areas(
    curves: NDArray[np.float64], subjects: Sequence[str], bounds: tuple[float, float]
) -> list[list[float | None]]:
    return [kept(subject_mean(area_under(one), subjects, bounds=bounds)) for one in curves]
