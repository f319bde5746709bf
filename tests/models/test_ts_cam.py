"""TS-CAM: timm's DeiT with a head over its patch tokens, and the attention of its class token in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from fer_batch import explain
from fer_batch.models import checkpoint
from fer_batch.models.backbone import build, head_prefixes
from fer_batch.models.features import features
from fer_batch.models.ts_cam import TsCam, attention_of_class_token
from fer_batch.types import InputError


@pytest.fixture(scope="module")
def model() -> TsCam:
    torch.manual_seed(0)
    made = TsCam(3, 128, size=48, depth=2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.2)  # as timm starts it, attention is all but even
    return made.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def test_weights_of_deit_load_without_a_key_map_and_maps_are_14x14():
    with torch.device("meta"):
        published = timm.create_model("deit_small_patch16_224").state_dict()
        model = build("ts_cam_deit_small", 7)
        checkpoint.load_state(model, published, keep=head_prefixes(model))
        found = model.class_maps(torch.zeros(1, 3, 224, 224))
    assert head_prefixes(model) == ("head.",)
    assert {k: v.shape for k, v in model.state_dict().items() if not k.startswith("head.")} == {
        k: v.shape for k, v in published.items() if not k.startswith("head.")
    }
    assert found.logits.shape == (1, 7) and found.responses.shape == (1, 7, 14, 14)


def attention_in_loops(tokens, weight, bias, n_heads):
    n, t, e = tokens.shape
    d, found = e // n_heads, np.zeros((n, t - 1))
    for i in range(n):
        for h in range(n_heads):
            rows = slice(h * d, (h + 1) * d)
            query = weight[:e][rows] @ tokens[i, 0] + bias[:e][rows]
            keys = [weight[e : 2 * e][rows] @ tokens[i, j] + bias[e : 2 * e][rows] for j in range(t)]
            z = np.array([np.exp(query @ key / np.sqrt(d)) for key in keys])
            found[i] += (z / z.sum())[1:] / n_heads
    return found


def test_attention_of_the_class_token_equals_plain_loops():
    rng = np.random.default_rng(0)
    tokens, weight, bias = rng.normal(size=(2, 5, 6)), rng.normal(size=(18, 6)), rng.normal(size=18)
    found = attention_of_class_token(*map(torch.from_numpy, (tokens, weight, bias)), 3)
    np.testing.assert_allclose(found, attention_in_loops(tokens, weight, bias, 3), rtol=1e-10)


def test_it_is_what_timm_computes_inside_its_attention(model, images):
    """The class token's row of the softmax, read from timm's own unfused attention while the network runs."""
    rows, handles = [], []
    for block in model.blocks:
        block.attn.fused_attn = False
        handles.append(
            block.attn.attn_drop.register_forward_hook(lambda _m, _i, a: rows.append(a[:, :, 0, 1:].mean(1)))
        )
    try:
        _, found = features(model, images, ["class_attention"])
    finally:
        for handle, block in zip(handles, model.blocks, strict=True):
            handle.remove()
            block.attn.fused_attn = True
    torch.testing.assert_close(found["class_attention"].flatten(1), sum(rows))


def test_the_map_is_the_semantic_map_times_the_summed_attention(model, images):
    tokens = model.forward_features(images)  # timm's own pass through the blocks
    semantic = model.head(tokens[:, 1:].transpose(1, 2).reshape(2, 128, 3, 3)).detach().numpy()
    _, found = features(model, images, ["class_attention"])
    attention = found["class_attention"].detach().numpy()[:, 0]
    np.testing.assert_allclose(model(images).detach(), semantic.mean((2, 3)), rtol=1e-4)
    made = explain.method("class_map")(model, images, [[0, 0], [0, 2], [1, 1]])
    expected = [semantic[0, 0] * attention[0], semantic[0, 2] * attention[0], semantic[1, 1] * attention[1]]
    np.testing.assert_allclose(made.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(explain.method("attention")(model, images, [[0, -1]]).values[0], attention[0], rtol=1e-5)


def test_grad_cam_reads_the_tokens_of_the_head_and_relevance_propagation_refuses(model, images):
    found = explain.method("grad_cam")(model, images, [[0, 1]])
    assert found.values.shape == (1, 3, 3)
    with pytest.raises(ValueError, match="has no relevance rule"):
        explain.method("epsilon")(model, images, [[0, 1]])
    with pytest.raises(ValueError, match="take class_map"):
        explain.method("cam")(model, images, [[0, 1]])
    with pytest.raises(ValueError, match="the network also applies Gelu"):
        explain.method("peak_response")(model, images, [[0, 1]])


def test_gradients_of_the_attention_reach_the_queries(model, images):
    _, found = features(model, images, ["class_attention"])
    (gradient,) = torch.autograd.grad(found["class_attention"].square().sum(), model.blocks[0].attn.qkv.weight)
    assert float(gradient[:256].abs().sum()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, "options.size must be a multiple of 16 pixels"),
        ({"size": 16}, "at least 32"),
        ({"depth": 0}, "options.depth must be a positive integer"),
        ({"head": "wildcat"}, "not with ts_cam_deit_tiny|it fits"),
        ({"patch": 8}, "options do not fit ts_cam_deit_tiny"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build("ts_cam_deit_tiny", 2, options)
