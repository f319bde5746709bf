"""The networks of the studies: parameter counts, layers, and that their relevance adds up."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
import yaml
from torch import nn
from torch.nn import functional

from fer_batch import explain
from fer_batch.models import checkpoint, scratch
from fer_batch.models.backbone import ARCHITECTURES, build, head_prefixes
from fer_batch.models.card import Card, ModelSpec, Preprocessing, resolve
from fer_batch.types import InputError


def on_meta(name: str, n_outputs: int, **options: object) -> nn.Module:
    """The network without memory: shapes are all a count needs."""
    with torch.device("meta"):
        return build(name, n_outputs, options)


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def n_with_statistics(module: nn.Module) -> int:
    """Parameters and BatchNorm's running statistics, which Keras counts as parameters too."""
    statistics = (b.numel() for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))
    return n_parameters(module) + sum(statistics)


def channels(module: nn.Module, endings: tuple[str, ...]) -> int:
    """Output channels of the convolutions whose names end so."""
    return sum(m.out_channels for path, m in module.named_modules() if path.endswith(endings))


@pytest.mark.parametrize(
    ("name", "count"),
    [("alexnet", 88_718_726), ("weinet", 1_728_230), ("songnet", 172_678), ("silnet", 184_852_038)],
)
def test_g19_scratch_networks_have_the_published_number_of_parameters(name, count):
    assert n_parameters(on_meta(name, 6)) == count


def test_g19_vgg_face_has_the_published_number_of_parameters():
    model = on_meta("vgg_face", 3)
    assert n_parameters(model.features) == 14_714_688
    assert n_parameters(model.classifier) == 119_558_147
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 119_558_147
    assert all(p.requires_grad for p in on_meta("vgg_face", 3, train="all").parameters())


@pytest.mark.parametrize(
    ("name", "keras", "millions"),
    [
        ("vgg16", 14_714_688 + 3_078, 14.7),
        ("vgg19", 20_024_384 + 3_078, 20),
        ("resnet50", 23_587_712 + 12_294, 23.6),
        ("resnet101v2", 42_626_560 + 12_294, 42.6),
        ("inception_v3", 21_802_784 + 12_294, 21.8),
        ("xception", 20_861_480 + 12_294, 20.9),
        ("mobilenet_v3_large", 2_996_352 + 5_766, 3),
        ("efficientnet_v2_b0", 5_919_312 + 7_686, 5.9),
    ],
)
def test_g19_pretrained_layouts_are_those_of_keras(name, keras, millions):
    """Keras' count without top plus the six-way head, to the last parameter; what differs is named."""
    model = on_meta(name, 6)
    differs = 0
    if name == "resnet50":  # Keras' convolutions carry biases, which BatchNorm makes idle
        differs = -channels(model, ("conv1", "conv2", "conv3", "downsample.0"))
    elif name == "resnet101v2":  # so do those of its pre-activated blocks that no BatchNorm follows
        differs = -channels(model, ("stem.conv", "conv3", "downsample.conv"))
    elif name == "inception_v3":  # Keras leaves out BatchNorm's gains
        differs = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert n_with_statistics(model) == keras + differs
    assert round(n_with_statistics(model) / 1e6, 1) == pytest.approx(millions, abs=0.05)


def test_there_are_twelve_networks_beside_those_of_the_other_studies():
    assert len(set(ARCHITECTURES) - {"resnet18", "vgg_face"}) == 12


THEIRS = {
    "vgg_face": lambda: torchvision.models.vgg16(),
    "vgg16": lambda: torchvision.models.vgg16(),
    "vgg19": lambda: torchvision.models.vgg19(),
    "resnet18": lambda: torchvision.models.resnet18(),
    "resnet50": lambda: torchvision.models.resnet50(),
    "resnet101v2": lambda: timm.create_model("resnetv2_101"),
    "inception_v3": lambda: torchvision.models.inception_v3(init_weights=False),
    "xception": lambda: timm.create_model("legacy_xception"),
    "mobilenet_v3_large": lambda: torchvision.models.mobilenet_v3_large(),
    "efficientnet_v2_b0": lambda: timm.create_model("tf_efficientnetv2_b0"),
}


@pytest.mark.parametrize("name", THEIRS)
def test_published_weights_files_load_without_a_key_map(name):
    """Every tensor but the head's, and nothing is left over: ImageNet's 1000 classes meet 6 expressions."""
    with torch.device("meta"):
        published = THEIRS[name]().state_dict()
    model = on_meta(name, 6)
    checkpoint.load_state(model, published, keep=head_prefixes(model))
    head = {k for k in model.state_dict() if k.startswith(head_prefixes(model))}
    assert sum(model.state_dict()[k].shape[0] == 6 for k in head) == len(head) == 2


