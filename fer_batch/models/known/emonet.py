"""EmoNet: a face-alignment hourglass whose heatmaps attend to features for expression, valence and arousal."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

EIGHT = register(
    KnownNetwork(
        name="emonet_8",
        title="EmoNet, hourglass, 8 expressions, valence, arousal",
        origin=Origin(
            project="https://github.com/face-analysis/emonet",
            paper="Toisoul et al., Nature Machine Intelligence 3, 2021",
            read_at="face-analysis/emonet @49eef30 (2024-08-24): demo.py, emonet/models/emonet.py",
            code_licence="CC BY-NC-ND 4.0",
            weights_licence="CC BY-NC-ND 4.0",
        ),
        file="pretrained/emonet_8.pth of the repository: tensors, names behind 'module.'",
        prepare="",
        build=None,
        missing="two hourglasses of a face-alignment network and attention by their heatmaps; the licence forbids "
        "derivatives",
        head="softmax",
        targets=("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        threshold=None,
        outputs="a dict: 8 logits, valence, arousal, heatmap",
        preprocessing=Preprocessing(size=256),
        input="",
        crop="a square about the box of 68 landmarks, its side 0.91 times the sum of width and height",
        faces={"align": "none"},
        traps=(
            "Its eval() returns nothing; a factory has to call it by itself.",
            "The authors load with strict=False, which hides missing tensors.",
        ),
    )
)
FIVE = register(
    replace(
        EIGHT,
        name="emonet_5",
        title="EmoNet, hourglass, 5 expressions, valence, arousal",
        file="pretrained/emonet_5.pth of the repository: tensors, names behind 'module.'",
        targets=("neutral", "happiness", "sadness", "surprise", "anger"),
        outputs="a dict: 5 logits, valence, arousal, heatmap",
    )
)
