"""Activation maps: hand-worked numbers, other implementations, and the layer they are made of."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.cam import cam_map, grad_cam_map, grad_cam_pp_weights, layer_cam_map
from fer_batch.explain.layers import default_layer
from fer_batch.models.backbone import build
from fer_batch.types import InputError

A = torch.tensor([[[[1.0, 0.0], [2.0, 1.0]], [[0.0, 2.0], [1.0, 1.0]]]])


W = torch.tensor([[1.0, -0.5]])


G = torch.tensor([[[[1.0, -1.0], [2.0, 0.0]], [[-1.0, -1.0], [1.0, -3.0]]]])


CAMS = ["cam", "grad_cam", "grad_cam_pp", "layer_cam"]


PAIRS = np.array([[0, 0], [0, 2], [1, 1], [2, 0], [2, 1], [2, 2]])


def test_g08_cam():
    found = cam_map(A, W)[0]
    np.testing.assert_allclose(found, [[1, -1], [1.5, 0.5]])
    assert found.mean() == pytest.approx(0.5)


def test_g08_grad_cam():
    head = (W / 4)[:, :, None, None].expand_as(A)
    found = grad_cam_map(A, head)[0]
    np.testing.assert_allclose(found, [[0.25, 0], [0.375, 0.125]])
    np.testing.assert_allclose(found / found.max(), [[0.6667, 0], [1, 0.3333]], atol=1e-4)
    np.testing.assert_allclose(grad_cam_map(A, G)[0], [[0.5, 0], [0, 0]])


def test_g08_layer_cam():
    np.testing.assert_allclose(layer_cam_map(A, G)[0], [[1, 0], [5, 0]])


@pytest.mark.parametrize(
    ("released", "weights", "values"),
    [
        (False, [0.366667, 0.166667], [[0.366667, 0.333333], [0.9, 0.533333]]),
        (True, [0.372632, -0.038462], [[0.372632, 0], [0.706802, 0.334170]]),
    ],
)
def test_g08_grad_cam_pp(released, weights, values):
    found = grad_cam_pp_weights(A, G, released)
    np.testing.assert_allclose(found[0], weights, atol=1e-6)
    np.testing.assert_allclose(cam_map(A, found).clamp(min=0)[0], values, atol=1e-6)


class Given(nn.Module):
    """Images are the feature maps; the head makes G their gradient, or pools them for CAM."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.features, self.pooled = nn.Identity(), pooled
        self.fc = nn.Linear(2, 1)
        self.fc.weight.data, self.fc.bias.data = W.clone(), torch.tensor([7.0])

    def forward(self, x):
        x = self.features(x)
        return self.fc(x.mean((2, 3))) if self.pooled else (x * G).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("name", "options", "pooled", "expected"),
    [
        ("cam", {}, True, [[1, -1], [1.5, 0.5]]),
        ("grad_cam", {}, True, [[0.25, 0], [0.375, 0.125]]),
        ("grad_cam", {}, False, [[0.5, 0], [0, 0]]),
        ("layer_cam", {}, False, [[1, 0], [5, 0]]),
        ("grad_cam_pp", {}, False, [[0.366667, 0.333333], [0.9, 0.533333]]),
        ("grad_cam_pp", {"released": True}, False, [[0.372632, 0], [0.706802, 0.334170]]),
    ],
)
def test_g08_through_a_network(name, options, pooled, expected):
    found = explain.method(name, layer="features", **options)(Given(pooled).eval(), A, [[0, 0]])
    np.testing.assert_allclose(found.values[0], expected, atol=1e-6)
    assert np.isnan(found.conservation).all()


def plus_plus_in_loops(a, g, released):
    """Grad-CAM++ as the formulas are printed, for one frame."""
    n_maps, h, w = a.shape
    total = np.zeros((h, w))
    for k in range(n_maps):
        weight = 0.0
        for i in range(h):
            for j in range(w):
                third = (g[k] ** 3 * a[k]).sum() if released else g[k, i, j] ** 3 * a[k].sum()
                denominator = 2 * g[k, i, j] ** 2 + third
                alpha = g[k, i, j] ** 2 / denominator if denominator != 0 else 0.0
                weight += alpha * max(g[k, i, j], 0.0)
        total += weight * a[k]
    return np.maximum(total, 0)


