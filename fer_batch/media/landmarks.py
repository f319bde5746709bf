"""Faces and their 68 landmarks in raw frames: detectors, and dlib's as one of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.registry import Registry, check_own_code, nearest
from fer_batch.types import InputError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes
    ----------
    box : (left, top, right, bottom)
        The detector's box in image pixels, inclusive; it may reach outside of the image.
    landmarks : shape (68, 2), float32, or None
        iBUG points in image pixels; None from a detector that has none.
    score
        The detector's confidence on its own scale; NaN where the box was propagated.
    """

    box: Box
    landmarks: NDArray[np.float32] | None
    score: float

    def __post_init__(self) -> None:
        if self.landmarks is not None and self.landmarks.shape != (68, 2):
            raise ValueError(f"landmarks must have shape (68, 2), got {self.landmarks.shape}")


class Detector(Protocol):
    """Anything that finds faces in an RGB uint8 image [H, W, 3], largest first."""

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in the image, largest first."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """A detector that can also place landmarks in a given box; `finder.FaceFinder` propagates boxes with it."""

    def landmarks_in(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
        """Landmarks of the face whose detector box is `box`: shape (68, 2), float32, image pixels."""
        ...


@runtime_checkable
class Searcher(Protocol):
    """A detector with a second, slower search for small faces; `finder.FaceFinder` uses it every few frames."""

    def look_closer(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an RGB uint8 image of shape (H, W, 3), largest first."""
        ...


DETECTORS: Registry[Callable[[], Detector]] = Registry("face detector")


def check_detector(name: str) -> None:
    """Refuse a detector that cannot be loaded, without loading it.

    Raises
    ------
    InputError
        If the name is unknown, its module is absent, or the optional extra is not installed.
    """
    if name == "dlib":
        _dlib_model()
    elif ":" in name:
        check_own_code(name, "faces.detector")
        package = name.partition(":")[0].partition(".")[0]
        if not package or importlib.util.find_spec(package) is None:
            raise InputError(f"faces.detector: {name!r} names the package {package!r}, which is not installed")
    elif name not in DETECTORS:
        known = [*DETECTORS, "none", "dataset"]
        raise InputError(
            f"faces.detector: unknown detector {name!r}; {nearest(name, known)}; or give package.module:factory"
        )


def load_detector(name: str) -> Detector:
    """Make the detector that a job names: one of `DETECTORS`, or the import path `package.module:factory`.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    check_detector(name)
    if name in DETECTORS:
        return DETECTORS[name]()
    module_name, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"faces.detector: {name!r} cannot be imported: {error}") from error
    return factory()


@DETECTORS.register("dlib")
def dlib_detector(work_side: int = 640, min_score: float = 0.15) -> DlibDetector:
    """dlib's frontal HOG detector with its 68-point predictor (King 2009; Kazemi & Sullivan 2014).

    Parameters
    ----------
    work_side
        Longer side in pixels of the picture that is searched; faces of about 80 px and more are found there. The cost
        grows with its square. `look_closer` searches at twice this side.
    min_score
        Lower scores are mostly not faces.

    Raises
    ------
    InputError
        If the optional extra is not installed.
    """
    return DlibDetector(_dlib_model(), work_side, min_score)


class DlibDetector:
    """See `dlib_detector`; the model file is loaded once."""

    def __init__(self, model: Path, work_side: int = 640, min_score: float = 0.15) -> None:
        import dlib

        if work_side < 80:
            raise ValueError(f"work_side must be at least 80 px, the size of the smallest face, got {work_side}")
        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(model))
        self.work_side = work_side
        self.min_score = min_score

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an RGB image, largest first."""
        return self._search(image, self.work_side)

    def look_closer(self, image: NDArray[np.uint8]) -> list[Face]:
        """Like a call, for faces half as large; `image` is RGB uint8 of shape (H, W, 3)."""
        return self._search(image, 2 * self.work_side)

    def _search(self, image: NDArray[np.uint8], side: int) -> list[Face]:
        # Twice the source is what dlib's own upsampling does; beyond it only the cost grows.
        scale = min(side / max(image.shape[:2]), 2.0)
        small = image if scale == 1.0 else _resized(image, scale)
        rectangles, scores, _ = self._detector.run(np.ascontiguousarray(small), 0, self.min_score)
        faces = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            corners = (rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1)
            left, top, right, bottom = (round(corner / scale) for corner in corners)
            box = (float(left), float(top), float(right - 1), float(bottom - 1))
            faces.append(Face(box, self.landmarks_in(image, box), float(score)))
        return sorted(faces, key=lambda face: box_area(face.box), reverse=True)

    def landmarks_in(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
        """Landmarks of the face in a box of this detector.

        Parameters
        ----------
        image : shape (H, W, 3), uint8
            RGB.
        box
            Image pixels.

        Returns
        -------
        shape (68, 2), float32, image pixels
        """
        rectangle = self._dlib.rectangle(*(round(edge) for edge in box))
        shape = self._predictor(np.ascontiguousarray(image), rectangle)
        return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)  # type: ignore[return-value]


def box_area(box: Box) -> float:
    """Pixels in a box, whose edges are inclusive."""
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def _dlib_model() -> Path:
    """The predictor's file; found without importing its package, which needs the removed pkg_resources."""
    absent = [name for name in ("dlib", "face_recognition_models") if importlib.util.find_spec(name) is None]
    if not absent:
        spec = importlib.util.find_spec("face_recognition_models")
        assert spec is not None
        for folder in spec.submodule_search_locations or ():
            model = Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat"
            if model.is_file():
                return model
        absent = ["shape_predictor_68_face_landmarks.dat"]
    raise InputError(
        f"faces.detector: 'dlib' needs {' and '.join(absent)}, which is not installed: run "
        "pip install 'fer_batch[landmarks]', or set faces.detector: none to take the whole frame, or give landmarks "
        "in the source and set faces.detector: dataset"
    )
