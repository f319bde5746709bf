"""LibreFace: its modules as its authors make them, of torchvision's and timm's children, give the same logits here."""

import timm
import torch
import torchvision
from torch import nn


def hidden(n_outputs, sigmoid=True):
    layers = [nn.Linear(512, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(0.1), nn.Linear(128, n_outputs)]
    return nn.Sequential(*layers, *([nn.Sigmoid()] if sigmoid else []))


class Combined(nn.Module):
    """ResNet-18 without its last layer under `encoder`, and two heads."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*list(torchvision.models.resnet18(weights=None).children())[:-1])
        self.classifier, self.classifier_2 = hidden(12), hidden(12)


class Repvgg(nn.Module):
    """RepVGG-A0 whose thousand classes are kept, with a layer of 512 behind them."""

    def __init__(self, n_outputs, sigmoid):
        super().__init__()
        self.encoder = timm.create_model("repvgg_a0", pretrained=False)
        self.encoder.head.fc = nn.Sequential(self.encoder.head.fc, nn.Linear(1000, 512))
        self.classifier = hidden(n_outputs, sigmoid)


def test_both_heads_of_the_combined_file(loaded, trained, images):
    theirs = trained(Combined())
    features = theirs.encoder(images).flatten(1)
    for name, head in (("libreface_au_detection", theirs.classifier_2), ("libreface_au_intensity", theirs.classifier)):
        ours = loaded(name, {"model": theirs.state_dict()})
        torch.testing.assert_close(torch.sigmoid(ours(images)), head(features))


def test_expressions(loaded, trained, images):
    theirs = trained(Combined())
    state = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("classifier")}
    head = trained(hidden(8))
    state |= {f"classifier.{name}": tensor for name, tensor in head.state_dict().items()}
    ours = loaded("libreface_expression", {"model": state})
    torch.testing.assert_close(torch.sigmoid(ours(images)), head(theirs.encoder(images).flatten(1)))


def test_repvgg(loaded, trained, images):
    for name, n_outputs, sigmoid in (
        ("libreface_au_detection_repvgg", 12, False),
        ("libreface_expression_repvgg", 8, True),
    ):
        theirs = trained(Repvgg(n_outputs, sigmoid))
        expected = theirs.classifier(theirs.encoder(images))
        found = loaded(name, {"model": theirs.state_dict()})(images)
        torch.testing.assert_close(torch.sigmoid(found) if sigmoid else found, expected)
