"""Cosines of attention and of class maps with the maps of Action Units, image by image, and sums of all three.

What a worker makes of some images is kept as one Parquet file, so that a study that was killed, or that gains a network
or an explanation, computes what is new. Memory holds a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.evaluate.alignment import attention_cosines, cam_cosines, constant_baseline, stretched_maps
from fer_batch.pipeline.devices import own_device
from fer_batch.pipeline.study.computed import RESULTS, Result, Task
from fer_batch.pipeline.study.cue_images import CueImages
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Store

if TYPE_CHECKING:
    import torch
    from torch import nn

VERSION = 2  # raised when the same images would give other figures
PART = 1024  # images of a task
BATCH = 16  # images at a time: early layers are large
CONSTANT, UNITS, FACE, CLASS_MAP, LAYER = "constant", "units", "face", "class map", "layer "


@dataclass(frozen=True)
class MapSum:
    """Maps of one class.

    Attributes
    ----------
    n
        How many.
    total : shape (h, w), float64
        Their sum.
    first : shape (h, w), float64
        Of the first image, as an example.
    """

    n: int
    total: NDArray[np.float64]
    first: NDArray[np.float64]

    def __add__(self, other: MapSum) -> MapSum:
        return MapSum(self.n + other.n, self.total + other.total, self.first)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The sum over the number, shape (h, w), float64."""
        return self.total / self.n


@dataclass(frozen=True)
class CuePart:
    """What came of some images.

    Attributes
    ----------
    cosines
        By column, shape (pairs,), float64: `CONSTANT`, and layers or `CLASS_MAP`.
    sums
        By column and output: of layers as they are, of class maps stretched from 0 to 1; also `UNITS`, `FACE`.
    """

    cosines: Mapping[str, NDArray[np.float64]]
    sums: Mapping[tuple[str, int], MapSum]


def attention_tasks(uri: str, images: CueImages, layers: tuple[str, ...]) -> list[Task]:
    """Tasks that compare the attention of layers with the maps of everything that an image shows.

    Parameters
    ----------
    uri
        Of the output.
    images
        Of one network.
    layers
        Modules by name; `stages.feature_stages` where there is none.
    """
    return [
        Task(measure_attention, (uri, part, layers, path), identity)
        for part in images.parts(PART)
        for identity, path in [_known("attention", part, list(layers))]
    ]


def class_map_tasks(uri: str, images: CueImages, method: str, options: Mapping[str, object]) -> list[Task]:
    """Tasks that compare the maps of one explanation with the map of the class that is explained.

    Parameters
    ----------
    uri
        Of the output.
    images
        Of one network.
    method, options
        Of the explanation.
    """
    return [
        Task(measure_class_maps, (uri, part, method, dict(options), path), identity)
        for part in images.parts(PART)
        for identity, path in [_known("class maps", part, [method, dict(options)])]
    ]


def _known(what: str, images: CueImages, how: list[object]) -> tuple[tuple[object, ...], str]:
    identity = (VERSION, what, *images.identity, *how)
    return identity, f"{RESULTS}/{digest(list(identity))}.parquet"


def measure_attention(uri: str, images: CueImages, layers: tuple[str, ...], path: str) -> Result:
    """Cosines and sums of the attention of layers, on a worker.

    Parameters
    ----------
    uri
        Of the output.
    images
        Of one network.
    layers
        As for `attention_tasks`.
    path
        Where the result goes, relative to the output.
    """
    import torch

    from fer_batch.models.card import Preprocessing
    from fer_batch.models.features import features
    from fer_batch.models.preprocess import preprocess
    from fer_batch.models.stages import feature_stages

    network, device = _network(images)
    names = layers or feature_stages(network, images.size)
    found = _Found(images)
    for part in images.parts(BATCH):
        faces = open_crops(part.crops).images(part.numbers)
        with torch.inference_mode():
            _, ran = features(network, preprocess(faces, part.model.preprocessing, device), names)
        maps, of = part.image_maps(), part.pairs[:, 0]
        found.begin(part, maps[of])
        found.add(CONSTANT, constant_baseline(maps)[of])
        found.add(FACE, maps=preprocess(faces, Preprocessing(size=part.size)).mean(1).numpy()[of])
        for name, values in ran.items():
            attention = _attention(name, values)
            found.add(LAYER + name, attention_cosines(attention, maps)[of], attention[of])
    return found.kept(Store(uri), path)


