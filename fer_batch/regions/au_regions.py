"""The image region that each Action Unit names (methods 2.3, 2.4), from a table of landmark rules that is data."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch import facs, registry, types
from fer_batch.regions.geometry import checked, inner_corner_distance, interocular_distance, upright

_TABLES = MappingProxyType({"default": "au_regions.json"})
_SIDES = MappingProxyType({"left": 0, "top": 1, "right": 0, "bottom": 1})  # the axis of each
_TAKE: MappingProxyType[str, Callable[..., Any]] = MappingProxyType({"mean": np.mean, "min": np.min, "max": np.max})

_ROUNDING = 1e-6  # px; a pixel centre on the edge of a turned box stays inside
_BLOCK = 128  # frames whose pixel grids are turned at a time


@dataclass(frozen=True)
class RegionTable:
    """Rules that make regions from landmarks.

    Attributes
    ----------
    name
        `default`, or that of a table of the user's.
    half_side_icd
        Half side of the square around a centre, in inner-corner distances.
    centres, boxes
        Rules by target; where a target has boxes, these are its region.
    words
        What a region is called in a sentence, by target, such as `the upper lip`.
    version
        Name and first 8 hex digits of the sha256 of the rules: stored with every figure that used them.
    """

    name: str
    half_side_icd: float
    centres: Mapping[str, list[dict[str, Any]]]
    boxes: Mapping[str, list[dict[str, dict[str, Any]]]]
    words: Mapping[str, str]
    version: str

    @classmethod
    def from_rules(cls, rules: Mapping[str, Any]) -> RegionTable:
        """Check a table as JSON or YAML gives it.

        Raises
        ------
        types.InputError
            If a rule is not understood; the message names it.
        """
        unknown = rules.keys() - {"name", "about", "words", "half_side_icd", "centres", "boxes"}
        if unknown or "name" not in rules:
            raise types.InputError(
                f"a region table has name, about, words, half_side_icd, centres, boxes; got {sorted(rules)}"
            )
        centres, boxes = rules.get("centres", {}), rules.get("boxes", {})
        for target, places in centres.items():
            for place in places:
                _check_rule(place, f"centres.{target}", {"points", "down_icd"})
        for target, outlines in boxes.items():
            for outline in outlines:
                if outline.keys() != _SIDES.keys():
                    raise types.InputError(f"boxes.{target} needs {', '.join(_SIDES)}; got {sorted(outline)}")
                for side, rule in outline.items():
                    _check_rule(rule, f"boxes.{target}.{side}", {"points", "take", "plus_iod"})
        half_side = float(rules.get("half_side_icd", 0.5))
        content = json.dumps([half_side, centres, boxes], sort_keys=True)
        version = f"{rules['name']}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        return cls(
            name=rules["name"],
            half_side_icd=half_side,
            centres=MappingProxyType(dict(centres)),
            boxes=MappingProxyType(dict(boxes)),
            words=MappingProxyType(dict(rules.get("words", {}))),
            version=version,
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that have a region."""
        return tuple(sorted(self.centres.keys() | self.boxes.keys()))


def _check_rule(rule: Mapping[str, Any], where: str, keys: set[str]) -> None:
    points = rule.get("points", [])
    if rule.keys() - keys or not points or not all(isinstance(p, int) and 0 <= p < 68 for p in points):
        raise types.InputError(f"region rule {where} needs points from 0 to 67 and may have {sorted(keys)}; got {rule}")
    if rule.get("take", "mean") not in _TAKE:
        raise types.InputError(f"region rule {where}: unknown take; {registry.nearest(str(rule['take']), _TAKE)}")


@functools.cache
def region_table(name: str = "default") -> RegionTable:
    """A table that the package ships.

    Raises
    ------
    types.InputError
        If there is none of this name.
    """
    if name not in _TABLES:
        raise types.InputError(f"unknown region table {name!r}; {registry.nearest(name, _TABLES)}")
    return RegionTable.from_rules(json.loads(resources.files(__package__).joinpath(_TABLES[name]).read_text()))


def _table(version: str | RegionTable) -> RegionTable:
    return version if isinstance(version, RegionTable) else region_table(version)


def regions_version(version: str | RegionTable = "default") -> str:
    """What `regions_version` columns store for this table."""
    return _table(version).version


def has_region(target: str, version: str | RegionTable = "default") -> bool:
    """Whether the table says where a target shows."""
    return _name(target) in _table(version).targets


def region_words(target: str, version: str | RegionTable = "default") -> str:
    """A region as a sentence names it: `the upper lip`; `the region of X` where the table has no words for it."""
    return _table(version).words.get(_name(target), f"the region of {target}")


def _name(target: str) -> str:
    au_id = facs.au_id(target)
    return target if au_id is None else facs.au_name(au_id)


