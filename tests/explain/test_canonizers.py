"""The canonical form of a network: what it merges, what it refuses, and that it computes the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.canonizers import canonize
from fer_batch.models.backbone import build


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.LayerNorm(32), r"layer '1' \(LayerNorm\) has no relevance rule; supported: convolution"),
        (nn.GroupNorm(1, 4), r"layer '1' \(GroupNorm\)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'"),
        (nn.Conv2d(4, 4, 2, padding="same"), "'same' padding of an even kernel"),
        (nn.BatchNorm2d(4, track_running_stats=False), "depend on the other frames"),
        (nn.Softmax(1), "explanations start at the logits"),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(layer, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer, nn.Flatten(), nn.Linear(4 * 32 * 32, 2)).eval()
    with pytest.raises(ValueError, match=message):
        explain.method("preset_a_flat")(model, torch.rand(1, 3, 32, 32), [[0, 0]])


class Refused(nn.Module):
    def __init__(self, forward) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3, padding=1), forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x if x.sum() > 0 else -x).mean((2, 3)), "cannot be traced"),
        (lambda x: x.cumsum(1).mean((2, 3)), r"\(cumsum\) has no relevance rule"),
        (lambda x: (x * x).mean((2, 3)), r"\(mul\) has no relevance rule"),
        (lambda x: x.mean(0, keepdim=True).mean((2, 3)), r"logits \(N, targets\)"),
        (lambda x: x, r"must return logits \(N, targets\), got \(2, 4, 32, 32\)"),
        (lambda x: (x, x), "one tensor of logits"),
        (lambda x: (x - x.mean(0)).mean((2, 3)), r"\(sub\) has no relevance rule"),
    ],
)
def test_an_operation_without_a_rule_is_refused_by_name(function, message):
    with pytest.raises(ValueError, match=message):
        explain.method("preset_a_flat")(Refused(function).eval(), torch.rand(1, 3, 32, 32), [[0, 0]])


def test_transformers_are_refused_not_misread():
    model = build("timm:vit_tiny_patch16_224", 2, {"img_size": 32}).eval()
    with pytest.raises(ValueError, match=r"has no relevance rule|cannot be traced|does not take images"):
        explain.method("preset_a_flat")(model, torch.rand(1, 3, 32, 32), [[0, 0]])


def test_the_canonical_form_merges_every_batch_norm_and_shares_nothing(disturb):
    model = disturb(build("resnet18", 2, {"width": 0.1})).double()
    network = canonize(model, (3, 32, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    theirs = {parameter.data_ptr() for parameter in model.parameters()}
    assert not theirs & {parameter.data_ptr() for parameter in network.parameters()}
    x = torch.rand(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-9, atol=1e-9)


def test_a_network_that_tracing_cannot_see_through_is_refused():
    class Hooked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.conv.register_forward_hook(lambda module, inputs, output: output * 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3))

    with pytest.raises(ValueError, match="gives other logits than the network"):
        explain.method("z")(Hooked().eval(), torch.rand(1, 3, 8, 8), [[0, 0]])
