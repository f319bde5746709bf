"""What options of comparisons may be; asked before anything is trained, and again where they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fer_batch.facs import CODEBOOKS
from fer_batch.registry import nearest
from fer_batch.types import InputError

COUNTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "grids": ("people",),
        "misclassified": ("pairs",),
        "randomisation": ("images", "steps", "seeds"),
        "faithfulness": ("images", "n_segments", "n_random"),
        "action_unit_cues": ("images",),
        "heatmap_differences": ("n_arrangements",),
    }
)
CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "faithfulness": {"segments": ("superpixels", "grid"), "score": ("logit", "softmax", "sigmoid")},
        "action_unit_cues": {"codebook": tuple(CODEBOOKS)},
        "standard_heatmaps": {"scale": ("none", "max")},
    }
)


def check_options(comparison: str, options: Mapping[str, object]) -> None:
    """Refuse values that a comparison cannot work with.

    Parameters
    ----------
    comparison
        Its name.
    options
        By name; what is not given has its default.

    Raises
    ------
    InputError
        One sentence, of the first.
    """
    for name in COUNTS.get(comparison, ()):
        value = options.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"compare.{comparison}.{name}: expected a whole number from 1, got {value!r}")
    for name, choices in CHOICES.get(comparison, {}).items():
        value = options.get(name, choices[0])
        if value not in choices:
            raise InputError(f"compare.{comparison}.{name}: unknown value {value!r}; {nearest(str(value), choices)}")
    _check_cues(comparison, options)
    columns = options.get("columns") if comparison == "grids" else None
    if columns is not None and not (isinstance(columns, Mapping) and columns):
        raise InputError(f"compare.grids.columns: expected a title and a label each, such as {{pain: pain3}}, "
                         f"got {columns!r}")  # fmt: skip


def _check_cues(comparison: str, options: Mapping[str, object]) -> None:
    if comparison != "action_unit_cues":
        return
    layers, release = options.get("layers", ()), options.get("disgust_release", False)
    if isinstance(layers, str) or not isinstance(layers, Sequence) or any(not isinstance(one, str) for one in layers):
        raise InputError(f"compare.action_unit_cues.layers: expected a list of modules, such as [layer4], got "
                         f"{layers!r}")  # fmt: skip
    if not isinstance(release, bool):
        raise InputError(f"compare.action_unit_cues.disgust_release is true or false, got {release!r}")
