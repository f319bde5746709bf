"""Maps warped to the standard face, and maps of Action Units, a second: ours beside plain loops and scikit-image.

python benchmarks/warp.py [--maps 256] [--rounds 5] [--threads 2]

Every round runs all ways in turn, so that the machine's other work weighs on all of them alike; the slow ones warp few
maps. Rates are those of the fastest round, by the clock and by the CPU seconds of all threads together (a rate per
core, which other work on the machine disturbs less). Peak memory is what one call takes over its input and output. A
second table says how well two groups of maps are told apart after the warp.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.regions import StandardWarp, expression_maps, standard_face
from fer_batch.regions.face_mesh import mesh_points, triangulation

S68, CANVAS = standard_face()
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


@dataclass
class Way:
    """One way of doing n maps, and the seconds it took."""

    name: str
    n: int
    call: Callable[[], object]
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Once more, and how long it took."""
        clock, cpu = time.perf_counter(), time.process_time()
        self.call()
        self.clock.append((time.perf_counter() - clock) / self.n)
        self.cpu.append((time.process_time() - cpu) / self.n)


def faces(n: int, crop: tuple[int, int]) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    scale = np.array([crop[1] / CANVAS[1], crop[0] / CANVAS[0]]) * rng.uniform(0.6, 0.8, (n, 1, 1))
    return S68 * scale + rng.uniform(0.1, 0.2, (n, 1, 1)) * crop[0] + rng.normal(0, 1, (n, 68, 2))


