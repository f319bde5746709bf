"""Layouts of networks that are published with weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fer_batch.models import checkpoint, pretrained
from fer_batch.models.backbone import build, head_prefixes


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


LAYERS = [f"conv{i}_{k + 1}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for k in range(n)] + ["fc6", "fc7", "fc8"]


@pytest.mark.parametrize("form", ["{}", "module.{}", "torchvision"])
@pytest.mark.parametrize("underscore", [False, True])
def test_files_of_vgg_face_load_by_the_names_of_caffe_and_of_torchvision(form, underscore):
    model = on_meta("vgg_face", 2622)
    own = model.state_dict()
    layers = [layer.replace("conv", "conv_") if underscore else layer for layer in LAYERS]
    caffe = [f"{form.format(layer)}.{kind}" for layer in layers for kind in ("weight", "bias")]
    names = list(own) if form == "torchvision" else caffe
    file = dict(zip(names, own.values(), strict=True))
    key_map = pretrained.vgg_face_names(file)
    assert (key_map is None) == (form == "torchvision")
    checkpoint.load_state(model, file, key_map)  # refuses a tensor that is missing, unknown or of another shape
    assert list(checkpoint.rename(list(file), key_map).values()) == list(own)
    three = on_meta("vgg_face", 3)
    checkpoint.load_state(three, file, key_map, keep=head_prefixes(three))
    assert pretrained.vgg_face_names(["features.0.weight", "fc8.weight"]) is None


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
