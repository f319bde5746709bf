"""Write `corelay_figures.npz`: what CoRelAy computes for the inputs of `test_corelay.py`.

python tests/spray/make_corelay_figures.py    (in an environment with CoRelAy: pip install corelay)

CoRelAy (GPL) is an oracle and no dependency: of its results the numbers are kept, so that parity is tested where it is
not installed. The file says which version made them. The inputs come from numpy's legacy generator, whose stream is
frozen, so they need not be stored.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIGURES = Path(__file__).with_name("corelay_figures.npz")
# Maps, neighbours, groups, and how far these are apart: in 0 and 1 each group is a part of the graph of its own, in 2
# and 3 the graph is in one part. Of four parts CoRelAy's ARPACK misses a zero at times, so there is no such case.
CASES = ((18, 3, 2, 0.9), (60, 4, 3, 0.9), (130, 5, 1, 0.9), (130, 10, 4, 0.6))
SIDE = 10


def case_maps(n: int, n_groups: int, apart: float) -> NDArray[np.float64]:
    """Noise around one map for each group, shape (n, SIDE, SIDE), in the order of the groups."""
    rng = np.random.RandomState(n + n_groups)
    noise = rng.standard_normal((n, SIDE, SIDE))
    return noise + apart * rng.standard_normal((n_groups, SIDE, SIDE))[np.arange(n) * n_groups // n]


def unit_mass(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps as rows that are divided by their sum of magnitudes, shape (n, SIDE * SIDE)."""
    rows = maps.reshape(len(maps), -1)
    return rows / np.abs(rows).sum(axis=1, keepdims=True)


def corelay_results(rows: NDArray[np.float64], k: int, n_groups: int) -> dict[str, NDArray[np.generic]]:
    """Graph, spectrum, embedding and clusters of some feature vectors by CoRelAy.

    Parameters
    ----------
    rows : shape (n, d)
    k
        Neighbours of each.
    n_groups
        Eigenvectors and clusters.

    Returns
    -------
    dict
        `links` shape (2, L), row and column of the links of the symmetric graph; `weights` (L,); `eigenvalues` (g,)
        ascending; `embedding` (n, g), rows of unit length; `labels` (n,).
    """
    from corelay.processor.affinity import SparseKNN
    from corelay.processor.clustering import KMeans
    from corelay.processor.distance import SciPyPDist
    from corelay.processor.embedding import EigenDecomposition
    from corelay.processor.laplacian import SymmetricNormalLaplacian

    affinity = SparseKNN(n_neighbors=k, symmetric=True)(SciPyPDist(metric="euclidean")(rows))
    eigenvalues, embedding = EigenDecomposition(n_eigval=n_groups)(SymmetricNormalLaplacian()(affinity))
    dense = affinity.toarray()
    links = np.stack(np.nonzero(dense))
    np.random.seed(0)  # noqa: NPY002  (its k-means draws from the global generator)
    return {
        "links": links.astype(np.uint8),
        "weights": dense[tuple(links)].astype(np.float32),  # 1/2 or 1
        "eigenvalues": np.sort(eigenvalues),
        "embedding": embedding,
        "labels": np.asarray(KMeans(n_clusters=n_groups)(embedding)).astype(np.uint8),
    }


def main() -> None:
    """Compute and write all cases."""
    figures = {"version": np.array(importlib.metadata.version("corelay"))}
    for number, (n, k, n_groups, apart) in enumerate(CASES):
        found = corelay_results(unit_mass(case_maps(n, n_groups, apart)), k, n_groups)
        figures |= {f"{name}_{number}": values for name, values in found.items()}
    np.savez_compressed(FIGURES, **figures)
    print(f"{FIGURES.name}: {FIGURES.stat().st_size:,} bytes, by CoRelAy {figures['version']}")


if __name__ == "__main__":
    main()