@pytest.mark.parametrize("released", [False, True])
def test_grad_cam_pp_equals_plain_loops(released):
    rng = np.random.default_rng(0)
    a, g = rng.normal(size=(4, 5, 3, 2)), rng.normal(size=(4, 5, 3, 2)) * (rng.random((4, 5, 3, 2)) > 0.3)
    features, gradients = torch.from_numpy(a), torch.from_numpy(g)
    found = cam_map(features, grad_cam_pp_weights(features, gradients, released)).clamp(min=0)
    expected = [plus_plus_in_loops(*pair, released) for pair in zip(a, g, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_grad_cam_pp_of_tiny_gradients_does_not_vanish():
    weights = grad_cam_pp_weights(A, G * 1e-30)
    np.testing.assert_allclose(weights[0], G.clamp(min=0).sum((2, 3))[0] / 2 * 1e-30, rtol=1e-5)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = build("resnet18", 3, {"width": 0.1})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def close(found, expected, tolerance=1e-4):
    """Of the largest value: float32 rounds over the layers of a ResNet, each CPU's kernels in their own way."""
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", [*CAMS, "guided_grad_cam", "attention"])
def test_contract(model, images, name):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explainer = explain.method(name, batch_size=2)
    found = explainer(model, images.numpy(), PAIRS)
    with torch.no_grad():
        logits = model(images).numpy()
    np.testing.assert_allclose(found.score, logits[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-4)
    assert found.values.shape == (6, 96, 64) if name == "guided_grad_cam" else (6, 3, 2)
    assert found.values.dtype == np.float32 and np.abs(found.values).max() > 0
    assert np.isnan(found.conservation).all()
    for k, (i, j) in enumerate(PAIRS):
        close(explainer(model, images[i : i + 1], [(0, j)]).values[0], found.values[k])
    assert len(explainer(model, images, np.empty((0, 2), int)).values) == 0
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()
    with pytest.raises(ValueError, match="output 3; the network has outputs 0 to 2"):
        explainer(model, images, [[1, 3]])
    broken = images.clone()
    broken[1, 0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match="image 1 of the batch has values that are not finite"):
        explainer(model, broken, PAIRS)
    model.layer2.train()
    try:
        with pytest.raises(ValueError, match="'layer2' of the network is in training mode"):
            explainer(model, images, PAIRS)
    finally:
        model.layer2.eval()
    with pytest.raises(ValueError, match=r"no module 'layer_4'; did you mean 'layer4'"):
        explain.method(name, layer="layer_4")(model, images, PAIRS)
    with pytest.raises(ValueError, match=r"'avgpool' returns .* such as those of 'layer4'"):
        explain.method(name, layer="avgpool")(model, images, PAIRS)


def test_the_mean_of_a_cam_is_the_logit_without_bias(model, images):
    found = explain.method("cam")(model, images, PAIRS)
    bias = model.fc.bias.detach().numpy()[PAIRS[:, 1]]
    np.testing.assert_allclose(found.values.mean((1, 2)), found.score - bias, atol=1e-4)


@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer2.0", "conv1", "layer3.0.bn1"])
@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor 0")
def test_grad_cam_equals_captum(model, images, layer):
    found = explain.method("grad_cam", layer=layer)(model, images, PAIRS).values
    oracle = captum.attr.LayerGradCam(model, model.get_submodule(layer))
    for (i, j), values in zip(PAIRS, found, strict=True):
        expected = oracle.attribute(images[i : i + 1], target=int(j), relu_attributions=True)
        close(values, expected[0, 0].detach().numpy())


class Plain(nn.Sequential):
    """Every ReLU its own and none in place, as captum's hooks need it."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        convolutions = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()]
        super().__init__(
            *convolutions, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 3)
        )


@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor 0")
def test_guided_grad_cam_equals_captum():
    model, x = Plain().eval(), torch.rand(2, 3, 20, 20)
    assert default_layer(model, (3, 20, 20)) == "3"
    pairs = [(0, 0), (0, 1), (1, 0), (1, 2)]
    found = explain.method("guided_grad_cam")(model, x, pairs).values
    tops = explain.method("grad_cam", layer=3)(model, x, pairs).values.max((1, 2))
    oracle = captum.attr.GuidedGradCam(model, model[3])
    for (i, j), values, top in zip(pairs, found, tops, strict=True):
        expected = oracle.attribute(x[i : i + 1], target=j, interpolate_mode="bilinear")[0].sum(0) / top
        close(values, expected.detach().numpy())


@pytest.mark.parametrize(
    ("name", "theirs"), [("grad_cam", "GradCAM"), ("grad_cam_pp", "GradCAMPlusPlus"), ("layer_cam", "LayerCAM")]
)
@pytest.mark.parametrize("layer", ["layer4", "layer2.1"])
def test_maps_equal_the_grad_cam_package(model, images, name, theirs, layer):
    package = pytest.importorskip("pytorch_grad_cam", reason="parity needs the package grad-cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    module = model.get_submodule(layer)
    found = explain.method(name, layer=layer)(model, images, PAIRS).values
    with getattr(package, theirs)(model=model, target_layers=[module]) as oracle:
        for (i, j), values in zip(PAIRS, found, strict=True):
            x = images[i : i + 1]
            oracle(input_tensor=x, targets=[ClassifierOutputTarget(int(j))])
            a, g = oracle.activations_and_grads.activations[0], oracle.activations_and_grads.gradients[0]
            if name == "grad_cam_pp":  # there the denominator has 1e-6 more, nothing beside larger gradients
                expected = oracle.get_cam_weights(x, module, None, a.double().numpy(), 1e3 * g.double().numpy())
                close(grad_cam_pp_weights(a, 1e3 * g), expected)
            else:
                expected = oracle.get_cam_image(x, module, None, a.numpy(), g.numpy(), False)[0]
                close(values, np.maximum(expected, 0))


def test_upsampled_maps_have_the_size_of_the_images(model, images):
    for name in (*CAMS, "attention"):
        native = explain.method(name)(model, images, PAIRS).values
        large = explain.method(name, upsample=True)(model, images, PAIRS).values
        assert large.shape == (6, 96, 64)
        expected = nn.functional.interpolate(torch.from_numpy(native)[:, None], (96, 64), mode="bilinear")[:, 0]
        close(large, expected.numpy())


def test_grad_cam_of_a_transformer_reads_the_patches_of_the_named_layer():
    torch.manual_seed(0)
    model = build("timm:vit_tiny_patch16_224", 3, {"img_size": 64, "depth": 2}).eval()
    x = torch.rand(2, 3, 64, 64)
    found = explain.method("grad_cam", layer="blocks.0")(model, x, [[0, 1], [1, 2]]).values
    for i, j, values in ((0, 1, found[0]), (1, 2, found[1])):
        tokens = model._pos_embed(model.patch_embed(x[i : i + 1]))
        a = model.blocks[0](tokens).detach().requires_grad_()
        (g,) = torch.autograd.grad(model.forward_head(model.norm(model.blocks[1](a)))[0, j], a)
        alpha = g[0, 1:].mean(0)
        close(values, (a[0, 1:] @ alpha).clamp(min=0).view(4, 4).detach().numpy())


def test_cam_needs_pooling_and_one_linear_layer(images):
    with pytest.raises(ValueError, match=r"cam needs global average pooling and one linear layer.*take grad_cam"):
        explain.method("cam")(Plain().eval(), images, PAIRS)
    pointwise = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.Flatten()).eval()
    found = explain.method("cam")(pointwise, images, PAIRS)
    bias = pointwise[2].bias.detach().numpy()[PAIRS[:, 1]]
    np.testing.assert_allclose(found.values.mean((1, 2)), found.score - bias, atol=1e-4)


def test_options_are_checked():
    with pytest.raises(InputError, match=r"explain\.options\.batch_size"):
        explain.method("grad_cam", batch_size=-1)
    with pytest.raises(
        InputError, match=r"explain\.options relase: grad_cam_pp takes layer, released, upsample, batch_size"
    ):
        explain.method("grad_cam_pp", relase=True)