def test_the_documented_key_map_of_vgg_face_names_every_tensor():
    """The converted file's names are those of the Caffe model: conv1_1 ... conv5_3, fc6, fc7, fc8."""
    page = (Path(__file__).parents[2] / "docs" / "own_network.md").read_text()
    (block,) = re.findall(r"<!-- example: vgg_face\.yaml -->\n```yaml\n(.*?)```", page, flags=re.S)
    spec = ModelSpec.model_validate(yaml.safe_load(block))
    layers = [f"conv{i}_{k + 1}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for k in range(n)] + ["fc6", "fc7", "fc8"]
    keys = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    found = checkpoint.rename(keys, spec.key_map)
    assert list(found.values()) == list(on_meta("vgg_face", 3).state_dict())


def test_a_backbone_of_another_network_is_refused():
    with torch.device("meta"):
        other = torchvision.models.resnet34().state_dict()
    model = on_meta("resnet18", 6)
    with pytest.raises(InputError, match=r"has layer1\.2\.conv1\.weight.* which the network does not know"):
        checkpoint.load_state(model, other, keep=head_prefixes(model))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision:squeezenet1_1", ("classifier.1.",)),
        ("torchvision:vit_b_16", ("heads.head.",)),
        ("torchvision:googlenet", ("fc.", "AuxLogits.", "aux1.", "aux2.")),
        ("timm:resnet10t", ("fc.",)),
        ("timm:deit_tiny_distilled_patch16_224", ("head.", "head_dist.")),
    ],
)
def test_the_head_is_found_wherever_a_library_puts_it(name, expected):
    assert head_prefixes(on_meta(name, 5)) == expected


@pytest.mark.parametrize("name", ["torchvision:googlenet", "torchvision:inception_v3", "inception_v3"])
def test_auxiliary_classifiers_do_not_answer_in_training(name):
    x = torch.zeros(2, 3, 96, 96, device="meta")
    assert on_meta(name, 4).train()(x).shape == (2, 4)


def test_large_maps_keep_the_resolution_and_the_parameters():
    model, plain = on_meta("resnet50", 7, large_maps=True), on_meta("resnet50", 7)
    x = torch.zeros(1, 3, 224, 224, device="meta")
    for network, side in ((model, 28), (plain, 7)):
        features = x
        for part in list(network.children())[:-2]:
            features = part(features)
        assert features.shape == (1, 2048, side, side)
    assert n_parameters(model) == n_parameters(plain)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_vgg_face_drops_out_in_its_dense_layers_only(dropout):
    model = on_meta("vgg_face", 3, dropout=dropout)
    assert {m.p for m in model.classifier if isinstance(m, nn.Dropout)} == {dropout}
    assert not any(isinstance(m, nn.Dropout) for m in model.features)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg_face", {"train": "fc"}, "expected dense or all"),
        ("vgg_face", {"dropout": 1.5}, r"must lie in \[0, 1\)"),
        ("weinet", {"size": 0}, "must be a positive number of pixels"),
        ("weinet", {"size": "big"}, "must be a positive number of pixels"),
        ("wienet", {}, "did you mean 'weinet'"),
        ("timm:resnt50", {}, "did you mean '.*resnet50"),
        ("torchvision:restnet18", {}, "did you mean 'resnet18'"),
        ("timm:resnet18", {"pretrained": True}, "weights come from model.checkpoint"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "weights come from model.checkpoint"),
        ("timm:resnet18", {"checkpoint_path": "evil.pt"}, "weights come from model.checkpoint"),
        ("timm:vit_tiny_patch16_224", {"img_size": "wide"}, "do not fit timm:vit_tiny_patch16_224"),
        ("resnet18", {"width": "wide"}, "must be a number"),
    ],
)
def test_impossible_options_are_refused_in_one_sentence(name, options, message):
    with pytest.raises(InputError, match=message):
        build(name, 2, options)


def test_nothing_is_downloaded(monkeypatch):
    """Every published layout is built with all connections refused."""
    import socket

    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in [*ARCHITECTURES, "torchvision:resnet18", "timm:resnet10t"]:
        on_meta(name, 2)


# How the four scratch networks shrink: the least side that leaves every pooling something to do.
SMALL = {"alexnet": 64, "weinet": 16, "songnet": 48, "silnet": 24}


