"""POSTER and POSTER V2: landmarks and image features of two networks, joined by cross-attention."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
_BGR = "BGR, of which mean and standard deviation of ImageNet are taken as if it were RGB"

RAF_DB = register(
    KnownNetwork(
        name="poster_rafdb",
        title="POSTER, IR-50 and MobileFaceNet, 7 expressions of RAF-DB",
        origin=Origin(
            project="https://github.com/zczcwh/POSTER",
            paper="Zheng, Mendieta and Chen, POSTER, ICCV workshops 2023",
            read_at="zczcwh/POSTER @ba2e3e9 (2023-08-09): test.py, train.py, models/emotion_hyp.py, dataset_raf.py, "
            "dataset_affectnet.py",
            code_licence="Apache-2.0 by its LICENSE, MIT by its README",
            weights_licence="none stated; trained on RAF-DB or AffectNet, which are for research only",
        ),
        file="rafdb_best.pth on Google Drive: tensors under 'model_state_dict', names behind 'module.'",
        prepare="",
        build=None,
        missing="IR-50, landmarks of a MobileFaceNet and a cross-attention pyramid",
        head="softmax",
        targets=("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
        threshold=None,
        outputs="a tuple: 7 logits, features",
        preprocessing=None,
        input=f"224x224, {_BGR}",
        crop="RAF-DB's aligned 100x100 pictures",
        faces={"align": "eyes"},
        traps=(
            "The order of colours depends on the data set: BGR for RAF-DB, RGB for AffectNet.",
            "The module reads two more files when it is made (./models/pretrain).",
        ),
    )
)
AFFECTNET_7 = register(
    replace(
        RAF_DB,
        name="poster_affectnet7",
        title="POSTER, IR-50 and MobileFaceNet, 7 expressions of AffectNet",
        file="on Google Drive: tensors under 'model_state_dict', names behind 'module.'",
        targets=_AFFECTNET,
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="AffectNet's crops",
        faces={},
    )
)
AFFECTNET_8 = register(
    replace(
        AFFECTNET_7,
        name="poster_affectnet8",
        title="POSTER, IR-50 and MobileFaceNet, 8 expressions of AffectNet",
        targets=(*_AFFECTNET, "contempt"),
        outputs="a tuple: 8 logits, features",
    )
)
V2 = register(
    replace(
        AFFECTNET_7,
        name="poster_v2",
        title="POSTER V2, IR-50 and MobileFaceNet, 7 or 8 expressions",
        origin=Origin(
            project="https://github.com/Talented-Q/POSTER_V2",
            paper="Mao et al., POSTER++, Pattern Recognition 2025",
            read_at="Talented-Q/POSTER_V2 @18de559 (2023-09-18): main.py, models/PosterV2_7cls.py",
            code_licence="MIT",
            weights_licence="none stated; trained on RAF-DB or AffectNet, which are for research only",
        ),
        file="on Google Drive and Baidu: tensors under 'state_dict', beside objects of the authors' script",
        prepare="convert",
        missing="IR-50, landmarks of a MobileFaceNet, cross-attention in windows and a small vision transformer",
        targets=(),
        outputs="logits, in the order of the authors' folders, which is not stated",
        crop="RAF-DB's aligned pictures, or AffectNet's crops",
        traps=("The module reads files from a path on the authors' computer when it is made.",),
    )
)
