"""The road of a published file: its authors' module is saved, and loaded by a job that only names the network."""

import pytest
import torch

from fer_batch.models import checkpoint
from fer_batch.models.card import ModelSpec, resolve


@pytest.fixture
def trained():
    """A function: a module in evaluation mode with statistics as after a training, so that nothing is an identity."""

    def fill(module):
        generator = torch.Generator().manual_seed(0)
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        return module.eval()

    return fill


@pytest.fixture
def loaded(tmp_path):
    """A function: the module here of a state as the authors save it."""

    def load(name, state, **spec):
        path = tmp_path / f"{name}.pt"
        torch.save(state, path)
        return checkpoint.load(resolve(ModelSpec(known=name, checkpoint=str(path), **spec)))

    return load


@pytest.fixture
def images():
    """Two pictures that are small for every network here, float32 (2, 3, 64, 64)."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