def keras_same(x: torch.Tensor, kernel: int, stride: int, value: float, mirrored: bool = False) -> torch.Tensor:
    """TensorFlow's definition of `same` padding, on a square; mirrored: the larger half first."""
    missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    begin, end = sorted((missing // 2, missing - missing // 2), reverse=mirrored)
    return functional.pad(x, (begin, end, begin, end), value=value)


def as_keras(layout: scratch.Layout, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The layer list of methods MD-4 in Keras' words, with the weights of `model`."""
    weights = iter([m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)])
    for layer in layout.features:
        if isinstance(layer, scratch.Conv):
            m = next(weights)
            x = keras_same(x, layer.kernel, layer.stride, 0.0, mirrored=True)
            x = functional.conv2d(x, m.weight, m.bias, layer.stride).relu()
        elif isinstance(layer, scratch.Pool):
            x = functional.max_pool2d(keras_same(x, layer.kernel, layer.stride, -torch.inf), layer.kernel, layer.stride)
    x = x.flatten(1)
    *hidden, last = weights
    for m in hidden:
        x = m(x).relu()
    return last(x)


@pytest.mark.parametrize(("name", "size"), [*SMALL.items(), ("songnet", 49), ("weinet", 21)])
def test_scratch_networks_compute_what_keras_computes(name, size):
    torch.manual_seed(0)
    model = build(name, 6, {"size": size}).double().eval()
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        theirs = as_keras(getattr(scratch, name.upper()), model, x)
        torch.testing.assert_close(model(x), theirs, rtol=1e-9, atol=1e-12)


def test_the_one_uneven_convolution_is_keras_mirrored():
    """AlexNet's first layer; every other convolution pads evenly, where mirrored is the same."""
    layers = [x for layout in (scratch.ALEXNET, scratch.WEINET, scratch.SONGNET, scratch.SILNET) for x in layout[1]]
    uneven = [x for x in layers if isinstance(x, scratch.Conv) and (x.kernel % 2 == 0 or x.stride > 1)]
    assert uneven == [scratch.Conv(96, 11, 4)]
    conv = build("alexnet", 6, {"size": 64}).features[0].double()
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    padded = keras_same(x.flip(2, 3), 11, 4, 0.0)
    mirrored = functional.conv2d(padded, conv.weight.flip(2, 3), conv.bias, 4).flip(2, 3)
    torch.testing.assert_close(conv(x), mirrored)


@pytest.mark.parametrize("name", SMALL)
def test_relevance_of_scratch_networks_adds_up(name):
    """Biases start at zero, so alpha1-beta0 and flat conserve: what is lost is what the dense epsilon takes."""
    torch.manual_seed(0)
    model = build(name, 6, {"size": SMALL[name]}).double().eval()
    x, pairs = torch.rand(2, 3, model.size, model.size, dtype=torch.float64), [[0, 0], [1, 3]]
    free = explain.method("preset_a_flat", epsilon=0.0)(model, x, pairs)
    np.testing.assert_allclose(free.conservation, 1.0, atol=1e-6)
    found = explain.method("preset_a_flat")(model, x, pairs)
    slow = explain.method("preset_a_flat", engine="zennit")(model, x, pairs)
    np.testing.assert_allclose(found.values, slow.values, rtol=0, atol=1e-6 * np.abs(slow.values).max())
    if name in ("weinet", "songnet"):  # one dense layer: R = z / (z + epsilon)
        np.testing.assert_allclose(found.conservation, np.abs(found.score) / (np.abs(found.score) + 0.1), rtol=1e-5)


def test_silnet_starts_glorot_normal():
    torch.manual_seed(0)
    weight = scratch.glorot_normal(torch.empty(400, 600))
    std = np.sqrt(2 / 1000)
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert weight.abs().max().item() <= 2 * std / 0.87962566103423978


def test_a_wrong_size_is_answered_with_the_right_one(tmp_path):
    path = tmp_path / "weinet.safetensors"
    targets = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    card = Card(name="weinet", architecture="weinet", options={"size": 16}, targets=targets, head="softmax")
    checkpoint.save(build("weinet", 6, {"size": 16}), path, card)
    with pytest.raises(InputError, match=r"it was built for 16x16: is model\.preprocessing\.size right"):
        checkpoint.load(resolve(ModelSpec(checkpoint=str(path))))
    right = resolve(ModelSpec(checkpoint=str(path), preprocessing=Preprocessing(size=16)))
    assert checkpoint.load(right)(torch.zeros(1, 3, 16, 16)).shape == (1, 6)
