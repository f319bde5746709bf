"""The networks of the studies: parameter counts, layers, and that their relevance adds up."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from fer_batch.models import checkpoint
from fer_batch.models.backbone import ARCHITECTURES, build, head_prefixes
from fer_batch.models.card import Card, ModelSpec, Preprocessing, resolve
from fer_batch.types import InputError


def on_meta(name: str, n_outputs: int, **options: object) -> nn.Module:
    """The network without memory: shapes are all a count needs."""
    with torch.device("meta"):
        return build(name, n_outputs, options)


def test_there_are_twelve_networks_beside_those_of_the_other_studies():
    others = {
        "resnet18",
        "vgg_face",
        "dense_head",
        "apvit",
        "ts_cam_deit_tiny",
        "ts_cam_deit_small",
        "ts_cam_deit_base",
    }
    assert len(set(ARCHITECTURES) - others) == 12 and others < set(ARCHITECTURES)


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
        ("timm:resnet18", {"pretrained": True}, "weights come from checkpoint"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "weights come from checkpoint"),
        ("timm:resnet18", {"checkpoint_path": "evil.pt"}, "weights come from checkpoint"),
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


def test_a_wrong_size_is_answered_with_the_right_one(tmp_path):
    path = tmp_path / "weinet.safetensors"
    targets = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    card = Card(name="weinet", architecture="weinet", options={"size": 16}, targets=targets, head="softmax")
    checkpoint.save(build("weinet", 6, {"size": 16}), path, card)
    with pytest.raises(InputError, match=r"it was built for 16x16: is model\.preprocessing\.size right"):
        checkpoint.load(resolve(ModelSpec(checkpoint=str(path))))
    right = resolve(ModelSpec(checkpoint=str(path), preprocessing=Preprocessing(size=16)))
    assert checkpoint.load(right)(torch.zeros(1, 3, 16, 16)).shape == (1, 6)
