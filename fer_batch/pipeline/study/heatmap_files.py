"""Heatmaps of a study as files: rows of table `heatmaps`, and PNG files that `fer-batch heatmaps --evaluate` reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.overlap import stretched
from fer_batch.pipeline.study.publish import REPORT, path_name
from fer_batch.pipeline.study.standard_maps import StandardSum, Sums
from fer_batch.storage.parquet import Partition, pack_maps, rows_of
from fer_batch.storage.published import withdraw_file
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.visualize.figure import png
from fer_batch.visualize.heatmap import jet

FOLDER = "standard_heatmaps"


@dataclass(frozen=True)
class NetworkMaps:
    """Heatmaps of one network under one explanation.

    Attributes
    ----------
    name, title
        Its partition, and what pages and files call it.
    folds
        Sums of each fold by class: H_jkc. The number of the fold is None of a network that was given.
    total
        Over all folds: H_jc.
    """

    name: str
    title: str
    folds: tuple[tuple[int | None, Sums], ...]
    total: Sums

    @property
    def grey(self) -> dict[str, NDArray[np.uint8]]:
        """The heatmap of every class that has one, 8 bit (methods H-4)."""
        return {name: stretched(own.mean) for name, own in self.total.items() if own.n}


@dataclass(frozen=True)
class Written:
    """Where the heatmaps of a study go.

    Attributes
    ----------
    store
        The output.
    study, dataset
        Names of the study, and of the dataset of its rows.
    """

    store: Store
    study: str
    dataset: str

    @property
    def folder(self) -> str:
        """Of the PNG files, relative to the output."""
        return f"{REPORT}/{self.study}/{FOLDER}"

    def tables(self, variant: str, method: str, networks: Sequence[NetworkMaps], over: Sums, scale: str) -> list[str]:
        """Write rows of table `heatmaps`: those of every network with its folds, and those over all networks.

        Parameters
        ----------
        variant, method
            The explanation.
        networks
            That have it.
        over
            Sums over all of them: H_c.
        scale
            Of the maps before they were summed.

        Returns
        -------
        paths relative to the output
        """
        written = []
        parts = {one.name: [(None, one.total), *_several(one.folds)] for one in networks}
        parts[f"study-{self.study}"] = [(None, over)]
        for model, sums in parts.items():
            rows = [row for fold, of_fold in sums for row in _rows(of_fold, method, scale, fold)]
            where = Partition(self.dataset, model, path_name(variant)).folder("heatmaps")
            written.append(f"{where}/{self._file}")
            put_table(self.store, written[-1], rows_of("heatmaps", rows))
        return written

    @property
    def _file(self) -> str:
        return f"study-{self.study}.parquet"

    def remove_others(self, written: Sequence[str]) -> None:
        """Remove rows and pictures that the study left before and that are not among the paths that are written now."""
        kept = set(written)
        old = [f"tables/heatmaps/{entry.path}" for entry in self.store.walk("tables/heatmaps")]
        old = [path for path in old if path.endswith(f"/{self._file}")]
        old += [f"{self.folder}/{entry.path}" for entry in self.store.walk(self.folder)]
        for path in old:
            if path not in kept:
                withdraw_file(self.store, path)

    def pictures(self, variant: str, networks: Sequence[NetworkMaps], masked: Collection[str]) -> list[str]:
        """Write `VARIANT/grey/CLASS/NETWORK.png` and the same in JET; their paths.

        Parameters
        ----------
        variant
            The explanation.
        networks
            That have it.
        masked
            Classes with a mask. Grey maps of others are in `grey_unmasked`: those in `grey` can all be evaluated.
        """
        written = []
        for network in networks:
            for name, grey in network.grey.items():
                file = f"{_plain(name)}/{_plain(network.title)}.png"
                folder = "grey" if name in masked else "grey_unmasked"
                for kind, picture in ((folder, grey), ("jet", jet(grey.astype(np.float32)))):
                    written.append(f"{self.folder}/{path_name(variant)}/{kind}/{file}")
                    self.store.put(written[-1], png(picture))
        return written

    def masks(self, masks: Mapping[str, NDArray[np.bool_]]) -> list[str]:
        """Write `masks/CLASS.png`, black and white; their paths."""
        written = [f"{self.folder}/masks/{_plain(name)}.png" for name in masks]
        for path, mask in zip(written, masks.values(), strict=True):
            self.store.put(path, png(mask.astype(np.uint8) * 255))
        return written


def _several(folds: Sequence[tuple[int | None, Sums]]) -> list[tuple[int | None, Sums]]:
    """Folds that are not the network itself."""
    return [(fold, sums) for fold, sums in folds if fold is not None]


def _plain(name: str) -> str:
    """A name as that of a file."""
    return path_name(name)


def _rows(sums: Sums, method: str, scale: str, fold: int | None) -> Iterator[dict[str, object]]:
    for name, own in sorted(sums.items()):
        if own.n:
            yield {"group": name, "method": method, "n": own.n, "fold": fold, **_packed(own, scale)}


def _packed(own: StandardSum, scale: str) -> dict[str, object]:
    values, peak = pack_maps(own.mean[None])
    height, width = values.shape[1:]
    known = {"normalisation": scale, "complete": not own.n_undefined, "face": "standard"}
    return {**known, "height": height, "width": width, "scale": float(peak[0]), "relevance": values[0].ravel()}
