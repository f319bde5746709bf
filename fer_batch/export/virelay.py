"""Relevance maps and their clusters as a project that ViRelAy 0.6.1 opens: HDF5 files, a label map and a YAML.

The layout is what its loader reads, which is not what its documentation says: clusterings lie under `cluster`,
embeddings are datasets with attribute `eigenvalue`, and the name of a category is looked up as a WordNet id. No code of
ViRelAy's is used.

References
----------
Anders, Neumann, Samek, Mueller & Lapuschkin (2021): Software for dataset-wide XAI: from local explanations to global
insights with Zennit, CoRelAy, and ViRelAy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

DATASET, ATTRIBUTION, ANALYSIS, LABELS, PROJECT = (
    "dataset.h5",
    "attribution.h5",
    "analysis.h5",
    "label_map.json",
    "project.yaml",
)
METHOD = "spray"  # of the analysis; ViRelAy's pages cannot ask for a name with '-' or '_'


class SampleWriter:
    """Faces and maps, appended one by one to two files of equal length.

    Parameters
    ----------
    dataset, attribution
        Local paths of the files to write.
    side
        Height and width of every face and map, pixels.
    n_targets
        Outputs of the network.
    """

    def __init__(self, dataset: str, attribution: str, side: tuple[int, int], n_targets: int) -> None:
        self._files = [h5py.File(path, "w") for path in (dataset, attribution)]
        self.n = 0
        faces, maps = self._files
        self._columns = {
            "data": _growing(faces, "data", (3, *side), np.uint8),
            "label": _growing(faces, "label", (), np.uint16),
            # of one channel, ViRelAy draws no heatmap in half of its colours; it sums channels, and zeros cost no space
            "attribution": _growing(maps, "attribution", (3, *side), np.float32),
            "prediction": _growing(maps, "prediction", (n_targets,), np.float32),
            "own_label": _growing(maps, "label", (), np.uint16),
        }

    def append(
        self, face: NDArray[np.uint8], relevance: NDArray[np.floating], label: int, prediction: NDArray[np.floating]
    ) -> int:
        """Add one sample; its number.

        Parameters
        ----------
        face : shape (H, W, 3)
        relevance : shape (H, W)
        label
            Index of the target that the map explains.
        prediction : shape (A,)
            Logits of the face.
        """
        row = {
            "data": face.transpose(2, 0, 1),
            "label": label,
            "attribution": np.stack([relevance, np.zeros_like(relevance), np.zeros_like(relevance)]),
            "prediction": prediction,
            "own_label": label,
        }
        for name, column in self._columns.items():
            if self.n == len(column):
                column.resize(max(16, 2 * self.n), axis=0)
            column[self.n] = row[name]
        self.n += 1
        return self.n - 1

    def relevance(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Maps of some samples: shape (n, H, W), float32, logit units.

        `index` has their numbers in ascending order, shape (n,), int64.
        """
        found: NDArray[np.float32] = self._columns["attribution"][index, 0]
        return found

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for column in self._columns.values():
                column.resize(self.n, axis=0)
        for file in self._files:
            file.close()


def _growing(file: h5py.File, name: str, shape: tuple[int, ...], dtype: type) -> h5py.Dataset:
    picture = len(shape) == 3
    return file.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        dtype=dtype,
        chunks=(1, *shape) if picture else (1024, *shape),
        compression="gzip" if picture else None,
        shuffle=picture,
    )


@dataclass(frozen=True)
class Category:
    """The samples of one target, as points and in clusters.

    Attributes
    ----------
    index : shape (n,)
        Their numbers.
    clusterings
        Cluster numbers of shape (n,) by name.
    embeddings
        Points of shape (n, d), d at least 2, by name, with eigenvalues of shape (e,) or None.
    """

    target: str
    index: NDArray[np.int64]
    clusterings: Mapping[str, NDArray[np.int64]]
    embeddings: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating] | None]]


class AnalysisWriter:
    """Categories, appended one by one; all have the same names of clusterings and embeddings."""

    def __init__(self, path: str) -> None:
        self._file = h5py.File(path, "w")

    def append(self, category: Category) -> None:
        """Add the analysis of one target."""
        group = self._file.create_group(category.target)
        group["index"] = category.index.astype(np.uint32)
        embeddings, clusters = group.create_group("embedding"), group.create_group("cluster")
        for name, (points, eigenvalues) in category.embeddings.items():
            embeddings[name] = points.astype(np.float32)
            embeddings[name].attrs["embedding"] = name
            embeddings[name].attrs["index"] = np.arange(points.shape[1], dtype=np.uint32)
            if eigenvalues is not None:
                embeddings[name].attrs["eigenvalue"] = eigenvalues.astype(np.float32)
        for name, labels in category.clusterings.items():
            clusters[name] = labels.astype(np.int32)
            clusters[name].attrs["k"] = int(labels.max(initial=-1)) + 1
            clusters[name].attrs["embedding"] = next(iter(category.embeddings))
            clusters[name].attrs["index"] = np.arange(len(labels), dtype=np.uint32)

    def __enter__(self) -> AnalysisWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def label_map(targets: Sequence[str], names: Mapping[str, str]) -> str:
    """The label map: a category is found by its `word_net_id`, so that is the target."""
    labels = [
        {"index": k, "word_net_id": target, "name": names.get(target, target)} for k, target in enumerate(targets)
    ]
    return json.dumps(labels, indent=1) + "\n"


def project(name: str, model: str, dataset: str, method: str, side: tuple[int, int]) -> str:
    """The project file, whose paths are relative to it."""
    values: dict[str, Any] = {
        "name": name,
        "model": model,
        "label_map": LABELS,
        "dataset": {
            "name": dataset,
            "type": "hdf5",
            "path": DATASET,
            "input_width": side[1],
            "input_height": side[0],
            "up_sampling_method": "none",
            "down_sampling_method": "none",
        },
        "attributions": {
            "attribution_method": method,
            "attribution_strategy": "predicted_label",
            "sources": [ATTRIBUTION],
        },
        "analyses": [{"analysis_method": METHOD, "sources": [ANALYSIS]}],
    }
    return yaml.safe_dump({"project": values}, sort_keys=False)
