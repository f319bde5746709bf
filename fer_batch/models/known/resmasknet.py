"""Residual Masking Network: ResNet-34 with U-Net masks, trained on FER2013; py-feat's default for expressions."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

RESMASKNET = register(
    KnownNetwork(
        name="resmasknet",
        title="Residual Masking Network, 7 expressions of FER2013",
        origin=Origin(
            project="https://github.com/phamquiluan/ResidualMaskingNetwork",
            paper="Pham, Vu and Tran, ICPR 2020",
            read_at="phamquiluan/ResidualMaskingNetwork @9141618 (2026-08-04, v3.3.0): rmn/__init__.py, "
            "rmn/models/resmasking.py, space/README.md",
            code_licence="MIT",
            weights_licence="MIT (card on Hugging Face)",
        ),
        file="Hugging Face phamquiluan/ResidualMaskingNetwork, Z_resmasking_dropout1_rot30_2019Nov30_13.32, without a "
        "suffix: tensors under 'net'; py-feat has it again as py-feat/resmasknet",
        prepare="convert",
        build=None,
        missing="its ResNet-34 with four U-Net masks (143 M parameters) is in neither torchvision nor timm",
        head="softmax",
        targets=("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
        threshold=None,
        outputs="7 logits",
        preprocessing=Preprocessing(size=224, color="gray"),
        input="",
        crop="YuNet: a square about the box, its side 1.1 times half the sum of width and height",
        faces={"align": "none"},
        traps=(),
    )
)