def centres(landmarks: ArrayLike, target: str, version: str | RegionTable = "default") -> NDArray[np.float64] | None:
    """Centres of an Action Unit on faces whose eye line is level.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels
    target
        `AU04`, `AU4`, or a name of the user's table.
    version
        A shipped table by name, or a table.

    Returns
    -------
    shape (n, c, 2), float64, pixels, or None
        The subject's right side first; None where the table has no centre of this target.

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).

    References
    ----------
    Methods 2.3; Li et al. (2017), EAC-Net; Shao et al. (2018), JAA-Net.
    """
    rules = _table(version).centres.get(_name(target))
    if rules is None:
        return None
    points = checked(landmarks)
    down = np.array([0.0, 1.0])
    scale = inner_corner_distance(points)[:, None] * down
    return np.stack([points[:, rule["points"]].mean(axis=1) + rule.get("down_icd", 0.0) * scale for rule in rules], 1)


def boxes(landmarks: ArrayLike, target: str, version: str | RegionTable = "default") -> NDArray[np.float64] | None:
    """Boxes of a target on faces whose eye line is level, not clipped.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels
    target
        `AU04`, `AU4`, or a name of the user's table.
    version
        A shipped table by name, or a table.

    Returns
    -------
    shape (n, b, 4), float64, pixels, or None
        x0, y0, x1, y1, ends inclusive; None where the table has no region of this target.

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).
    """
    table = _table(version)
    rules = table.boxes.get(_name(target))
    points = checked(landmarks)
    if rules is None:
        middle = centres(points, target, table)
        if middle is None:
            return None
        half = table.half_side_icd * inner_corner_distance(points)[:, None, None]
        return np.concatenate([middle - half, middle + half], axis=2)
    iod = interocular_distance(points)
    sides = [
        _TAKE[rule.get("take", "mean")](points[:, rule["points"], axis], axis=1) + rule.get("plus_iod", 0.0) * iod
        for outline in rules
        for side, axis in _SIDES.items()
        for rule in [outline[side]]
    ]
    return np.stack(sides, axis=1).reshape(len(points), len(rules), 4)


def region_outlines(
    landmarks: ArrayLike, target: str, version: str | RegionTable = "default"
) -> NDArray[np.float64] | None:
    """Corners of the boxes of a target as they lie in the image, for drawing.

    Parameters
    ----------
    landmarks : shape (n, 68, 2), pixels
        NaN where there is no face.
    target
        `AU04`, `AU4`, or a name of the user's table.
    version
        A shipped table by name, or a table.

    Returns
    -------
    shape (n, b, 4, 2), float64, pixels (x, y), or None
        Clockwise from the top left of the upright face; NaN where the landmarks are undefined. None where the table has
        no region of this target.

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).
    """
    turned, rotation, pivot = upright(checked(landmarks))
    found = boxes(turned, target, version)
    if found is None:
        return None
    corners = found[..., [[0, 1], [2, 1], [2, 3], [0, 3]]] - pivot[:, None, None]
    return np.einsum("nji,nbkj->nbki", rotation, corners) + pivot[:, None, None]


def region_masks(
    landmarks: ArrayLike, target: str, shape: tuple[int, int], version: str | RegionTable = "default"
) -> NDArray[np.bool_] | None:
    """Where in the image a target shows: the union of its boxes, which stand upright on the face (methods BX-1).

    Parameters
    ----------
    landmarks : shape (n, 68, 2)
        Pixels of the image the masks are for, pixel centres at integers; NaN where there is no face.
    target
        `AU04`, `AU4`, or a name of the user's table.
    shape
        Height and width.
    version
        A shipped table by name, or a table.

    Returns
    -------
    bool, shape (n, h, w), or None
        True at pixels whose centre is in a box, edges included; nowhere in a frame whose landmarks are undefined.
        None where the target has no region.

    Raises
    ------
    ValueError
        If the landmarks are not (n, 68, 2).
    """
    table = _table(version)
    points = checked(landmarks)
    if not has_region(target, table):
        return None
    height, width = shape
    masks = np.zeros((len(points), height, width), dtype=bool)
    for start in range(0, len(points), _BLOCK):
        turned, rotation, pivot = upright(points[start : start + _BLOCK])
        found = boxes(turned, target, table)
        assert found is not None
        across, down = np.arange(width) - pivot[:, :1], np.arange(height) - pivot[:, 1:]
        x, y = (
            rotation[:, i, 0, None, None] * across[:, None, :]
            + rotation[:, i, 1, None, None] * down[:, :, None]
            + pivot[:, i, None, None]
            for i in (0, 1)
        )
        for x0, y0, x1, y1 in np.moveaxis(found, (1, 2), (0, 1))[..., None, None]:
            inside = (x >= x0 - _ROUNDING) & (x <= x1 + _ROUNDING) & (y >= y0 - _ROUNDING) & (y <= y1 + _ROUNDING)
            masks[start : start + _BLOCK] |= inside
    return masks
