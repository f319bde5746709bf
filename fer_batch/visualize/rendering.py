"""How the maps of every explanation method are shown: one table, and the picture that each look makes of a map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.types import MapStyle
from fer_batch.visualize.heatmap import bwr, overlay, resize_face
from fer_batch.visualize.superpixels import best_segments, signed_segments

Look = Literal["signed", "saliency", "standardised", "overlay", "best_segments", "signed_segments"]
_UNDEFINED = 204
_JET = MapStyle(colours="jet")


@dataclass(frozen=True)
class Rendering:
    """How one method is shown.

    Attributes
    ----------
    title
        Its name on pictures and pages.
    looks
        One picture each; LIME has two (methods X-11).
    """

    title: str
    looks: tuple[Look, ...] = ("signed",)


RENDERING: Mapping[str, Rendering] = MappingProxyType(
    {
        "deconvnet": Rendering("deconvnet", ("standardised",)),
        "gradient": Rendering("gradient (saliency)", ("saliency",)),
        "guided_backprop": Rendering("guided backpropagation", ("standardised",)),
        "grad_cam": Rendering("Grad-CAM", ("overlay",)),
        "guided_grad_cam": Rendering("guided Grad-CAM", ("standardised",)),
        "z": Rendering("LRP z"),
        "preset_a_flat": Rendering("LRP preset A flat"),
        "preset_b_flat": Rendering("LRP preset B flat"),
        "epsilon": Rendering("LRP ε"),
        "lime": Rendering("LIME", ("best_segments", "signed_segments")),
        "epsilon_gamma_box": Rendering("LRP ε, γ, box"),
        "gradient_times_input": Rendering("gradient × input"),
        "integrated_gradients": Rendering("integrated gradients"),
        "smooth_grad": Rendering("SmoothGrad", ("saliency",)),
        "cam": Rendering("CAM", ("overlay",)),
        "grad_cam_pp": Rendering("Grad-CAM++", ("overlay",)),
        "layer_cam": Rendering("LayerCAM", ("overlay",)),
        "attention": Rendering("attention", ("overlay",)),
        "class_map": Rendering("class map", ("overlay",)),
        "peak_response": Rendering("peak response", ("saliency",)),
    }
)
"""Method to how it is shown, in the order in which comparisons list methods (methods 14, PD 5.4 to 5.17, first)."""

# What each look shows, for captions.
LEGENDS: Mapping[str, str] = MappingProxyType(
    {
        "signed": "red speaks for the class, blue against it, white neither; each map divided by its largest magnitude",
        "saliency": "black: no influence, white: the largest of the map",
        "standardised": "mid grey: the mean of the map; white and black: two standard deviations above and below",
        "overlay": "over the greyed face, from nothing where the map is lowest to red where it is highest",
        "best_segments": "the at most three superpixels that speak most for the class; the rest is grey",
        "signed_segments": "green speaks for the class, striped red against it, stronger where the weight is larger",
    }
)
_SUFFIXES = {"best_segments": "positive", "signed_segments": "±"}


def method_of(variant: str) -> str:
    """The method of a variant: `lime` of `lime (n_samples=10)`."""
    return variant.partition(" (")[0]


def rendering(variant: str) -> Rendering:
    """How a method is shown, or a variant of it: by its method's looks, and what it varies behind the title.

    A method that the table lacks is shown under its own name in blue, white and red.
    """
    method = method_of(variant)
    known = RENDERING.get(method)
    return Rendering(variant) if known is None else Rendering(known.title + variant[len(method) :], known.looks)


def view_title(variant: str, look: Look) -> str:
    """Name of one picture of a method or variant: `LIME ±`, `LRP z`, `LIME ± (n_samples=10)`."""
    method = method_of(variant)
    looks, whole = rendering(variant).looks, rendering(method).title
    suffix = f" {_SUFFIXES[look]}" if len(looks) > 1 and look in _SUFFIXES else ""
    return f"{whole}{suffix}{variant[len(method) :]}"


def views(variants: Iterable[str]) -> list[tuple[str, Look]]:
    """(variant, look) of every picture that some make of one image, by their methods in the order of `RENDERING`."""
    order = {name: number for number, name in enumerate(RENDERING)}
    known = sorted(dict.fromkeys(variants), key=lambda name: order.get(method_of(name), len(order)))
    return [(name, look) for name in known for look in rendering(name).looks]


def rendered(face: NDArray[np.uint8], relevance: NDArray[np.floating], look: Look) -> NDArray[np.uint8]:
    """The picture of one map.

    Parameters
    ----------
    face : shape (H, W) or (H, W, 3), uint8
        The crop that was explained; `signed`, `saliency` and `standardised` show the map alone.
    relevance : shape (h, w)
        Of any grid.
    look
        As `RENDERING` has it.

    Returns
    -------
    shape (H, W, 3) or (h, w, 3), uint8, RGB
        Plain grey where the map is undefined.

    Raises
    ------
    ValueError
        If the look is none of these.
    """
    if look not in LEGENDS:
        raise ValueError(f"look is one of {sorted(LEGENDS)}, got {look!r}")
    if not np.isfinite(relevance).all():
        return np.full((*relevance.shape, 3), _UNDEFINED, np.uint8)
    if look == "signed":
        return bwr(relevance)
    if look == "saliency":
        return saliency(relevance)
    if look == "standardised":
        return standardised(relevance)
    if look == "best_segments":
        return best_segments(face, relevance)
    if look == "signed_segments":
        return signed_segments(face, relevance)
    return overlay(resize_face(face, *face.shape[:2]), relevance, _JET)


def saliency(relevance: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Magnitude in grey, from black at zero to white at the largest (methods X-1, RV-3).

    Parameters
    ----------
    relevance : shape (h, w)
        `max_c |w|`, or a signed map, whose magnitude is shown.

    Returns
    -------
    shape (h, w, 3), uint8
        A map of zeros is black.
    """
    values = np.abs(np.asarray(relevance, np.float64))
    return _grey(values / max(values.max(initial=0.0), np.finfo(np.float64).tiny))


def standardised(relevance: NDArray[np.floating]) -> NDArray[np.uint8]:
    r"""Grey values of :math:`\mathrm{clip}(0.25 (x - \bar x) / s_x + 0.5, 0, 1)` (methods X-3).

    Parameters
    ----------
    relevance : shape (h, w)
        Mean :math:`\bar x` and standard deviation :math:`s_x` are those of the map.

    Returns
    -------
    shape (h, w, 3), uint8
        A constant map is mid grey.
    """
    values = np.asarray(relevance, np.float64)
    spread, rounding = values.std(), 1e-9 * np.abs(values).max(initial=0.0)
    centred = (values - values.mean()) / spread if spread > rounding else np.zeros_like(values)
    return _grey(np.clip(0.25 * centred + 0.5, 0, 1))


def _grey(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.repeat(np.round(255 * values).astype(np.uint8)[..., None], 3, axis=-1)
