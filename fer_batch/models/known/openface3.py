"""OpenFace 3.0: one EfficientNet-B0 with a branch each for expressions, gaze and Action Units."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, Build, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_ORIGIN = Origin(
    project="https://github.com/CMU-MultiComp-Lab/OpenFace-3.0",
    paper="Hu et al., OpenFace 3.0, FG 2025",
    read_at="CMU-MultiComp-Lab/OpenFace-3.0 @662a555 (2025-06-10): interface.py, demo2.py, model/MLT.py, "
    "model/AU_model.py",
    code_licence="CMU academic licence: no commercial use",
    weights_licence="CMU academic licence: no commercial use",
)
_BACKBONE = 5_288_548 - 1281 * 1000  # EfficientNet-B0 without its thousand classes

EXPRESSION = register(
    KnownNetwork(
        name="openface3_expression",
        title="OpenFace 3.0, EfficientNet-B0, 8 expressions",
        origin=_ORIGIN,
        file="stage2_epoch_7_loss_1.1606_acc_0.5589.pth, on Hugging Face nutPace/openface_weights MTL_backbone.pth: "
        "tensors",
        prepare="",
        build=Build(
            architecture="dense_head",
            options={"backbone": "timm:tf_efficientnet_b0", "layers": [1280, "relu"]},
            key_map=(
                (r"^(fc_gaze|fc_au|gaze_regressor|au_regressor)\.", None),
                (r"^base_model\.", "backbone."),
                (r"^fc_emotion\.", "classifier.0."),
                (r"^emotion_classifier\.", "classifier.2."),
            ),
            outputs=None,
            n_parameters=_BACKBONE + 1281 * 1280 + 1281 * 8,
            relevance_rules=True,
        ),
        missing="",
        head="softmax",
        targets=("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        threshold=None,
        outputs="8 logits, beside gaze and 8 Action Units, which are left out here",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="RetinaFace (MobileNet 0.25): its box and 15 % of width and height on each side, stretched to a square; "
        "how "
        "faces were cut in training is not stated",
        faces={"align": "none"},
        traps=(),
    )
)
ACTION_UNITS = register(
    replace(
        EXPRESSION,
        name="openface3_au",
        title="OpenFace 3.0, EfficientNet-B0, 8 AUs",
        build=None,
        missing="the Action Units end in a graph of nearest neighbours and cosines",
        head="multilabel",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 9, 12, 25, 26)),
        threshold=0.5,
        outputs="8 cosines in [0, 1], active from 0.5 on",
        traps=(
            "Cosines are no logits: a factory has to return torch.logit of them, whose sigmoid gives them back.",
            "Active was intensity 2 or more in training.",
        ),
    )
)
