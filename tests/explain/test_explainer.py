"""The contract that every explanation method keeps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fer_batch import explain
from fer_batch.explain.composites import COMPOSITES
from fer_batch.models.backbone import build
from fer_batch.types import InputError

ALL = sorted({*COMPOSITES, "gradient", "gradient_times_input"})


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", 3, {"width": 0.1}).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ALL)
def test_maps_scores_and_law_of_every_method(model, images, name):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    pairs = np.array([[0, 0], [0, 2], [2, 1]])
    found = explain.method(name)(model, images.numpy(), pairs, rng=np.random.default_rng(0))
    with torch.no_grad():
        logits = model(images).numpy()
    assert found.values.shape == (3, 48, 48)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max((1, 2)).min() > 0
    np.testing.assert_allclose(found.score, logits[pairs[:, 0], pairs[:, 1]], rtol=1e-4)
    if name.startswith("gradient"):
        assert np.isnan(found.conservation).all()
    else:
        np.testing.assert_allclose(found.conservation, found.values.sum((1, 2)) / found.score, rtol=1e-3)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, msg=f"{key} of the user's model changed")
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ALL)
def test_no_pairs_give_no_maps(model, images, name):
    found = explain.method(name)(model, images, np.empty((0, 2), np.int64))
    assert found.values.shape == (0, 48, 48)


@pytest.mark.parametrize("name", ALL)
def test_a_pair_is_explained_alone_as_among_others(model, images, name):
    """In float64: kernels may sum in another order for another number of rows."""
    model, images = copy.deepcopy(model).double(), images.double()
    explainer = explain.method(name)
    every = [(i, j) for i in range(3) for j in range(3)]
    together = explainer(model, images, every).values
    for k, (i, j) in enumerate(every):
        alone = explainer(model, images[i : i + 1], [(0, j)]).values[0]
        np.testing.assert_allclose(together[k], alone, atol=1e-4 * np.abs(alone).max())


@settings(deadline=None, max_examples=15)
@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1), st.floats(0.01, 4.0))
def test_any_pairs_in_any_memory_give_the_same_maps(pairs, memory_mib):
    model, images = build_once()
    explainer = explain.method("preset_a_flat")
    every = [(i, j) for i in range(3) for j in range(3)]
    expected = dict(zip(every, explainer(model, images, every).values, strict=True))
    rows = sorted(pairs)
    found = explain.method("preset_a_flat", memory_mib=memory_mib)(model, images, rows)
    for row, values in zip(rows, found.values, strict=True):
        np.testing.assert_allclose(values, expected[row], atol=1e-5 * np.abs(expected[row]).max())


def build_once() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return build("resnet18", 3, {"width": 0.05}).double().eval(), torch.rand(3, 3, 32, 32, dtype=torch.float64)


@pytest.mark.parametrize("name", ["gradient", "preset_a_flat"])
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([[0, 3]], "output 3; the network has outputs 0 to 2"),
        ([[0, -1]], "output -1"),
        ([[3, 0]], "image 3 of a batch of 3"),
        ([[-1, 0]], "image -1"),
        ([[1, 0], [0, 0]], "sorted"),
        ([[0, 1], [0, 0]], "sorted"),
        ([[0.0, 1.0]], "integers"),
        ([0, 1], "integers"),
    ],
)
def test_wrong_pairs_are_refused(model, images, name, pairs, message):
    with pytest.raises(ValueError, match=message):
        explain.method(name)(model, images, pairs)


@pytest.mark.parametrize("name", ["gradient", "preset_a_flat"])
def test_wrong_images_are_refused(model, images, name):
    explainer = explain.method(name)
    broken = images.clone()
    broken[1, 0, 5, 5] = float("nan")
    with pytest.raises(ValueError, match="image 1 of the batch has values that are not finite"):
        explainer(model, broken, [[0, 0]])
    with pytest.raises(ValueError, match="images must be floating"):
        explainer(model, (images * 255).to(torch.uint8), [[0, 0]])
    with pytest.raises(ValueError, match="images must be floating"):
        explainer(model, images[0], [[0, 0]])


@pytest.mark.parametrize("name", ["gradient", "preset_a_flat"])
def test_a_training_model_is_refused_by_the_name_of_its_module(images, name):
    model = build("resnet18", 2, {"width": 0.1}).eval()
    model.layer2.train()
    with pytest.raises(ValueError, match=r"module 'layer2' of the network is in training mode"):
        explain.method(name)(model, images, [[0, 0]])


def test_unknown_methods_and_options_are_answered():
    with pytest.raises(ValueError, match="unknown explanation method 'preset_a_flt'; did you mean 'preset_a_flat'"):
        explain.method("preset_a_flt")
    with pytest.raises(
        InputError, match=r"explain\.options gamma: preset_a_flat takes epsilon, bias, engine, memory_mib, backward"
    ):
        explain.method("preset_a_flat", gamma=3)
    for wrong in ({"bias": "some"}, {"epsilon": -1.0}, {"engine": "slow"}, {"memory_mib": 0}, {"backward": "half"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            explain.method("preset_a_flat", **wrong)
    with pytest.raises(InputError, match=r"bfloat16 needs explain\.options\.engine: fast"):
        explain.method("preset_a_flat", engine="zennit", backward="bfloat16")
    with pytest.raises(InputError, match="low must lie below"):
        explain.method("epsilon_gamma_box", low=[1.0], high=[0.0])


def test_the_box_must_hold_the_image(model, images):
    with pytest.raises(ValueError, match=r"set explain\.options\.low and high"):
        explain.method("epsilon_gamma_box")(model, images * 3, [[0, 0]])
    wide = explain.method("epsilon_gamma_box", low=[0.0, 0.0, 0.0], high=[3.0, 3.0, 3.0])
    assert np.isfinite(wide(model, images * 3, [[0, 0]]).values).all()


class Saliency(nn.Module):
    """S = sum of the pixels times fixed weights."""

    def __init__(self, w: np.ndarray) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.w).flatten(1).sum(1, keepdim=True)


def test_g07_saliency_is_the_largest_absolute_gradient_over_the_channels():
    w = np.array([[[1, -2], [0, 0.5]], [[-3, 1], [0, -0.25]], [[2, 0], [0, 0.1]]])
    x = torch.rand(1, 3, 2, 2)
    found = explain.method("gradient")(Saliency(w).eval(), x, [[0, 0]])
    np.testing.assert_allclose(found.values[0], [[3, 2], [0, 0.5]])
    product = explain.method("gradient_times_input")(Saliency(w).eval(), x, [[0, 0]])
    np.testing.assert_allclose(product.values[0], (x[0].numpy() * w).sum(0), rtol=1e-6)


def test_lrp_z_is_gradient_times_input_where_every_activation_is_a_relu(model, images):
    pairs = [[0, 0], [1, 2]]
    a = explain.method("z")(model, images, pairs).values
    b = explain.method("gradient_times_input")(model, images, pairs).values
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
