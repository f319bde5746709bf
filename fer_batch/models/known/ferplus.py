"""FER+: the VGG-13 that came with the new labels of FER2013."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register

VGG13 = register(
    KnownNetwork(
        name="ferplus_vgg13",
        title="FER+, VGG-13, 8 expressions",
        origin=Origin(
            project="https://github.com/onnx/models, emotion_ferplus",
            paper="Barsoum et al., ICMI 2016",
            read_at="onnx/models @b1eeaa1 (2025-06-27): validated/vision/body_analysis/emotion_ferplus/README.md; "
            "microsoft/FERPlus @ae2128a: src/models.py, src/img_util.py",
            code_licence="MIT",
            weights_licence="MIT",
        ),
        file="emotion-ferplus-8.onnx and others: ONNX only",
        prepare="",
        build=None,
        missing="its weights exist as ONNX only, which is not read here",
        head="softmax",
        targets=("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
        threshold=None,
        outputs="8 logits",
        preprocessing=None,
        input="64x64, one channel of grey values 0 to 255; the graph takes a mean away and divides by itself",
        crop="FER2013's 48x48 pictures",
        faces={"detector": "none"},
        traps=(
            "The training equalised histograms and took a plane away, which the description of the ONNX file does not.",
            "One channel: color: gray gives three equal ones, so the first layer's weights have to be shared out.",
        ),
    )
)