def _attention(name: str, values: torch.Tensor) -> NDArray[np.float32]:
    from fer_batch.training.alignment import layer_attention

    try:
        return np.asarray(layer_attention(values.float()).cpu().numpy())
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def measure_class_maps(uri: str, images: CueImages, method: str, options: Mapping[str, object], path: str) -> Result:
    """Cosines and sums of the maps of one explanation, of the outputs that are present, on a worker.

    Parameters
    ----------
    uri
        Of the output.
    images
        Of one network.
    method, options
        Of the explanation.
    path
        Where the result goes, relative to the output.
    """
    from fer_batch import explain
    from fer_batch.models.preprocess import preprocess
    from fer_batch.pipeline.explaining.explain import options_of_model

    network, device = _network(images)
    explainer = explain.method(method, **options_of_model(method, options, images.model))
    # what the head reads off its feature maps counts as it is, of all others what speaks for the class (methods X-5)
    needs = {*explain.METHODS[method].needs}
    signed = bool(needs & {"feature maps", "class maps", "class maps or linear head"}) and "gradients" not in needs
    found = _Found(images)
    for part in images.parts(BATCH):
        faces = open_crops(part.crops).images(part.numbers)
        values = explainer(network, preprocess(faces, part.model.preprocessing, device), part.pairs).values
        values, maps = values if signed else np.maximum(values, 0), part.pair_maps()
        found.begin(part, maps)
        found.add(CONSTANT, constant_baseline(maps))
        found.add(CLASS_MAP, cam_cosines(values, maps), stretched_maps(values))
    return found.kept(Store(uri), path)


def _network(images: CueImages) -> tuple[nn.Module, torch.device]:
    import torch

    from fer_batch.models.checkpoint import load

    torch.set_num_threads(1)
    device = own_device()
    return load(images.model).to(device).eval(), device


class _Found:
    """Cosines and sums of some images as they grow."""

    def __init__(self, images: CueImages) -> None:
        self.n = len(images.pairs)
        self.cosines: dict[str, list[NDArray[np.float64]]] = {}
        self.sums: dict[tuple[str, int], MapSum] = {}

    def begin(self, part: CueImages, units: NDArray[np.float32]) -> None:
        """Go on to the pairs of a part; those without a map of Action Units are in no sum."""
        self.outputs, self.valid = part.pairs[:, 1], np.isfinite(units).all(axis=(1, 2))
        self.add(UNITS, maps=units)

    def add(
        self, column: str, cosines: NDArray[np.float64] | None = None, maps: NDArray[np.floating] | None = None
    ) -> None:
        """Add cosines and maps of the pairs of the part."""
        if cosines is not None:
            self.cosines.setdefault(column, []).append(cosines)
        if maps is None:
            return
        for output in np.unique(self.outputs[self.valid]).tolist():
            own = maps[self.valid & (self.outputs == output)].astype(np.float64)
            new = MapSum(len(own), own.sum(axis=0), own[0])
            known = self.sums.get((column, output))
            self.sums[column, output] = new if known is None else known + new

    def kept(self, store: Store, path: str) -> Result:
        """Write the result, and say where it is."""
        rows: list[dict[str, object]] = [
            {"column": name, "values": np.concatenate(parts)} for name, parts in self.cosines.items()
        ]
        for (column, output), own in self.sums.items():
            height, width = own.total.shape
            key = {"column": column, "output": output, "n": own.n, "height": height, "width": width}
            rows.append({**key, "values": own.total.ravel(), "first": own.first.ravel()})
        store.put(path, encode(pa.Table.from_pylist(rows, _SCHEMA)))
        return {"path": path, "n": self.n}


_SCHEMA = pa.schema(
    [
        ("column", pa.string()),
        ("output", pa.int64()),
        ("n", pa.int64()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("values", pa.list_(pa.float64())),
        ("first", pa.list_(pa.float64())),
    ]
)


def read_parts(store: Store, paths: Iterable[str]) -> CuePart:
    """What came of the parts of one network, in their order, as one.

    Parameters
    ----------
    store
        The output.
    paths
        As the results name them.
    """
    cosines: dict[str, list[NDArray[np.float64]]] = {}
    sums: dict[tuple[str, int], MapSum] = {}
    for path in paths:
        rows = decode(store.read_bytes(path))
        for place, row in enumerate(rows.select(["column", "output", "n", "height", "width"]).to_pylist()):
            values, first = (np.asarray(rows[name][place].values, np.float64) if rows[name][place].is_valid else None
                             for name in ("values", "first"))  # fmt: skip
            assert values is not None
            if row["output"] is None or first is None:
                cosines.setdefault(row["column"], []).append(values)
                continue
            shape, key = (row["height"], row["width"]), (row["column"], row["output"])
            own = MapSum(row["n"], values.reshape(shape), first.reshape(shape))
            sums[key] = sums[key] + own if key in sums else own
    return CuePart({name: np.concatenate(parts) for name, parts in cosines.items()}, sums)
