"""py-feat's own network of version 2: Action Units, expressions, gaze and more from one ConvNeXt V2."""

from __future__ import annotations

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)

MULTITASK = register(
    KnownNetwork(
        name="pyfeat_face_multitask_v2",
        title="py-feat Detectorv2, ConvNeXt V2 tiny, 20 AUs",
        origin=Origin(
            project="https://github.com/cosanlab/py-feat",
            paper="Cheong et al., Py-Feat, Affective Science 2023",
            read_at="cosanlab/py-feat @5d235ef (v2.0.3, 2026-06-28): feat/multitask/inference.py, model_v2.py, "
            "feat/utils/image_operations.py, MODEL_CARD.md",
            code_licence="MIT",
            weights_licence="research and non-commercial use",
        ),
        file="Hugging Face py-feat/face_multitask_v2, face_multitask_v2.safetensors",
        prepare="",
        build=None,
        missing="a graph of Action Units and a cosine head behind timm's convnextv2_tiny",
        head="multilabel",
        targets=tuple(f"AU{number:02d}" for number in _AUS),
        threshold=0.5,
        outputs="a dict: cosines of 20 Action Units, logits of 7 expressions (neutral, happiness, sadness, surprise, "
        "fear, "
        "disgust, anger), valence and arousal, gaze, pose, mesh, 52 blendshapes",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="RetinaFace: its box, 1.2 times as large about its centre, not squared, black outside of the frame, "
        "resized "
        "to 256x256",
        faces={"align": "none"},
        traps=("Cosines are no logits: a factory has to return torch.logit of them, whose sigmoid gives them back.",),
    )
)
