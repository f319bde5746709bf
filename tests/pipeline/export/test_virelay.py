"""Positions of prototypes in ViRelAy's plane, and numbers of their clusters."""

import numpy as np

from fer_batch.pipeline.export import virelay as export_virelay
from fer_batch.prototypes.stages import letter


def test_principal_positions_keep_the_distances_of_what_lies_in_a_plane():
    rng = np.random.default_rng(0)
    plane, basis = rng.normal(size=(9, 2)) * [5.0, 1.0], np.linalg.qr(rng.normal(size=(30, 2)))[0]
    found = export_virelay._principal(plane @ basis.T + 3.0)
    assert found[:, 0].std() > found[:, 1].std()
    assert (found.max(axis=0) >= -found.min(axis=0)).all()
    for k in range(9):
        np.testing.assert_allclose(np.linalg.norm(found - found[k], axis=1), np.linalg.norm(plane - plane[k], axis=1))
    assert export_virelay._principal(np.ones((1, 30))).tolist() == [[0.0, 0.0]]
    assert export_virelay._principal(np.zeros((0, 30))).shape == (0, 2)


def test_cluster_numbers_are_the_inverse_of_letters():
    assert [export_virelay._cluster_number(letter(k)) for k in range(800)] == list(range(800))