def by_scikit_image(maps: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    from skimage.transform import PiecewiseAffineTransform, warp

    target, out = mesh_points(S68[None], CANVAS)[0], []
    _, first = np.unique(target, axis=0, return_index=True)  # it takes no point twice
    for one, source in zip(maps, mesh_points(points, maps.shape[1:]), strict=True):
        transform = PiecewiseAffineTransform.from_estimate(target[first], source[first])
        out.append(warp(one, transform, output_shape=CANVAS, order=0))
    return np.stack(out)


def triangle_by_triangle(maps: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The usual loop: OpenCV's affine warp of each triangle under its mask."""
    target = mesh_points(S68[None], CANVAS)[0]
    triangles, out = triangulation(target), np.zeros((len(maps), *CANVAS), np.float32)
    for one, source, result in zip(maps, mesh_points(points, maps.shape[1:]), out, strict=True):
        for triangle in triangles:
            corners = target[triangle].astype(np.float32)
            x, y, width, height = cv2.boundingRect(corners)
            affine = cv2.getAffineTransform(np.float32(corners - [x, y]), source[triangle].astype(np.float32))
            part = cv2.warpAffine(one, affine[:2], (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
            mask = np.zeros((height, width), np.uint8)
            cv2.fillConvexPoly(mask, np.int32(corners - [x, y]), 1)
            into = result[y : y + height, x : x + width]
            mask = mask[: into.shape[0], : into.shape[1]]
            into[mask > 0] = part[: into.shape[0], : into.shape[1]][mask > 0]
    return out


def ways(n: int, threads: int) -> list[Way]:
    crop = CANVAS
    maps, points = np.random.default_rng(1).random((n, *crop), dtype=np.float32), faces(n, crop)
    small, inside = maps[:, :112, :112].copy(), faces(n, (112, 112))
    square = np.trunc(S68 * [1, 224 / 275]) + np.random.default_rng(2).normal(0, 2, (n, 68, 2))
    found = []
    for workers in dict.fromkeys((1, threads)):
        for options in ({}, {"keep": "sums"}, {"sampling": "bilinear"}, {"sampling": "bilinear", "keep": "sums"}):
            name = " ".join(["ours", *(str(value) for value in options.values()), f"{workers} threads"])
            found.append(Way(name, n, lambda o=options, w=workers: StandardWarp(**o)(maps, points, crop, w)))
    for canvas, k in (((138, 112), 1), ((138, 112), 2), ((69, 56), 1), ((69, 56), 2)):
        warp = StandardWarp(canvas, "bilinear", "sums", oversampling=k)
        name = f"ours 112x112 to {canvas[1]}x{canvas[0]} bilinear sums, oversampling {k}"
        found.append(Way(name, n, lambda w=warp: w(small, inside, (112, 112))))
    letters = StandardWarp((35, 28), "averaged")
    found.append(Way("ours 112x112 to 28x35 averaged (letters, looks)", n, lambda: letters(small, inside, (112, 112))))
    few = max(1, n // 64)
    found.append(Way("triangle by triangle (OpenCV)", few, lambda: triangle_by_triangle(maps[:few], points[:few])))
    found.append(Way("PiecewiseAffineTransform (scikit-image)", 1, lambda: by_scikit_image(maps[:1], points[:1])))
    for one in EXPRESSIONS:
        found.append(Way(f"AU maps 224x224 {one}", n, lambda e=one: expression_maps(square, [e] * n, (224, 224))))
    return found


def peak(n: int) -> float:
    """MB that a call takes beside its input and output."""
    maps, points = np.ones((n, *CANVAS), np.float32), faces(n, CANVAS)
    StandardWarp()(maps[:1], points[:1], CANVAS)
    tracemalloc.start()
    StandardWarp()(maps, points, CANVAS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (most - maps.nbytes) / 1e6


def apart(warp: StandardWarp | None, jitter: float, n: int = 40, side: int = 112) -> float:
    """Mean distance of maps within two groups over that between them; below 1 groups show.

    Maps are about the corners of the lips or the inner brows, with 5 % noise; the face is shifted from map to map.
    """
    rng = np.random.default_rng(0)
    true = S68 * 0.28 + [22, 18] + rng.uniform(-6, 6, (2 * n, 1, 2))
    y, x = np.mgrid[:side, :side]
    maps = np.zeros((2 * n, side, side), np.float32)
    for i, face in enumerate(true):
        for point in face[[48, 54] if i < n else [20, 23]]:
            maps[i] += np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 2 / 3.5**2)
        maps[i] += 0.05 * maps[i].max() * rng.normal(size=(side, side))
    eyes = np.linalg.norm(true[0, 36:42].mean(0) - true[0, 42:48].mean(0))
    found = true + rng.normal(0, jitter * eyes, true.shape)
    rows = (maps if warp is None else warp(maps, found, (side, side)).values).reshape(2 * n, -1).astype(np.float64)
    rows /= np.abs(rows).sum(1, keepdims=True)
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    same = (np.arange(2 * n) < n)[:, None] == (np.arange(2 * n) < n)
    return float(distance[same & ~np.eye(2 * n, dtype=bool)].mean() / distance[~same].mean())


def compare() -> None:
    """How well two groups of maps are told apart in the crop and on the standard face."""
    print("\n| landmark jitter, of the eyes' distance | 0 % | 1 % | 2 % | 3 % |\n|---|---|---|---|---|")
    found: dict[str, StandardWarp | None] = {"crop": None}
    for keep in ("values", "sums"):
        found[f"112x138 {keep}"] = StandardWarp((138, 112), "bilinear", keep)
        found[f"56x69 {keep}"] = StandardWarp((69, 56), "bilinear", keep, oversampling=2)
    for name, warp in found.items():
        print(f"| {name} | {' | '.join(f'{apart(warp, jitter):.2f}' for jitter in (0, 0.01, 0.02, 0.03))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    found = ways(arguments.maps, arguments.threads)
    load = os.getloadavg()[0]
    for _ in range(arguments.rounds):
        for way in found:
            way.run()
    slowest = {way.name: min(way.cpu) for way in found}["PiecewiseAffineTransform (scikit-image)"]
    print(f"{arguments.maps} maps of 224x275, float32; load {load:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print("| way | maps a second | per core | scikit-image's CPU time over its own |\n|---|---|---|---|")
    for way in found:
        ratio = "" if way.name.startswith("AU") else f"{slowest / min(way.cpu):.0f}"
        print(f"| {way.name} | {1 / min(way.clock):,.0f} | {1 / min(way.cpu):,.0f} | {ratio} |")
    few, many = peak(64), peak(512)
    compare()
    print(f"\nmemory beside input and output: {few:.1f} MB for 64 maps, {many:.1f} MB for 512")


if __name__ == "__main__":
    main()
