"""Figures that papers printed, for comparison tables (methods 13.1 to 13.3)."""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from fer_batch.evaluate.summary import ALL, GroupStatistics, statistics_table

DATASETS = ("Actor Study", "CK+", "UNBC")
_FORMS = MappingProxyType(  # beginnings of what remains of a name in letters and digits, + being "plus"
    {
        "ckplus": "CK+",
        "cohnkanade": "CK+",
        "extendedcohnkanade": "CK+",
        "actorstudy": "Actor Study",
        "unbc": "UNBC",
        "shoulderpain": "UNBC",
    }
)


def published_name(dataset: str) -> str | None:
    """The name under which papers printed figures of a data set: `CK+` for `ck_plus`, `CKplus` or `ck+ (peak)`."""
    plain = re.sub(r"[^a-z0-9]", "", dataset.lower().replace("+", "plus"))
    return next((name for form, name in _FORMS.items() if plain.startswith(form)), None)


_CK_PLUS = (  # sequences, mean frames, co-occurrence prototypes, prototypes, mean stages, mean reduction
    ("Fear", 25, 21.84, 22, 25, 7.88, 0.64),
    ("Disgust", 59, 14.71, 58, 59, 6.85, 0.52),
    ("Happy", 69, 19.27, 56, 65, 6.57, 0.65),
    ("Sadness", 28, 19.53, 28, 28, 6.89, 0.63),
    ("Surprise", 83, 16.0, 36, 56, 3.4, 0.78),
    ("Angry", 45, 22.7, 43, 45, 8.07, 0.62),
    ("Contempt", 18, 12.9, 16, 17, 4.28, 0.65),
    ("None", 266, 18.26, 214, 243, 6.09, 0.66),
    ("all", 593, 18.1, 455, 525, 6.06, 0.66),
)

CK_PLUS = MappingProxyType({row[0]: GroupStatistics(*row, ratio_of_means=1 - row[5] / row[2]) for row in _CK_PLUS})
"""Finzel et al. 2021, Table 1. The column sums of prototypes exceed `all`: some occur in several classes."""

ACTOR_STUDY_FRAMES, ACTOR_STUDY_STAGES = 129.0, 18.0
"""Means of the Actor Study recordings in the text of Finzel et al. 2021."""

PROTOTYPES = MappingProxyType(
    {
        "CK+": statistics_table(tuple(CK_PLUS.values())),
        "Actor Study": {
            "mean frames": {ALL: ACTOR_STUDY_FRAMES},
            "mean stages": {ALL: ACTOR_STUDY_STAGES},
            "mean reduction": {ALL: 0.86},
        },
    }
)
"""Row name to class to figure, as `statistics_table` lays it out; what was not printed is absent."""

_CLASSES = MappingProxyType(
    {"happiness": "Happy", "sad": "Sadness", "anger": "Angry", "fearful": "Fear", "disgusted": "Disgust"}
    | {"surprised": "Surprise"}
    | {name.lower(): name for name in ("Fear", "Disgust", "Happy", "Sadness", "Surprise", "Angry", "Contempt")}
)


def published_class(emotion: str) -> str:
    """The column of Finzel et al. 2021, Table 1, that an emotion belongs to; itself where there is none."""
    return _CLASSES.get(emotion.lower(), emotion)


_AUS = ("AU04", "AU06", "AU07", "AU09", "AU10", "AU25", "AU26", "AU27")


def _by_au(*values: float) -> MappingProxyType[str, float]:
    return MappingProxyType({au: v for au, v in zip(_AUS, values, strict=False) if not math.isnan(v)})


F1 = MappingProxyType(
    {
        ("Actor Study", "OpenFace"): _by_au(0.42, 0.47, 0.33, 0.21, 0.19, 0.44, 0.37),
        ("Actor Study", "ResNet"): _by_au(0.68, 0.55, 0.62, 0.48, 0.32, 0.83, 0.60, 0.57),
        ("UNBC", "RAN"): _by_au(0.16, 0.29, 0.01, 0.45, 0.32),
        ("UNBC", "IdenNet"): _by_au(0.10, 0.33, 0.13, math.nan, 0.03),
        ("UNBC", "ResNet"): _by_au(0.19, 0.43, 0.38, 0.09, 0.02, 0.34, 0.03),
    }
)
"""Rieger et al. 2020, Tables 1 and 2: by data set and network; a figure that was not printed is absent."""

MU = MappingProxyType(
    {
        "Actor Study": _by_au(0.50, 0.42, 0.43, 0.36, 0.20, 0.47, 0.49, 0.49),
        "CK+": _by_au(0.554, 0.475, 0.52, 0.736, 0.516, 0.35, 0.326, 0.341),
        "UNBC": _by_au(0.50, 0.50, 0.57, 0.69, 0.44, 0.35, 0.20),
    }
)
"""Rieger et al. 2020, Table 3: mean mu of correctly predicted AUs."""

MU_N = MappingProxyType(
    {
        "Actor Study": _by_au(11249, 6887, 13098, 3363, 3143, 13497, 7537, 1214),
        "CK+": _by_au(3753, 2174, 2222, 1191, 383, 5358, 882, 1285),
        "UNBC": _by_au(291, 1740, 1439, 213, 7, 738, 33),
    }
)
"""Frames behind `MU`."""
