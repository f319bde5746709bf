"""LIME: hand-worked numbers, plain loops, the lime package on the same segments and samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.transform import resize
from torch import nn

from fer_batch import explain
from fer_batch.explain.lime import LIME, composed, drawn_samples, segment_means
from fer_batch.models.backbone import build
from fer_batch.types import InputError


def test_samples_are_fair_seeded_and_start_with_everything():
    found = drawn_samples(1000, 30, np.random.default_rng(0))
    assert found[0].all()
    assert found[1:].mean() == pytest.approx(0.5, abs=0.01)
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_array_equal(found, drawn_samples(1000, 30, np.random.default_rng(0)))


def test_images_are_composed_segment_by_segment():
    rng = np.random.default_rng(0)
    image, hidden = (torch.from_numpy(v) for v in rng.random((2, 3, 5, 4)))
    labels = rng.integers(0, 3, (5, 4))
    samples = rng.integers(0, 2, (6, 3)).astype(bool)
    found = composed(image, hidden, torch.from_numpy(labels), torch.from_numpy(samples)).numpy()
    for b, c, i, j in np.ndindex(found.shape):
        source = image if samples[b, labels[i, j]] else hidden
        assert found[b, c, i, j] == source[c, i, j]
    means = segment_means(image, torch.from_numpy(labels)).numpy()
    for s in range(3):
        expected = image.numpy()[:, labels == s].mean(1)
        np.testing.assert_allclose(means[:, labels == s], np.broadcast_to(expected[:, None], (3, (labels == s).sum())))


@pytest.fixture(scope="module")
def face():
    return resize(astronaut()[:200, 130:330], (224, 224), anti_aliasing=True)


class Quadrants(nn.Module):
    """Logits that depend on known parts of the picture alone."""

    def forward(self, x):
        parts = torch.stack([x[:, :, :8, :8], x[:, :, :8, 8:], x[:, :, 8:, :8], x[:, :, 8:, 8:]], 1).mean((2, 3, 4))
        return parts @ torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]) + torch.tensor([0.3, -0.2])


class Given(LIME):
    """LIME on the four quadrants."""

    def segments(self, image):
        return np.arange(16)[:, None] // 8 * 2 + np.arange(16)[None] // 8


def on_quadrants(**options) -> LIME:
    explainer = explain.method("lime", **options)
    explainer.__class__ = Given
    return explainer


def test_segments_a_linear_network_needs_have_its_weights():
    x = torch.full((1, 3, 16, 16), 0.5)
    model = Quadrants().eval()
    found = on_quadrants(alpha=0.0)(model, x, [[0, 0], [0, 1]])
    expected = np.zeros((2, 16, 16))
    expected[0, :8, :8], expected[0, :8, 8:], expected[1, 8:, :8] = 1.0, -0.5, 0.5
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_allclose(found.score, [0.3 + 0.5, -0.2 + 0.5], rtol=1e-6)
    assert np.isnan(found.conservation).all()
    relative = on_quadrants(alpha=0.0, distance="image")(model, x, [[0, 0]])
    np.testing.assert_allclose(relative.values, expected[:1], atol=1e-6)
    two = on_quadrants(alpha=0.0, n_features=1)(model, x, [[0, 0]])
    assert (two.values[0, :8, :8] > 0.9).all() and np.count_nonzero(two.values) == 64


def test_g14_positive_weights_are_clipped():
    x = torch.full((1, 3, 16, 16), 1.0)
    found = on_quadrants(alpha=0.0, positive=True)(Quadrants().eval(), x, [[0, 0]])
    expected = np.zeros((16, 16))
    expected[:8, :8] = 1.0  # 2 clipped; -1 is not shown
    np.testing.assert_allclose(found.values[0], expected, atol=1e-6)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", 3, {"width": 0.05}).eval()


@pytest.fixture(scope="module")
def images(face) -> torch.Tensor:
    pictures = [face[::5, ::5], face[::5, ::5][:, ::-1].copy()]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


QUICK = {"n_samples": 40}


def test_contract(model, images):
    pairs = np.array([[0, 0], [0, 2], [1, 1]])
    explainer = explain.method("lime", **QUICK)
    found = explainer(model, images.numpy(), pairs)
    with torch.no_grad():
        logits = model(images).numpy()
    assert found.values.shape == (3, 45, 45) and found.values.dtype == np.float32
    assert np.abs(found.values).max((1, 2)).min() > 0
    np.testing.assert_allclose(found.score, logits[pairs[:, 0], pairs[:, 1]], rtol=1e-4)
    # float32: other kernels may serve a batch of another size
    largest = np.abs(found.values[2]).max()
    np.testing.assert_allclose(explainer(model, images[1:], [[0, 1]]).values[0], found.values[2], atol=1e-3 * largest)
    for drawn in (explainer(model, images, pairs, rng=np.random.default_rng(7)).values for _ in range(2)):
        assert np.abs(drawn - found.values).max() > 1e-4
    assert explainer(model, images, np.empty((0, 2), int)).values.shape == (0, 45, 45)
    for wrong, message in (
        ([[0, 3]], "outputs 0 to 2"),
        ([[0, -1]], "output -1"),
        ([[2, 0]], "image 2 of a batch of 2"),
    ):
        with pytest.raises(ValueError, match=message):
            explainer(model, images, wrong)
    with pytest.raises(ValueError, match="not finite"):
        explainer(model, images / 0, pairs)
    with pytest.raises(ValueError, match=r"pixels from -1 to 0\.\d+ .*set explain\.options\.mean and std"):
        explainer(model, images * 2 - 1, pairs)
    with pytest.raises(ValueError, match="training mode"):
        explainer(build("resnet18", 3, {"width": 0.05}), images, pairs)


def test_one_segment_is_a_whole_map(model):
    flat = torch.full((1, 3, 32, 32), 0.5)
    found = explain.method("lime", segmentation="quickshift", **QUICK)(model, flat, [[0, 0]])
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize("paper", ["standardised", "pain"])
def test_presets_of_the_papers(model, images, paper):
    explainer = explain.method("lime", paper=paper, kernel_size=1.0, **QUICK)
    values = explainer(model, images, [[0, 0], [0, 1], [0, 2]]).values
    if paper == "standardised":
        assert (explainer.segmentation, explainer.hide, explainer.output) == ("slic", "black", "softmax")
        assert values.min() == 0 and 0 < values.max() <= 1
    else:
        assert (explainer.segmentation, explainer.hide, explainer.output) == ("quickshift", "mean", "softmax")
        labels = explainer.segments(images[0])
        assert labels.max() + 1 > 6
        assert all(len(np.unique(labels[v != 0])) == 6 for v in values)
        assert values.min() < 0 < values.max()
    assert explain.method("lime", paper=paper, output="logit", n_features=2).n_features == 2


@pytest.mark.parametrize("paper", ["standardised", "pain"])
def test_weights_equal_the_lime_package_on_the_same_segments_and_samples(model, images, paper):
    lime_image = pytest.importorskip("lime.lime_image", reason="parity needs the package lime")
    n = 150
    ours = explain.method("lime", paper=paper, kernel_size=1.0, n_samples=n, positive=False)
    picture = images[0].permute(1, 2, 0).double().numpy()

    class Drawn:
        """The samples that the package draws."""

        def integers(self, low, high, size):
            return np.random.RandomState(3).randint(low, high, size[0] * size[1]).reshape(size)

    found = ours(model, images[:1], [[0, 0], [0, 1], [0, 2]], rng=Drawn()).values

    def classify(pictures):
        with torch.no_grad():
            return model(torch.from_numpy(pictures).permute(0, 3, 1, 2).float()).softmax(1).double().numpy()

    labels = ours.segments(images[0])
    answer = lime_image.LimeImageExplainer(random_state=3).explain_instance(
        picture,
        classify,
        labels=(0, 1, 2),
        top_labels=None,
        num_features=6 if paper == "pain" else 100000,
        num_samples=n,
        hide_color=None if paper == "pain" else 0,
        segmentation_fn=lambda _: labels,
        random_seed=0,
    )
    for target, values in enumerate(found):
        expected = np.zeros(labels.max() + 1)
        for segment, weight in answer.local_exp[target]:
            expected[segment] = weight
        # float32 networks, asked in batches of other sizes
        np.testing.assert_allclose(values, expected[labels], atol=1e-4 * np.abs(expected).max())


def test_options_are_checked():
    for wrong in (
        {"paper": "ribeiro"},
        {"segmentation": "felzenszwalb"},
        {"hide": "white"},
        {"output": "probability"},
        {"n_features": 0},
        {"n_samples": 0},
        {"kernel_width": 0.0},
        {"alpha": -1.0},
        {"distance": "l2"},
        {"std": 0.0},
    ):
        with pytest.raises(InputError, match=rf"explain\.options.*{next(iter(wrong))}"):
            explain.method("lime", **wrong)
