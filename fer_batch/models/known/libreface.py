"""LibreFace: Action Units and expressions, a ResNet-18 or RepVGG-A0 with one hidden dense layer."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, Build, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_ORIGIN = Origin(
    project="https://github.com/ihp-lab/LibreFace",
    paper="Chang et al., LibreFace, WACV 2024",
    read_at="ihp-lab/LibreFace @7bf7ed7 (2026-05-27), and its models at 1aa2b98, a0a67b3, 8828ec2, e8512c1: "
    "libreface/AU_Recognition/solver_inference_combine.py, models/resnet18_combine.py, "
    "Facial_Expression_Recognition/models/{resnet18,repvgg}.py, AU_Detection/models/RepVGG.py, "
    "detect_mediapipe_image.py",
    code_licence="USC research licence: research and non-profit use",
    weights_licence="USC research licence: research and non-profit use",
)
_INTENSITY = tuple(f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
_DETECTION = tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24))
_EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
_QUAD = (
    "MediaPipe FaceMesh; a square turned with the eye line, half its side the larger of 2.0 times the distance of the "
    "eyes and 1.8 times that from eyes to mouth, its centre 0.1 of the way from eyes to mouth, blurred at the border"
)
_CENTRE = "; resized to 256, of which the central 224 are taken"
_HIDDEN = [128, "relu", "batch_norm", "dropout"]
_RESNET18 = 11_176_512  # torchvision's, without its last layer
_REPVGG_A0 = 7_838_216 - 1281 * 8 + 1281 * 1000 + 1001 * 512  # timm's, its thousand classes kept, and 512 behind them

# Children of torchvision's ResNet by number, as nn.Sequential names them.
_CHILDREN = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
_RESNET_KEYS = tuple((rf"^encoder\.{number}\.", f"backbone.{name}.") for number, name in _CHILDREN.items())
# The dense layers behind RepVGG come first in the classifier here: 0 and 1, and theirs from 2 on.
_REPVGG_KEYS = (
    *((rf"^classifier\.{number}\.", f"classifier.{number + 2}.") for number in (4, 2, 0)),
    (r"^encoder\.head\.fc\.([01])\.", r"classifier.\1."),
    (r"^encoder\.", "backbone."),
)


def _hidden(n_features: int, n_outputs: int) -> int:
    """Parameters of the hidden layer, its BatchNorm and the last layer."""
    return (n_features + 1) * 128 + 2 * 128 + 129 * n_outputs


def _resnet(*classifier: tuple[str, str | None], n_outputs: int) -> Build:
    return Build(
        architecture="dense_head",
        options={"backbone": "resnet18", "layers": _HIDDEN},
        key_map=(*classifier, *_RESNET_KEYS),
        outputs=None,
        n_parameters=_RESNET18 + _hidden(512, n_outputs),
        relevance_rules=True,
    )


def _repvgg(n_outputs: int) -> Build:
    return Build(
        architecture="dense_head",
        options={"backbone": "timm:repvgg_a0", "layers": [1000, 512, *_HIDDEN]},
        key_map=_REPVGG_KEYS,
        outputs=None,
        n_parameters=_REPVGG_A0 + _hidden(512, n_outputs),
        relevance_rules=True,
    )


DETECTION = register(
    KnownNetwork(
        name="libreface_au_detection",
        title="LibreFace, ResNet-18, occurrence of 12 AUs",
        origin=_ORIGIN,
        file="the combined Action Unit network, a Google Drive id in AU_Recognition/inference.py: tensors under "
        "'model'",
        prepare="",
        build=_resnet((r"^classifier\.", None), (r"^classifier_2\.", "classifier."), n_outputs=12),
        missing="",
        head="multilabel",
        targets=_DETECTION,
        threshold=0.5,
        outputs="12 probabilities of classifier_2, whose sigmoid is left out here",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop=_QUAD + _CENTRE,
        faces={"align": "eyes"},
        traps=("One file has two heads with different Action Units; libreface_au_intensity is the other.",),
    )
)
INTENSITY = register(
    replace(
        DETECTION,
        name="libreface_au_intensity",
        title="LibreFace, ResNet-18, intensity of 12 AUs",
        build=_resnet((r"^classifier_2\.", None), n_outputs=12),
        targets=_INTENSITY,
        threshold=0.4,
        outputs="12 intensities of classifier, a fifth of each between 0 and 1; the sigmoid is left out here",
        traps=(
            "One file has two heads with different Action Units; libreface_au_detection is the other.",
            "Five times the probability is the intensity 0 to 5. The threshold 0.4, intensity 2, is from here and not "
            "from the authors.",
        ),
    )
)
EXPRESSION = register(
    replace(
        DETECTION,
        name="libreface_expression",
        title="LibreFace, ResNet-18, 8 expressions",
        file="resnet.pt, a Google Drive id in Facial_Expression_Recognition/inference.py: tensors under 'model'",
        build=_resnet(n_outputs=8),
        head="softmax",
        targets=_EXPRESSIONS,
        threshold=None,
        outputs="8 sigmoids, of which the largest is the class; they are left out here",
        crop=_QUAD + "; resized to 224",
        traps=(
            "The authors apply a sigmoid and take the largest. The class is the same here, its probability is a "
            "softmax's and another.",
        ),
    )
)
EXPRESSION_REPVGG = register(
    replace(
        EXPRESSION,
        name="libreface_expression_repvgg",
        title="LibreFace, RepVGG-A0, 8 expressions",
        file="RepVGG weights of Facial_Expression_Recognition: tensors under 'model'",
        build=_repvgg(8),
    )
)
DETECTION_REPVGG = register(
    replace(
        DETECTION,
        name="libreface_au_detection_repvgg",
        title="LibreFace, RepVGG-A0, occurrence of 12 AUs",
        file="RepVGG weights of AU_Detection: tensors under 'model'",
        build=_repvgg(12),
        threshold=0.6225,
        outputs="12 logits",
        traps=(
            "The authors say active where the logit, without a sigmoid, reaches 0.5: a probability of 0.6225, which is "
            "the threshold here.",
        ),
    )
)
