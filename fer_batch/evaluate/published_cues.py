"""Figures that Belharbi et al. (2024) printed of networks trained with maps of Action Units (methods 13.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

BELHARBI = "Belharbi et al. 2024"
DATASETS = MappingProxyType({"raf_db": "RAF-DB", "affectnet": "AffectNet"})


@dataclass(frozen=True)
class CueFigures:
    """One method, without and with the loss; each a pair, None where it is not printed.

    Attributes
    ----------
    accuracy
        CL, as a share of the test images.
    cam, attention
        CAM-COS and ATT-COS, means over six expressions.
    """

    accuracy: tuple[float, float]
    cam: tuple[float, float] | None
    attention: tuple[float, float]


_NAMES = ("CAM", "WILDCAT", "GradCAM", "GradCAM++", "ACoL", "PRM", "ADL", "CutMix", "LayerCAM", "TS-CAM", "APViT")
_RAF_DB = (
    CueFigures((0.8820, 0.8895), (0.55, 0.70), (0.57, 0.85)),
    CueFigures((0.8826, 0.8885), (0.52, 0.69), (0.47, 0.85)),
    CueFigures((0.8839, 0.8885), (0.55, 0.74), (0.63, 0.85)),
    CueFigures((0.8784, 0.8914), (0.60, 0.82), (0.52, 0.87)),
    CueFigures((0.8794, 0.8868), (0.54, 0.67), (0.46, 0.84)),
    CueFigures((0.8813, 0.8888), (0.48, 0.59), (0.43, 0.85)),
    CueFigures((0.8745, 0.8865), (0.50, 0.63), (0.51, 0.85)),
    CueFigures((0.8839, 0.8859), (0.55, 0.57), (0.51, 0.80)),
    CueFigures((0.8790, 0.8888), (0.60, 0.84), (0.52, 0.86)),
    CueFigures((0.8670, 0.8800), (0.58, 0.71), (0.55, 0.88)),
    CueFigures((0.9100, 0.9103), None, (0.38, 0.85)),
)
_AFFECTNET = (
    CueFigures((0.6088, 0.6237), (0.56, 0.69), (0.64, 0.82)),
    CueFigures((0.5988, 0.6162), (0.62, 0.80), (0.61, 0.81)),
    CueFigures((0.6077, 0.6208), (0.53, 0.75), (0.65, 0.82)),
    CueFigures((0.6022, 0.6245), (0.66, 0.83), (0.65, 0.82)),
    CueFigures((0.5828, 0.6148), (0.55, 0.65), (0.60, 0.81)),
    CueFigures((0.5777, 0.6097), (0.52, 0.75), (0.55, 0.82)),
    CueFigures((0.5788, 0.6125), (0.54, 0.66), (0.65, 0.83)),
    CueFigures((0.5874, 0.5988), (0.56, 0.58), (0.57, 0.82)),
    CueFigures((0.6077, 0.6245), (0.66, 0.83), (0.65, 0.82)),
    CueFigures((0.5899, 0.5954), (0.57, 0.58), (0.48, 0.79)),
    CueFigures((0.6062, 0.6228), None, (0.45, 0.84)),
)
METHODS = MappingProxyType(
    {
        name: MappingProxyType(dict(zip(_NAMES, rows, strict=True)))
        for name, rows in (("raf_db", _RAF_DB), ("affectnet", _AFFECTNET))
    }
)
"""Tables 1 and 2: every method by dataset."""

LAYERS = MappingProxyType(
    {
        (): (0.8820, 0.55),
        (1,): (0.8852, 0.58),
        (2,): (0.8826, 0.57),
        (3,): (0.8839, 0.56),
        (4,): (0.8862, 0.61),
        (5,): (0.8895, 0.70),
        (4, 5): (0.8878, 0.67),
        (3, 4, 5): (0.8878, 0.67),
        (2, 3, 4, 5): (0.8855, 0.67),
        (1, 2, 3, 4, 5): (0.8846, 0.67),
    }
)
"""Table 3, RAF-DB with CAM: accuracy and CAM-COS by the layers that are aligned, 5 the last."""

STRENGTHS = MappingProxyType(
    {
        0.0: (0.8820, 0.55, 0.57),
        0.01: (None, 0.58, 0.66),
        1.0: (None, 0.67, 0.83),
        4.0: (0.8895, 0.71, 0.86),
    }
)
"""Figure 5, RAF-DB with CAM, read off the plot: accuracy, CAM-COS and ATT-COS by lambda. Beyond, CAM-COS stays at about
.73 and ATT-COS at .87 to .88, while the accuracy falls to between .879 and .886."""

_OF_EXPLANATION = MappingProxyType(
    {"cam": "CAM", "class_map": "CAM", "grad_cam": "GradCAM", "grad_cam_pp": "GradCAM++", "layer_cam": "LayerCAM"}
)

_OF_HEAD = ("cam", "class_map")


def printed_method(explanation: str, network: Sequence[str] = ()) -> str | None:
    """What the tables call a method: `GradCAM++` for `grad_cam_pp`; None for one that they do not have.

    Parameters
    ----------
    explanation
        Method of the explanation.
    network
        Words that tell the network from others, such as `wildcat`: a method that is trained goes by them, and only
        the maps of its own head are printed, of APViT, which has none, its attention.
    """
    plain = {name.lower().replace("-", ""): name for name in _NAMES if name not in _OF_EXPLANATION.values()}
    words = [word.lower().replace("-", "").replace("_", "") for word in network]
    trained = next((name for key, name in plain.items() for word in words if word.startswith(key)), None)
    if trained is not None:
        return trained if explanation in _OF_HEAD or (trained, explanation) == ("APViT", "attention") else None
    return _OF_EXPLANATION.get(explanation)
