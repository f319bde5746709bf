"""The normalised graph Laplacian and the small end of its spectrum (methods SP-4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, sparse
from scipy.sparse import csgraph
from scipy.sparse import linalg as sparse_linalg

DENSE_LIMIT = 2000  # nodes of one connected component up to which LAPACK is used
WHOLE_LIMIT = 200  # nodes up to which all eigenvectors are quicker than the wanted ones
LANCZOS_RESTARTS = 300  # after which a component is taken for a long chain and factorised instead
FACTOR_LIMIT = 10**8  # numbers in its factors at most, 800 MB


def normalised_laplacian(affinity: ArrayLike | sparse.csr_array) -> sparse.csr_array:
    r""":math:`L = I - D^{-1/2} W D^{-1/2}`, whose zero eigenvalues count the connected components.

    Parameters
    ----------
    affinity : shape (n, n)
        Symmetric, not negative. The row of a node without links is 0, also in I, so that it counts as a component.

    Returns
    -------
    shape (n, n), float64, sparse

    References
    ----------
    von Luxburg (2007), Statistics and Computing 17: section 3.2, L_sym.
    """
    weights = sparse.csr_array(affinity, dtype=np.float64)
    root, linked = _roots(np.asarray(weights.sum(axis=1)).ravel())
    scale = sparse.diags_array(root)
    return (sparse.diags_array(linked) - scale @ weights @ scale).tocsr()


def _dense_laplacian(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    root, linked = _roots(weights.sum(axis=1))
    laplacian = weights * -root
    laplacian *= root[:, None]
    laplacian[np.diag_indices_from(laplacian)] += linked
    return laplacian


def _roots(degree: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """1 / sqrt(degree), and the diagonal of I; both 0 for a node without links."""
    linked = degree > 0
    return np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=linked), linked.astype(np.float64)


def spectrum(
    affinity: ArrayLike | sparse.csr_array, n_values: int, *, seed: int = 0, with_vectors: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Smallest eigenvalues and eigenvectors of the normalised Laplacian.

    The spectrum of a graph is the union of those of its connected components, so each component is solved alone: the
    zeros are exactly as many as the components, and no basis of a shared null space has to be chosen.

    Parameters
    ----------
    affinity : shape (n, n)
        An array of up to `DENSE_LIMIT` nodes stays dense, which for a few hundred is far quicker.
    n_values
        How many pairs, smallest first; all n where there are fewer.
    seed
        Of the start vector of ARPACK, used for components beyond `DENSE_LIMIT` nodes.
    with_vectors
        False spares the eigenvectors, half of the time for small dense graphs.

    Returns
    -------
    values : shape (min(n_values, n),), float64, ascending
        In [0, 2].
    vectors : shape (n, min(n_values, n)), float64
        Columns of unit length whose largest entry is positive; shape (n, 0) without vectors.
    components : shape (n,), int64
        Connected component of every node, numbered by its first node.
    """
    laplacian: sparse.csr_array | NDArray[np.float64]
    if isinstance(affinity, np.ndarray) and len(affinity) <= DENSE_LIMIT:
        weights = affinity.astype(np.float64)
        components, laplacian = _dense_components(weights), _dense_laplacian(weights)
    else:
        sparse_weights = sparse.csr_array(affinity, dtype=np.float64)
        components, laplacian = _components(sparse_weights), normalised_laplacian(sparse_weights)
    n, n_components = len(components), int(components.max(initial=-1)) + 1
    if n == 0:
        return np.empty(0), np.empty((0, 0)), components
    order = np.argsort(components, kind="stable")
    members_of = np.split(order, np.cumsum(np.bincount(components, minlength=n_components))[:-1])
    found: list[tuple[float, int, int]] = []
    vectors_of: dict[int, NDArray[np.float64]] = {}
    for component, members in enumerate(members_of):
        block = laplacian if len(members) == n else laplacian[members][:, members]
        values, vectors = _smallest(block, min(n_values, len(members)), seed, with_vectors)
        values[0] = 0.0  # known exactly: a connected graph has one zero
        vectors_of[component] = vectors
        found.extend((value, component, i) for i, value in enumerate(values.tolist()))
        found = sorted(found)[:n_values]
        if len(vectors_of) > 2 * n_values:  # of thousands of components, those that are not among the smallest can go
            vectors_of = {kept: vectors_of[kept] for kept in {pair[1] for pair in found}}
    smallest = np.maximum([pair[0] for pair in found], 0.0)
    if not with_vectors:
        return smallest, np.empty((n, 0)), components
    chosen = np.zeros((n, len(found)))
    for column, (_, component, i) in enumerate(found):
        chosen[members_of[component], column] = vectors_of[component][:, i]
    largest = np.abs(chosen).round(9).argmax(axis=0)
    chosen *= np.sign(chosen[largest, np.arange(len(found))])
    return smallest, chosen, components


def _dense_components(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """As `_components`, which takes a tenth of the whole clustering of a hundred maps; this takes a fiftieth."""
    linked = weights > 0
    components = np.full(len(weights), -1)
    for component in range(len(weights)):
        if components.min() >= 0:
            break
        new = components == -1
        new[new.argmax() + 1 :] = False
        while new.any():
            components[new] = component
            new = linked[new].any(axis=0) & (components == -1)
    return components


def _components(weights: sparse.csr_array) -> NDArray[np.int64]:
    return csgraph.connected_components(weights, directed=False)[1].astype(np.int64)


def _smallest(
    laplacian: sparse.csr_array | NDArray[np.float64], count: int, seed: int, with_vectors: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = laplacian.shape[0]
    if n <= max(DENSE_LIMIT, count + 1):
        dense = laplacian if isinstance(laplacian, np.ndarray) else laplacian.toarray()
        if n > WHOLE_LIMIT:
            return linalg.eigh(dense, subset_by_index=(0, count - 1))
        if not with_vectors:
            return np.asarray(np.linalg.eigvalsh(dense)[:count], np.float64), np.empty((n, 0))
        values, vectors = np.linalg.eigh(dense)
        return values[:count], vectors[:, :count]
    start = np.random.default_rng(seed).standard_normal(n)
    subspace = min(n - 1, max(4 * count, 80))
    reverse = sparse.eye_array(n) - laplacian  # has the wanted end on top, where Lanczos needs no factorisation
    lanczos = {"k": count, "which": "LA", "v0": start, "ncv": subspace, "maxiter": LANCZOS_RESTARTS}
    try:
        values, vectors = sparse_linalg.eigsh(reverse, tol=1e-8, **lanczos)
        values = 1.0 - values
    except sparse_linalg.ArpackNoConvergence:
        if n * _bandwidth(laplacian) <= FACTOR_LIMIT:
            # A slow drift makes a long chain, whose eigenvalues crowd at zero; its factors are small, so invert.
            values, vectors = sparse_linalg.eigsh(laplacian, k=count, sigma=-1e-4, which="LM", v0=start, ncv=subspace)
        else:  # eigenvalues err by the square of what their vectors do
            values, vectors = sparse_linalg.eigsh(reverse, tol=1e-5, **lanczos)
            values = 1.0 - values
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _bandwidth(laplacian: sparse.csr_array) -> int:
    """How far from the diagonal links lie in the best order: what a row of the factors can fill up to."""
    order = csgraph.reverse_cuthill_mckee(laplacian, symmetric_mode=True)
    place = np.argsort(order)
    entries = laplacian.tocoo()
    return int(np.abs(place[entries.row] - place[entries.col]).max(initial=0))
