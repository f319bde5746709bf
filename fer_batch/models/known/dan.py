"""DAN, Distract Your Attention: ResNet-18 with four attention heads."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

AFFECTNET = register(
    KnownNetwork(
        name="dan_affectnet8",
        title="DAN, ResNet-18, 8 expressions of AffectNet",
        origin=Origin(
            project="https://github.com/yaoing/DAN",
            paper="Wen et al., Distract Your Attention, Biomimetics 2023",
            read_at="yaoing/DAN @3872eef (2022-12-30): demo.py, networks/dan.py",
            code_licence="MIT",
            weights_licence="none stated; trained on AffectNet, which is for research only",
        ),
        file="affecnet8_epoch5_acc0.6209.pth on Google Drive: tensors under 'model_state_dict'",
        prepare="",
        build=None,
        missing="four attention heads and a log-softmax over them behind torchvision's resnet18",
        head="softmax",
        targets=("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        threshold=None,
        outputs="a tuple: 8 logits, features, heads",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="OpenCV's Haar cascade, stretched to a square in the demo; in training the crops of the data set",
        faces={"align": "none"},
        traps=("The module returns a tuple: a factory has to keep its first part.",),
    )
)
RAF_DB = register(
    replace(
        AFFECTNET,
        name="dan_rafdb",
        title="DAN, ResNet-18, 7 expressions of RAF-DB",
        file="the RAF-DB file on Google Drive: tensors under 'model_state_dict'",
        targets=(),
        outputs="a tuple: 7 logits, in an order that nobody states, features, heads",
    )
)
