"""Mu against the inside-total relevance ratio of Quantus."""

import numpy as np
import pytest

from fer_batch.evaluate import relevance_mass

quantus = pytest.importorskip(
    "quantus", reason="Quantus is a test oracle that `make setup` installs without its dependencies"
)
torch = pytest.importorskip("torch")
SHAPE = (24, 30)


@pytest.mark.filterwarnings("ignore")
def test_mu_is_quantus_attribution_localisation_on_random_boxes():
    rng = np.random.default_rng(0)
    n = 60
    relevance = rng.normal(size=(n, *SHAPE)) * np.exp(rng.normal(0, 3, (n, 1, 1)))
    region = np.zeros((n, *SHAPE), bool)
    for mask in region:
        for _ in range(rng.integers(1, 3)):  # one box or two, which may meet
            y, x = rng.integers(0, SHAPE[0] - 1), rng.integers(0, SHAPE[1] - 1)
            mask[y : rng.integers(y + 1, SHAPE[0] + 1), x : rng.integers(x + 1, SHAPE[1] + 1)] = True
    metric = quantus.AttributionLocalisation(
        abs=False, positive_attributions=True, normalise=False, disable_warnings=True
    )
    theirs = metric(
        model=torch.nn.Flatten(),
        x_batch=np.zeros((n, 1, *SHAPE), np.float32),
        y_batch=np.zeros(n, int),
        a_batch=relevance[:, None],
        s_batch=region[:, None],
        device="cpu",
    )
    np.testing.assert_allclose(relevance_mass(relevance, region), theirs, rtol=1e-6)  # they add 1e-9 to the total
