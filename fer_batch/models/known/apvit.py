"""APViT: a vision transformer that keeps the attentive patches of IRSE-50's features."""

from __future__ import annotations

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

RAF_DB = register(
    KnownNetwork(
        name="apvit_rafdb",
        title="APViT, IRSE-50 and a vision transformer, 7 expressions of RAF-DB",
        origin=Origin(
            project="https://github.com/youqingxiaozhua/APViT",
            paper="Xue et al., IEEE Transactions on Affective Computing 2022",
            read_at="youqingxiaozhua/APViT @9efaf97 (2023-05-16): configs/apvit/RAF.py, mmcls/datasets/raf.py, "
            "demo.ipynb",
            code_licence="Apache-2.0",
            weights_licence="none stated; trained on RAF-DB, which is for research only",
        ),
        file="APViT_RAF-3eeecf7d.pth on Baidu, read through mmcv",
        prepare="",
        build=None,
        missing="IRSE-50 and a transformer that pools its patches, of the mmcls registry",
        head="softmax",
        targets=("anger", "disgust", "fear", "sadness", "happiness", "surprise", "neutral"),
        threshold=None,
        outputs="7 logits",
        preprocessing=Preprocessing(size=112, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="MTCNN as in face.evoLVe, aligned",
        faces={"align": "eyes"},
        traps=("The order of classes is neither RAF-DB's nor AffectNet's.",),
    )
)
