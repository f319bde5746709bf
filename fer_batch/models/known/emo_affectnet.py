"""EMO-AffectNet: the ResNet-50 of VGGFace2, trained on AffectNet."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register

RESNET50 = register(
    KnownNetwork(
        name="emo_affectnet_resnet50",
        title="EMO-AffectNet, ResNet-50, 7 expressions",
        origin=Origin(
            project="https://github.com/ElenaRyumina/EMO-AffectNetModel",
            paper="Ryumina, Dresvyanskiy and Karpov, Neurocomputing 514, 2022",
            read_at="ElenaRyumina/EMO-AffectNetModel @3dc8ed2 (2024-08-02): functions/get_models.py, "
            "check_backbone_models_by_webcam.ipynb",
            code_licence="MIT",
            weights_licence="for scientific use only",
        ),
        file="on Google Drive: Keras .h5, and TorchScript torchscript_model_NAME.pth",
        prepare="",
        build=None,
        missing="the layout of Caffe's ResNet-50 with padding as in Keras; its files are Keras' or TorchScript",
        head="softmax",
        targets=("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"),
        threshold=None,
        outputs="7 probabilities",
        preprocessing=None,
        input="224x224 BGR, 0 to 255 without (91.4953, 103.8827, 131.0912)",
        crop="RetinaFace: its box, stretched to a square",
        faces={"align": "none"},
        traps=("It ends in a softmax, which has to be left out.",),
    )
)
