"""The normalised graph Laplacian and the small end of its spectrum (methods SP-4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, sparse
from scipy.sparse import csgraph
from scipy.sparse import linalg as sparse_linalg

DENSE_LIMIT = 2000  # nodes of one connected component up to which LAPACK is used
LANCZOS_RESTARTS = 300  # after which a component is taken for a long chain and factorised instead


def normalised_laplacian(affinity: ArrayLike | sparse.csr_array) -> sparse.csr_array:
    r""":math:`L = I - D^{-1/2} W D^{-1/2}`, whose zero eigenvalues count the connected components.

    Parameters
    ----------
    affinity : shape (n, n)
        Symmetric, not negative. The row of a node without links is 0, also in I, so that it counts as a component.
    """
    weights = sparse.csr_array(affinity, dtype=np.float64)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    scale = sparse.diags_array(root)
    linked = sparse.diags_array((degree > 0).astype(np.float64))
    return (linked - scale @ weights @ scale).tocsr()


def spectrum(
    affinity: ArrayLike | sparse.csr_array, n_values: int, *, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Smallest eigenvalues and eigenvectors of the normalised Laplacian.

    The spectrum of a graph is the union of those of its connected components, so each component is solved alone: the
    zeros are exactly as many as the components, and no basis of a shared null space has to be chosen.

    Parameters
    ----------
    affinity : shape (n, n)
    n_values
        How many pairs, smallest first; all n where there are fewer.
    seed
        Of the start vector of ARPACK, used for components beyond `DENSE_LIMIT` nodes.

    Returns
    -------
    values : shape (min(n_values, n),), ascending
    vectors : shape (n, min(n_values, n))
        Columns of unit length whose largest entry is positive.
    components : shape (n,)
        Connected component of every node.
    """
    weights = sparse.csr_array(affinity, dtype=np.float64)
    n = weights.shape[0]
    if n == 0:
        return np.empty(0), np.empty((0, 0)), np.empty(0, np.int64)
    n_components, components = csgraph.connected_components(weights, directed=False)
    laplacian = normalised_laplacian(weights)
    found: list[tuple[float, int, int, NDArray[np.float64]]] = []
    order = np.argsort(components, kind="stable")
    members_of = np.split(order, np.cumsum(np.bincount(components, minlength=n_components))[:-1])
    for component, members in enumerate(members_of):
        block = laplacian[members][:, members]
        values, vectors = _smallest(block, min(n_values, len(members)), seed)
        values[0] = 0.0  # known exactly: a connected graph has one zero
        found.extend((float(values[i]), component, i, vectors[:, i]) for i in range(len(values)))
        found = sorted(found, key=lambda pair: pair[:3])[:n_values]
    vectors = np.zeros((n, len(found)))
    for column, (_, component, _, vector) in enumerate(found):
        vectors[members_of[component], column] = vector * np.sign(vector[np.argmax(np.abs(vector).round(9))])
    return np.maximum([pair[0] for pair in found], 0.0), vectors, components.astype(np.int64)


def _smallest(laplacian: sparse.csr_array, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = laplacian.shape[0]
    if n <= max(DENSE_LIMIT, count + 1):
        return linalg.eigh(laplacian.toarray(), subset_by_index=(0, count - 1))
    start = np.random.default_rng(seed).standard_normal(n)
    subspace = min(n - 1, max(4 * count, 80))
    try:  # I - L has the wanted end on top, where Lanczos needs no factorisation
        reverse = sparse.eye_array(n) - laplacian
        values, vectors = sparse_linalg.eigsh(
            reverse, k=count, which="LA", v0=start, ncv=subspace, tol=1e-8, maxiter=LANCZOS_RESTARTS
        )
        values = 1.0 - values
    except sparse_linalg.ArpackNoConvergence:
        # A slow drift makes a long chain, whose eigenvalues crowd at zero; its sparse factors are small, so invert.
        values, vectors = sparse_linalg.eigsh(laplacian, k=count, sigma=-1e-4, which="LM", v0=start, ncv=subspace)
    order = np.argsort(values)
    return values[order], vectors[:, order]
