"""APViT: which patches and tokens stay, in plain loops, and the published layout."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.models.apvit import Apvit, PoolingBlock, kept_patches, kept_tokens, taken
from fer_batch.models.backbone import build, head_prefixes
from fer_batch.types import InputError


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_patches_with_the_largest_sums_stay_in_their_order():
    features = draw(2, 3, 4, 5)
    expected = []
    for one in features.numpy():
        sums = [np.abs(one[:, y, x]).sum() for y in range(4) for x in range(5)]
        expected.append(sorted(sorted(range(20), key=lambda k: -sums[k])[:7]))
    np.testing.assert_array_equal(kept_patches(features, 7), expected)


def test_the_tokens_that_the_class_token_asks_for_stay_behind_it():
    query, key = draw(2, 3, 11, 4), draw(2, 3, 11, 4).flip(0)
    expected = []
    for q, k in zip(query.numpy(), key.numpy(), strict=True):
        scores = [sum(q[h, 0] @ k[h, t] for h in range(3)) for t in range(1, 11)]
        best = sorted(range(10), key=lambda t: -scores[t])[:7]
        expected.append([0, *sorted(t + 1 for t in best)])
    np.testing.assert_array_equal(kept_tokens(query, key, 0.79), expected)
    assert kept_tokens(query, key, 0.01).shape == (2, 2)


def test_taken_tokens_are_those_of_their_own_image():
    tokens = draw(2, 4, 3)
    found = taken(tokens, torch.tensor([[0, 2], [1, 3]]))
    np.testing.assert_array_equal(found, np.stack([tokens[0, [0, 2]], tokens[1, [1, 3]]]))


def test_a_block_that_keeps_everything_is_an_ordinary_one():
    torch.manual_seed(0)
    block, x = PoolingBlock(8, 2, 1.0).double(), draw(2, 5, 8)
    qkv = block.attn.qkv(block.norm1(x)).detach().numpy()
    attended = np.zeros((2, 5, 8))
    for i in range(2):
        for h in range(2):
            q, k, v = (qkv[i, :, 8 * part + 4 * h : 8 * part + 4 * h + 4] for part in range(3))
            z = np.exp(q @ k.T / 2)
            attended[i, :, 4 * h : 4 * h + 4] = z / z.sum(1, keepdims=True) @ v
    between = x + block.attn.proj(torch.from_numpy(attended))
    torch.testing.assert_close(block(x), between + block.mlp(block.norm2(between)))


def test_the_published_layout():
    """14x14 patches of 112 pixels, 160 of 196 kept, a tenth dropped in each of the last four blocks."""
    counts, shapes = [], []
    with torch.device("meta"):
        model = build("apvit", 7)
        model.extractor.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape)))
        for block in model.vit.blocks:
            block.register_forward_hook(lambda _m, _i, output: counts.append(output.shape[1] - 1))
        assert model(torch.zeros(2, 3, 112, 112)).shape == (2, 7)
    assert shapes == [(2, 256, 14, 14)] and counts == [160] * 4 + [144, 129, 116, 104]
    assert head_prefixes(model) == ("head.fc.",)
    names = {"vit.projs.0.weight", "vit.patch_pos_embed", "vit.cls_pos_embed", "vit.blocks.7.mlp.fc2.bias"}
    assert {*names, "extractor.body.2.13.res_layer.4.weight", "head.fc.weight"} <= set(model.state_dict())
    assert "vit.blocks.0.attn.qkv.bias" not in model.state_dict()


@pytest.fixture(scope="module")
def small() -> Apvit:
    torch.manual_seed(0)
    return Apvit(nn.Conv2d(3, 4, 8, stride=8), 4, 8, 3, size=32, keep=10, depth=2, width=8, n_heads=2).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_its_attention_is_the_mean_map_of_the_convolutional_part(small, images):
    maps = small.extractor(images).mean(1).detach().numpy()
    assert maps.shape == (2, 4, 4)
    found = explain.method("attention")(small, images, [[0, -1], [1, -1]]).values
    np.testing.assert_allclose(found, maps, rtol=1e-4, atol=1e-6)
    assert explain.method("grad_cam")(small, images, [[0, 1]]).values.shape == (1, 4, 4)


def test_methods_that_it_has_no_place_for_refuse(small, images):
    for name, message in (("cam", "take grad_cam"), ("class_map", "this network has neither")):
        with pytest.raises(ValueError, match=message):
            explain.method(name)(small, images, [[0, 1]])
    whole = Apvit(nn.Conv2d(3, 4, 8, stride=8), 4, 8, 3, size=32, keep=10, keep_rate=1.0, depth=1, width=8, n_heads=2)
    with pytest.raises(ValueError, match="has no relevance rule"):
        explain.method("epsilon")(whole.eval(), images, [[0, 1]])


def test_a_resnet_serves_as_its_backbone_up_to_layer3():
    with torch.device("meta"):
        model = build("apvit", 3, {"backbone": "resnet18", "width": 16, "depth": 2})
        assert model.extractor(torch.zeros(1, 3, 224, 224)).shape == (1, 256, 14, 14)
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 3)
    names = [name for name, _ in model.extractor.named_children()]
    assert names == ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"]


def test_the_output_does_not_depend_on_patches_that_were_dropped(small):
    """Another value of a dropped patch, too small to bring it back, changes nothing; of a kept one it does."""
    vit = copy.deepcopy(small.vit)
    vit.projs[0] = nn.Identity()
    projected = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    kept = kept_patches(projected, 10)[0].tolist()
    dropped = next(k for k in range(16) if k not in kept)
    for place, same in ((dropped, True), (kept[0], False)):
        other = projected.clone()
        other[0, :, place // 4, place % 4] *= 0.99
        assert kept_patches(other, 10)[0].tolist() == kept
        assert torch.allclose(vit(projected), vit(other), rtol=0, atol=1e-9) == same


def test_a_step_of_training_lowers_the_loss_and_moves_the_backbone(images):
    torch.manual_seed(0)
    model = Apvit(nn.Conv2d(3, 4, 8, stride=8), 4, 8, 2, size=32, keep=10, depth=2, width=8, n_heads=2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(images), torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert float(model.extractor.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, "options.size must be a multiple of 8 pixels"),
        ({"keep": 200}, "112 pixels give 196 patches, 200 cannot be kept"),
        ({"keep_rate": 0}, "options.keep_rate must be above 0"),
        ({"keep_rate": 1.5}, "between 0 and 1"),
        ({"width": 10, "n_heads": 4}, "cannot be shared by 4 heads"),
        ({"backbone": "vgg16"}, "expected a ResNet with stages layer1 to layer4, got options.backbone vgg16"),
        ({"head": "prm"}, "not with apvit|it fits"),
        ({"stride": 8}, "options.stride is of ResNets"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build("apvit", 2, options)
