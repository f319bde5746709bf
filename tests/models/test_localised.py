"""Heads and strides on networks by name: shapes, weights files, cards, a step of training, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from fer_batch import explain
from fer_batch.models import checkpoint
from fer_batch.models.backbone import build, head_prefixes, take_outputs
from fer_batch.models.card import Card, ModelSpec, Preprocessing, resolve
from fer_batch.models.localised import HEADS, options_of
from fer_batch.models.map_heads import PeakStimulation, Wildcat
from fer_batch.training.batches import Batch
from fer_batch.training.data import FaceSet
from fer_batch.training.fold import FoldTraining
from fer_batch.training.loop import train_epoch
from fer_batch.training.losses import class_loss
from fer_batch.training.recipe import Recipe
from fer_batch.training.subjects import Fold
from fer_batch.types import InputError

SMALL = {"wildcat": {"modalities": 2}, "prm": {}, "acol": {"channels": 8}, "adl": {}}
PAIRS = [[0, 0], [0, 2], [1, 1]]


def small(head: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", 3, {"width": 0.125, "head": head, **SMALL[head], **options})


def images(n: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "acol"),
        ("resnet50", "wildcat"),
        ("vgg16", "prm"),
        ("torchvision:resnext50_32x4d", "prm"),
        ("timm:resnet10t", "acol"),
    ],
)
def test_networks_that_end_in_pooling_and_a_dense_layer_take_a_head(name, head):
    with torch.device("meta"):
        plain = build(name, 1000)
        model = build(name, 4, {"head": head})
        found = model.class_maps(torch.zeros(2, 3, 224, 224))
        checkpoint.load_state(model, plain.state_dict(), keep=head_prefixes(model))  # no key map
    assert found.logits.shape == (2, 4) and found.responses.shape == (2, 4, 7, 7)
    assert head_prefixes(model)[0] == "head."
    kept = [k for k in plain.state_dict() if not k.startswith(("fc.", "classifier."))]
    assert [k for k in model.state_dict() if not k.startswith("head.")] == kept


@pytest.mark.parametrize(
    ("name", "stride", "side"),
    [
        ("resnet50", 8, 28),
        ("resnet18", 16, 14),
        ("resnet18", 32, 7),
        ("resnet18", 4, 56),
        ("torchvision:wide_resnet50_2", 8, 28),
        ("timm:resnet26", 8, 28),
    ],
)
def test_a_stride_leaves_the_parameters_and_refines_the_maps(name, stride, side):
    shapes = []
    with torch.device("meta"):
        plain, model = build(name, 7), build(name, 7, {"stride": stride})
        model.layer4.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[2:])))
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 7)
    assert shapes == [(side, side)]
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_resnet50_of_stride_8_is_that_of_large_maps():
    with torch.device("meta"):
        one, other = build("resnet50", 3, {"stride": 8}), build("resnet50", 3, {"large_maps": True})
    strides = [[m.stride for m in model.modules() if isinstance(m, nn.Conv2d)] for model in (one, other)]
    assert strides[0] == strides[1]
    assert all(m.dilation == (1, 1) for m in one.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("head", HEADS)
def test_a_card_builds_the_same_network_with_the_same_maps(head, tmp_path):
    options = {"width": 0.125, "head": head, "stride": 8, **SMALL[head]}
    torch.manual_seed(0)
    model = build("resnet18", 3, options).eval()
    card = Card(name="small", architecture="resnet18", options=options, targets=("a", "b", "c"), head="softmax",
                preprocessing=Preprocessing(size=64))  # fmt: skip
    checkpoint.save(model, tmp_path / "small.safetensors", card)
    loaded = checkpoint.load(resolve(ModelSpec(checkpoint=str(tmp_path / "small.safetensors"))))
    method = explain.method("class_map")
    one, other = method(model, images(), PAIRS), method(loaded, images(), PAIRS)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.score, other.score)
    assert one.values.shape == (3, 8, 8)


@pytest.mark.parametrize("head", HEADS)
def test_training_with_a_head_lowers_its_loss(head):
    model = small(head)
    x, labels = images(6, 48), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    bare: list[float] = []
    for _ in range(2):
        train_epoch(model, [Batch(x, labels)] * 8, class_loss, optimizer, schedule,
                    on_batch=lambda _z, _y, value: bare.append(value))  # fmt: skip
    assert np.mean(bare[-3:]) < 0.8 * np.mean(bare[:3])
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("head", ["acol", "adl"])
def test_a_fold_with_a_head_goes_on_from_its_state_to_the_bit(head):
    """Those that draw numbers, or have a loss of their own, in training."""
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (12, 32, 32, 3), np.uint8), np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    people = np.array([f"a:{k}" for k in range(12)])
    faces = FaceSet(pictures, labels, ("a", "b", "c"), people, np.full(12, "a"), head="softmax")
    fold = Fold(0, np.arange(8), np.arange(0), np.arange(8, 12))
    recipe = Recipe(epochs=2, batch_size=4, learning_rate=1e-3, optimizer="adamw")

    def training() -> FoldTraining:
        return FoldTraining(faces, fold, lambda: small(head), recipe)

    whole, first, second = training(), training(), training()
    whole.run_epoch(), whole.run_epoch()
    first.run_epoch()
    second.restore(first.state())
    second.run_epoch()
    assert second.history == whole.history
    result = whole.result()
    np.testing.assert_array_equal(result.logits, second.result().logits)
    if head == "acol":
        assert whole.history[1]["train/minimised"] > whole.history[1]["train/loss"]


@pytest.mark.parametrize("head", ["wildcat", "prm", "acol"])
def test_gradient_methods_work_on_the_layer_that_the_head_reads(head):
    model, x = small(head).eval(), images()
    for name in ("grad_cam", "grad_cam_pp", "layer_cam", "attention"):
        found = explain.method(name)(model, x, PAIRS).values
        named = explain.method(name, layer="layer4")(model, x, PAIRS).values
        np.testing.assert_array_equal(found, named)
    for name in ("gradient", "guided_backprop", "guided_grad_cam"):
        assert explain.method(name)(model, x, PAIRS).values.shape == (3, 64, 64)
    with pytest.raises(ValueError, match="take class_map"):
        explain.method("cam")(model, x, PAIRS)


@pytest.mark.parametrize(("head", "options"), [("acol", {}), ("prm", {"stimulation": "max_pool"})])
def test_relevance_goes_through_heads_of_layers_that_have_rules(head, options):
    model = small(head, stride=8, **options).eval()
    found = explain.method("epsilon")(model, images(), PAIRS)
    assert found.values.shape == (3, 64, 64) and np.abs(found.values).max() > 0


@pytest.mark.parametrize(("head", "operation"), [(Wildcat, "topk"), (PeakStimulation, "truediv")])
def test_relevance_is_refused_where_a_pooling_has_no_rule(head, operation):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), head(4, 3)).eval()
    with pytest.raises(ValueError, match=rf"\({operation}.*\) has no relevance rule"):
        explain.method("epsilon")(model, images(2, 16), PAIRS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {"head": "wildcats"}, "options.head 'wildcats' is unknown; did you mean 'wildcat'"),
        (
            "resnet18",
            {"head": "wildcat", "modalites": 3},
            "did you mean 'modalities'. head wildcat takes modalities, top",
        ),
        ("resnet18", {"alpha": 0.6}, "options.alpha belongs to head: wildcat"),
        ("resnet18", {"stride": 7}, "options.stride must be one of 4, 8, 16, 32 pixels, got 7"),
        ("resnet18", {"stride": [8]}, r"options.stride must be one of 4, 8, 16, 32 pixels, got \[8\]"),
        ("resnet50", {"stride": 16, "large_maps": True}, "large_maps is stride: 8; give one of the two"),
        ("vgg16", {"stride": 8}, "options.stride is of ResNets"),
        ("timm:resnet26d", {"stride": 8}, "reduces layer3 by a pooling"),
        ("alexnet", {"head": "prm"}, "it fits resnet18, resnet50, vgg16, .* not with alexnet|not with alexnet"),
        ("torchvision:densenet121", {"head": "prm"}, "not with torchvision:densenet121"),
        ("dense_head", {"head": "acol"}, "not with dense_head"),
    ],
)
def test_impossible_combinations_are_refused_in_one_sentence(name, options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build(name, 2, options)


def test_some_outputs_of_a_head_cannot_be_taken():
    with pytest.raises(InputError, match="outputs: a network with a head of class maps"):
        take_outputs(small("wildcat"), {}, [0, 1], "file")


def test_every_head_names_its_options():
    assert {head: options_of(head) for head in HEADS} == {
        "acol": ("threshold", "channels"),
        "adl": ("layers", "drop_rate", "threshold"),
        "prm": ("window", "stimulation"),
        "wildcat": ("modalities", "top", "bottom", "alpha", "released"),
    }


def test_a_file_of_torchvision_gives_the_features_of_torchvision():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    model = build("torchvision:resnet18", 3, {"head": "wildcat"}).eval()
    checkpoint.load_state(model, theirs.state_dict(), keep=head_prefixes(model))
    seen = {}
    theirs.layer4.register_forward_hook(lambda _m, _i, output: seen.__setitem__("theirs", output))
    model.layer4.register_forward_hook(lambda _m, _i, output: seen.__setitem__("ours", output))
    with torch.no_grad():
        theirs(images())
        model(images())
    torch.testing.assert_close(seen["ours"], seen["theirs"])
