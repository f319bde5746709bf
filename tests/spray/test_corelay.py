"""The spectral part against CoRelAy, where it is installed: an oracle for tests, never a dependency."""

import numpy as np
import pytest

from fer_batch.spray.affinity import nearest_neighbours, neighbour_graph
from fer_batch.spray.embedding import embedding
from fer_batch.spray.laplacian import spectrum

pytest.importorskip("corelay", reason="compares with CoRelAy, which is not installed (pip install corelay)")


@pytest.mark.parametrize(("n", "k", "n_groups"), [(18, 3, 2), (60, 4, 3), (130, 5, 1), (130, 10, 4)])
def test_graph_spectrum_and_embedding_are_corelays(n, k, n_groups):
    from corelay.processor.affinity import SparseKNN
    from corelay.processor.distance import SciPyPDist
    from corelay.processor.embedding import EigenDecomposition
    from corelay.processor.laplacian import SymmetricNormalLaplacian

    rng = np.random.default_rng(n)
    maps = rng.standard_normal((n, 100)) + 0.9 * rng.standard_normal((n_groups, 100))[np.arange(n) * n_groups // n]
    affinity = SparseKNN(n_neighbors=k, symmetric=True)(SciPyPDist(metric="euclidean")(maps))
    ours = neighbour_graph(nearest_neighbours(maps, k)[0])
    np.testing.assert_array_equal(ours.toarray(), affinity.toarray())

    laplacian = SymmetricNormalLaplacian()(affinity)
    values, vectors, _ = spectrum(ours, n_groups)
    theirs, rows = EigenDecomposition(n_eigval=n_groups)(laplacian)
    order = np.argsort(theirs)
    np.testing.assert_allclose(values, theirs[order], atol=1e-9)
    # Signs and the basis of equal eigenvalues are free; the angles between maps are not.
    points = embedding(vectors, n_groups)
    np.testing.assert_allclose(points @ points.T, rows @ rows.T, atol=1e-6)
