"""Heatmaps and masks as folders of plain PNG files, one a network and expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fer_batch.sources.labels import expression_named
from fer_batch.types import InputError

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class HeatmapFiles:
    """Grey heatmaps of networks, and the mask of each expression.

    Attributes
    ----------
    maps
        By expression, then by network: uint8, shape (H, W).
    masks
        By expression: bool, shape (H, W).
    left_out
        Files that name no expression of a mask.
    """

    maps: Mapping[str, Mapping[str, Grey]]
    masks: Mapping[str, NDArray[np.bool_]]
    left_out: tuple[str, ...] = ()

    @property
    def networks(self) -> list[str]:
        """All networks that have a map, by name."""
        return sorted({name for of_expression in self.maps.values() for name in of_expression})


def read_heatmaps(maps: str, masks: str) -> HeatmapFiles:
    """Read a folder of heatmaps and one of masks.

    Parameters
    ----------
    maps
        Folder of grey PNG files. The words of a path (split at `/`, `_` and whatever is no letter or digit) hold the
        expression, as a mask has it in its name, and the network: `anger/ResNet50.png`, `ResNet50/anger.png` or
        `ResNet50_Anger_heatmap.png`. Words that all files share are no part of the network's name. Files of an
        expression without a mask are left out.
    masks
        Folder of black and white PNG files, named by expression: `anger.png`, or `Angry_gt.png`.

    Raises
    ------
    InputError
        For a folder without PNG files, or without any that names an expression, two files of one network and
        expression, a picture in colour or with transparent parts, a mask of one or of more than two values, or a map
        that is not as large as its mask.
    """
    named = _named_masks(masks)
    found: dict[str, dict[str, Grey]] = {}
    all_paths = _pictures(maps)
    words = {path: _words(path.relative_to(maps)) for path in all_paths}
    known = {path: _expression(path, words[path], named) for path in all_paths}
    expressions = {path: name for path, name in known.items() if name}
    if not expressions:
        expected = f"expected one of {', '.join(named)}, as the masks are called"
        raise InputError(f"no file of {maps!r} names an expression, such as {str(all_paths[0])!r}; {expected}")
    paths = list(expressions)
    rest = {path: _without(words[path], _words(Path(name))) for path, name in expressions.items()}
    shared = _shared(rest.values()) if len(paths) > 1 else set()
    for path in paths:
        kept = [word for word in rest[path] if word.lower() not in shared]
        network = "_".join(kept or rest[path]) or "map"
        of_expression = found.setdefault(expressions[path], {})
        if network in of_expression:
            raise InputError(f"{str(path)!r} is a second map of {network} for {expressions[path]}")
        of_expression[network] = _grey(path)
    read = {name: _mask(path) for name, path in named.items() if name in found}
    for expression, of_expression in found.items():
        for network, grey in of_expression.items():
            if grey.shape != read[expression].shape:
                raise InputError(
                    f"the map of {network} for {expression} has {grey.shape[1]} x {grey.shape[0]} pixels, its mask "
                    f"{read[expression].shape[1]} x {read[expression].shape[0]}; bring both to one standard face first"
                )
    by_name = {name: dict(sorted(found[name].items())) for name in sorted(found)}
    return HeatmapFiles(by_name, read, tuple(str(path) for path in all_paths if not known[path]))


def _pictures(folder: str) -> list[Path]:
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".png" and path.is_file())
    if not paths:
        raise InputError(f"{folder!r} holds no PNG files" if Path(folder).is_dir() else f"{folder!r} is no folder")
    return paths


def _words(path: Path) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", str(path.with_suffix("")))


def _plain(word: str) -> str:
    """A word by which files and masks are matched: in lower case, and `anger` for `Angry`."""
    return expression_named(word).lower()


def _shared(names: Iterable[Sequence[str]]) -> set[str]:
    """Words that all names have, in lower case."""
    return set.intersection(*({word.lower() for word in name} for name in names))


def _without(words: Sequence[str], left_out: Sequence[str]) -> list[str]:
    return [word for word in words if _plain(word) not in {_plain(other) for other in left_out}]


def _named_masks(folder: str) -> dict[str, Path]:
    """Masks by expression, in lower case; words that all of them share (`mask`) are no part of it."""
    paths = _pictures(folder)
    shared = _shared([_words(path.relative_to(folder)) for path in paths]) if len(paths) > 1 else set()
    named: dict[str, Path] = {}
    for path in paths:
        words = [word.lower() for word in _words(path.relative_to(folder))]
        name = "_".join([word for word in words if word not in shared] or words)
        if name in named:
            raise InputError(f"{str(path)!r} is a second mask of {name}")
        named[name] = path
    return named


def _expression(path: Path, words: Sequence[str], masks: Iterable[str]) -> str:
    """The expression that a path names; empty where it is none of the masks'."""
    plain = {_plain(word) for word in words}
    found = [name for name in masks if plain.issuperset(map(_plain, _words(Path(name))))]
    if len(found) > 1:
        raise InputError(f"{str(path)!r} names {' and '.join(found)}; expected one expression")
    return found[0] if found else ""


def _grey(path: Path) -> Grey:
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would cut off what is above 255
                raise InputError(f"{str(path)!r} has more than 8 bits a pixel; expected a grey map of 0 to 255")
            if image.has_transparency_data and np.ptp(np.asarray(image.convert("RGBA"))[..., 3]):
                raise InputError(f"{str(path)!r} has transparent parts; expected grey values that say all")
            pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{str(path)!r} cannot be read as a picture: {error}") from error
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise InputError(f"{str(path)!r} is in colour; expected the grey map, before any colours were given to it")
        pixels = pixels[..., 0]
    return pixels


def _mask(path: Path) -> NDArray[np.bool_]:
    grey = _grey(path)
    values = np.unique(grey)
    if len(values) != 2:
        which = f"{len(values)} grey values" if len(values) > 2 else f"one value, {values[0]}, everywhere"
        raise InputError(f"{str(path)!r} has {which}; expected a mask of black and white")
    return np.asarray(grey == values[1])
