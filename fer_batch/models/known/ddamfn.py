"""DDAMFN: a small network of mixed depthwise convolutions with two directions of attention."""

from __future__ import annotations

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

AFFECTNET = register(
    KnownNetwork(
        name="ddamfn_affectnet8",
        title="DDAMFN++, mixed depthwise convolutions, 8 expressions of AffectNet",
        origin=Origin(
            project="https://github.com/simon20010923/DDAMFN",
            paper="Zhang et al., Electronics 12(17), 2023",
            read_at="simon20010923/DDAMFN @855cd13 (2024-07-21): DDAMFN++/affectnet8_test.py, networks/DDAM.py",
            code_licence="none: there is no licence in the repository",
            weights_licence="none: there is no licence in the repository",
        ),
        file="DDAMFN++/checkpoints_ver2.0/*.pth of the repository: tensors under 'model_state_dict'",
        prepare="",
        build=None,
        missing="mixed depthwise kernels, coordinate attention and the maximum of two heads",
        head="softmax",
        targets=("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        threshold=None,
        outputs="a tuple: 8 logits, features, heads",
        preprocessing=Preprocessing(size=112, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="RetinaFace, five points, a similarity to the nearest of five templates of pose",
        faces={"align": "eyes"},
        traps=(
            "The test script for RAF-DB has the same list of classes; whether its files have that order is not known.",
            "The module reads a pickled module when it is made, unless it is given pretrained=False.",
        ),
    )
)
