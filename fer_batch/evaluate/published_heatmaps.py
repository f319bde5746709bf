"""Figures that Gaya-Morey et al. (2024) printed of their standardised heatmaps (methods 13.7)."""

from __future__ import annotations

import re
from types import MappingProxyType

GAYA_MOREY = "Gaya-Morey et al. 2024"
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")

_IOU = {
    "SilNet": (0.2565, 0.4336, 0.3845, 0.1150, 0.2902, 0.2908),
    "WeiNet": (0.2148, 0.3352, 0.2549, 0.1011, 0.2996, 0.1581),
    "AlexNet": (0.3311, 0.1873, 0.1259, 0.0910, 0.3175, 0.1869),
    "SongNet": (0.3520, 0.2338, 0.0864, 0.2636, 0.2943, 0.1632),
    "InceptionV3": (0.3073, 0.6412, 0.2444, 0.2261, 0.2755, 0.2513),
    "VGG19": (0.1240, 0.6320, 0.1294, 0.1727, 0.1109, 0.3050),
    "VGG16": (0.1164, 0.5752, 0.1273, 0.1523, 0.1171, 0.2936),
    "ResNet50": (0.1944, 0.5156, 0.2226, 0.2797, 0.4236, 0.3252),
    "ResNet101V2": (0.1811, 0.5697, 0.2004, 0.2793, 0.3446, 0.3152),
    "Xception": (0.1545, 0.4139, 0.2026, 0.2315, 0.2732, 0.2510),
    "MobileNetV3": (0.3322, 0.5250, 0.2594, 0.1849, 0.1039, 0.2555),
    "EfficientNetV2": (0.2401, 0.7212, 0.2069, 0.2583, 0.0990, 0.3242),
}
IOU = MappingProxyType({name: MappingProxyType(dict(zip(EXPRESSIONS, row, strict=True))) for name, row in _IOU.items()})
"""Table 3: intersection over union with the mask of each expression, by network. The row of SilNet does not follow from
the published maps."""

MEAN_IOU = MappingProxyType(
    dict(
        zip(
            _IOU,
            (0.2951, 0.2273, 0.2066, 0.2322, 0.3243, 0.2457, 0.2303, 0.3269, 0.3150, 0.2544, 0.2768, 0.3083),
            strict=True,
        )
    )
)
"""The last column of the same table, as it is printed."""

HEIGHTS = MappingProxyType(
    {"disgust": (0.2, 0.35), "happiness": (0.05, 0.2), "sadness": (0.15, 0.25), "surprise": (0.2, 0.5)}
)
"""Highest merge within the pretrained networks and within those from scratch, as section 5 quotes them; those of anger
and fear are not divided."""


def published_iou(network: str) -> MappingProxyType[str, float] | None:
    """The printed row of a network; that of `MobileNetV3` for `mobilenetv3large`, None for one that has none."""
    name = printed_name(network)
    return None if name is None else IOU[name]


def printed_name(network: str) -> str | None:
    """What the tables call a network: `MobileNetV3` for `mobilenetv3large`; None for one that they do not have.

    Parameters
    ----------
    network
        A name of it. One fold of a network (`AlexNet_CV1`) is not what the tables are of.
    """
    if re.search(r"(cv|fold)\W*_*\d+$", network.lower()):
        return None
    plain = "".join(filter(str.isalnum, network.lower()))
    exact = [name for name in IOU if plain == name.lower()]
    longest = sorted((name for name in IOU if plain.startswith(name.lower())), key=len)
    return (exact or longest)[-1] if exact or longest else None
