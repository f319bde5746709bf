"""Networks with shuffled weights, and which methods notice."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_batch.evaluate.randomisation import randomisation_check
from fer_batch.explain import method
from fer_batch.explain.randomised import depths, randomised, randomised_maps, weight_layers
from fer_batch.models.backbone import build

SIZE = 32


def network():
    """Three convolutions, one without BatchNorm, and a dense layer."""
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)),
    )


def planted(n, seed):
    """Noise, and stripes somewhere in it: standing ones of class 0, lying ones of class 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, (n, 3, SIZE, SIZE)).astype(np.float32)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 0.1, x.shape), 2), 3)
    x += (smooth / smooth.std((1, 2, 3), keepdims=True)).astype(np.float32)
    stripes = np.tile(np.arange(12) // 2 % 2 * 2.0 - 1, (12, 1))
    for i, (row, column) in enumerate(rng.integers(2, SIZE - 14, (n, 2))):
        x[i, :, row : row + 12, column : column + 12] = stripes if i % 2 == 0 else stripes.T
    return torch.from_numpy(x), torch.arange(n) % 2


@pytest.fixture(scope="module")
def trained():
    model = network().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(80):
        x, y = planted(16, step)
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = planted(64, 1000)
    assert (model.eval()(x).argmax(1) == y).float().mean() > 0.9
    return model


def test_layers_come_in_the_order_of_the_forward_pass_with_their_norms():
    class Reversed(nn.Module):
        """Declares its layers from the output down, and has a weight of its own."""

        def __init__(self):
            super().__init__()
            self.head, self.norm, self.stem = nn.Linear(4, 2), nn.BatchNorm2d(4), nn.Conv2d(3, 4, 1)
            self.scale = nn.Parameter(torch.ones(4, 1, 1))
            self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            x = (self.norm(self.stem(x)) * self.scale).flatten(2).transpose(1, 2)
            return self.head(self.attend(x, x, x)[0].mean(1))

    found = weight_layers(Reversed().eval(), torch.zeros(1, 3, 4, 4))
    assert [layer.name for layer in found] == ["(network)", "stem", "attend", "head"]
    assert found[1].parameters == ("stem.weight", "stem.bias", "norm.weight", "norm.bias")
    assert "attend.out_proj.weight" in found[2].parameters  # never called by itself
    with pytest.raises(ValueError, match="none to shuffle"):
        weight_layers(nn.Flatten().eval(), torch.zeros(1, 3, 4, 4))


def test_a_resnet_has_twenty_one_layers_and_the_stem_is_the_first():
    model = build("resnet18", 4, {"width": 0.25}).eval()
    names = [layer.name for layer in weight_layers(model, torch.zeros(1, 3, 64, 64))]
    assert len(names) == 21 and names[0] == "conv1" and names[-1] == "fc"


def test_weights_keep_their_values_and_lose_their_places(trained):
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    layers = weight_layers(trained, planted(1, 0)[0])
    top, all_of_them = (randomised(trained, layers, range(first, 4), 7) for first in (3, 0))
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
        changed = all_of_them.state_dict()[name]
        torch.testing.assert_close(changed.flatten().sort()[0], value.flatten().sort()[0], rtol=0, atol=0)
        shuffled = value.numel() > 1 and "running" not in name
        assert (not torch.equal(changed, value)) == shuffled, name
        # deeper randomisation leaves the shuffle of the upper layers as it was
        expected = changed if name in layers[3].parameters else value
        torch.testing.assert_close(top.state_dict()[name], expected, rtol=0, atol=0)
    other = randomised(trained, layers, range(4), 8).state_dict()
    assert not torch.equal(other["0.weight"], all_of_them.state_dict()["0.weight"])


def test_depths_have_both_ends():
    assert depths(21, 5) == [1, 6, 11, 16, 21]
    assert depths(4, None) == depths(4, 9) == [1, 2, 3, 4]
    assert depths(4, 1) == [1, 4]


@pytest.mark.parametrize("name", ["gradient", "epsilon"])  # LRP keeps a canonical form, which must follow the weights
def test_cascade_and_single_layers(trained, name):
    images, pairs = planted(4, 5)[0], np.stack([np.arange(4), np.zeros(4, int)], 1)
    explainer = method(name)
    cascade = list(randomised_maps(trained, explainer, images, pairs, seeds=(0, 1)))
    assert [(one.layer, one.n_layers, one.everything, one.seed) for one in cascade[:4]] == [
        *[("12", 1, False, 0), ("7", 2, False, 0), ("4", 3, False, 0), ("0", 4, True, 0)]
    ]
    assert len(cascade) == 8 and (cascade[3].maps != cascade[7].maps).any()
    whole = randomised(trained, weight_layers(trained, images), range(4), 1)
    np.testing.assert_array_equal(cascade[7].maps, explainer(whole, images, pairs).values)
    single = list(randomised_maps(trained, explainer, images, pairs, independent=True))
    assert [(one.layer, one.n_layers, one.everything) for one in single] == [
        *[("12", 1, False), ("7", 1, False), ("4", 1, False), ("0", 1, False)]
    ]
    np.testing.assert_array_equal(single[0].maps, cascade[0].maps)
    layers = weight_layers(trained, images)
    alone = explainer(randomised(trained, layers, [1]), images, pairs).values
    np.testing.assert_array_equal(single[2].maps, alone)


def test_a_method_that_draws_samples_draws_the_same_for_every_network(trained):
    images, pairs = planted(2, 5)[0], [[0, 0], [1, 1]]
    one, two = (
        next(randomised_maps(trained, method("smooth_grad", samples=3), images, pairs, draw=4)).maps for _ in "ab"
    )
    np.testing.assert_array_equal(one, two)


def test_guided_backprop_and_deconvnet_are_flagged_and_gradient_and_lrp_are_not(trained):
    images, classes = planted(16, 2000)
    pairs, subjects = np.stack([np.arange(16), classes.numpy()], 1), list(range(16))
    own = {}
    for name in ("guided_backprop", "deconvnet", "gradient", "epsilon", "grad_cam"):
        explainer = method(name)
        maps = explainer(trained, images, pairs).values
        shuffled = randomised_maps(trained, explainer, images, pairs, seeds=(0, 1))
        found = randomisation_check(maps, shuffled, subjects, measures=("spearman",))
        own[name] = (found.flagged, round(found.own.mean, 2))
    assert {name: flagged for name, (flagged, _) in own.items()} == {
        "guided_backprop": True,
        "deconvnet": True,
        "gradient": False,
        "epsilon": False,
        "grad_cam": False,
    }, own
