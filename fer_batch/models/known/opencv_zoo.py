"""OpenCV zoo's expression network: a MobileFaceNet taught by a progressive teacher."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

PROGRESSIVE_TEACHER = register(
    KnownNetwork(
        name="opencv_progressive_teacher",
        title="OpenCV zoo, MobileFaceNet, 7 expressions",
        origin=Origin(
            project="https://github.com/opencv/opencv_zoo, models/facial_expression_recognition",
            paper="Jiang and Deng, IEEE Transactions on Affective Computing 2021",
            read_at="opencv/opencv_zoo: models/facial_expression_recognition/facial_fer_model.py",
            code_licence="none in its folder",
            weights_licence="not known",
        ),
        file="facial_expression_recognition_mobilefacenet_2022july.onnx: ONNX only",
        prepare="",
        build=None,
        missing="its weights exist as ONNX only, which is not read here",
        head="softmax",
        targets=("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
        threshold=None,
        outputs="7 scores",
        preprocessing=Preprocessing(size=112, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        input="",
        crop="YuNet's five points, a similarity to (38.2946, 51.6963) (73.5318, 51.5014) (56.0252, 71.7366) (41.5493, "
        "92.3655) (70.7299, 92.2041)",
        faces={"align": "eyes"},
        traps=(),
    )
)
