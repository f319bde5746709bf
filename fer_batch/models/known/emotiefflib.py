"""EmotiEffLib, once HSEmotion: EfficientNets trained on AffectNet, under a free licence."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, Build, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_ORIGIN = Origin(
    project="https://github.com/sb-ai-lab/EmotiEffLib",
    paper="Savchenko et al., IEEE Transactions on Affective Computing 13(4), 2022",
    read_at="sb-ai-lab/EmotiEffLib @f1df0e8 (2025-04-04): emotiefflib/facial_analysis.py, "
    "tests/test_facial_analysis.py, "
    "train_emotions-pytorch.ipynb",
    code_licence="Apache-2.0",
    weights_licence="Apache-2.0; trained on AffectNet and VGGFace2, which are for research only",
)
_CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_SEVEN = tuple(name for name in _CLASSES if name != "contempt")
_FILE = "models/affectnet_emotions/{}.pt of the repository: a whole module (torch.save(model))"
_ORDER = "Classes are in alphabetical order, unlike AffectNet's own numbers."
_VALENCE = "The file has ten outputs; the last two, valence and arousal, are left out here."
# Both are EfficientNets as timm counts them at 1000 classes, without those: 5,288,548 and 9,109,994.
_B0, _B2 = 5_288_548 - 1281 * 1000, 9_109_994 - 1409 * 1000


def _build(architecture: str, n_parameters: int, outputs: tuple[int, ...] | None = None) -> Build:
    return Build(
        architecture=architecture,
        options={},
        key_map=((r"^classifier\.0\.", "classifier."),),  # some files have the last layer inside nn.Sequential
        outputs=outputs,
        n_parameters=n_parameters,
        relevance_rules=True,
    )


VGAF = register(
    KnownNetwork(
        name="enet_b0_8_best_vgaf",
        title="EmotiEffLib, EfficientNet-B0, 8 expressions",
        origin=_ORIGIN,
        file=_FILE.format("enet_b0_8_best_vgaf"),
        prepare="convert",
        build=_build("timm:tf_efficientnet_b0", _B0 + 1281 * 8),
        missing="",
        head="softmax",
        targets=_CLASSES,
        threshold=None,
        outputs="8 logits",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="facenet-pytorch's MTCNN (min_face_size 40, p > 0.9): its tight box, without margin or alignment, "
        "stretched "
        "to a square",
        faces={"align": "none"},
        traps=(_ORDER,),
    )
)
AFEW = register(replace(VGAF, name="enet_b0_8_best_afew", file=_FILE.format("enet_b0_8_best_afew")))
VA_MTL = register(
    replace(
        VGAF,
        name="enet_b0_8_va_mtl",
        file=_FILE.format("enet_b0_8_va_mtl"),
        build=_build("timm:tf_efficientnet_b0", _B0 + 1281 * 8, outputs=tuple(range(8))),
        outputs="8 logits, then valence and arousal",
        traps=(_ORDER, _VALENCE),
    )
)
B2_8 = register(
    replace(
        VGAF,
        name="enet_b2_8",
        title="EmotiEffLib, EfficientNet-B2, 8 expressions",
        file=_FILE.format("enet_b2_8"),
        build=_build("timm:tf_efficientnet_b2", _B2 + 1409 * 8),
        preprocessing=Preprocessing(size=260, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    )
)
B2_7 = register(
    replace(
        B2_8,
        name="enet_b2_7",
        title="EmotiEffLib, EfficientNet-B2, 7 expressions",
        file=_FILE.format("enet_b2_7"),
        build=_build("timm:tf_efficientnet_b2", _B2 + 1409 * 7),
        targets=_SEVEN,
        outputs="7 logits",
    )
)
MBF = register(
    replace(
        VGAF,
        name="mbf_va_mtl",
        title="EmotiEffLib, MobileFaceNet, 8 expressions, valence, arousal",
        file=_FILE.format("mbf_va_mtl"),
        build=None,
        missing="its MobileFaceNet (scale 2, PReLU) is in neither torchvision nor timm",
        outputs="8 logits, then valence and arousal",
        preprocessing=Preprocessing(size=112, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        traps=(_ORDER, "The file has ten outputs, of which outputs: [0, 1, 2, 3, 4, 5, 6, 7] are classes."),
    )
)
MOBILEVIT = register(
    replace(
        MBF,
        name="mobilevit_va_mtl",
        title="EmotiEffLib, MobileViT, 8 expressions, valence, arousal",
        file=_FILE.format("mobilevit_va_mtl"),
        missing="which of timm's MobileViTs it is, is not stated; its last layer is head.fc",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    )
)
