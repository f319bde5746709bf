"""trpakov/vit-face-expression: the expression network most fetched from Hugging Face."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register

VIT = register(
    KnownNetwork(
        name="vit_face_expression",
        title="trpakov/vit-face-expression, ViT-B/16, 7 expressions of FER2013",
        origin=Origin(
            project="https://huggingface.co/trpakov/vit-face-expression",
            paper="no paper",
            read_at="its card and discussions 1 to 7 on Hugging Face; neither config nor preprocessor_config was seen",
            code_licence="-",
            weights_licence="Apache-2.0 (card)",
        ),
        file="model.safetensors of the Hugging Face repository",
        prepare="",
        build=None,
        missing="its queries, keys and values are three tensors, timm's one, and renaming cannot join them",
        head="softmax",
        targets=(),
        threshold=None,
        outputs="7 logits; card and users' code differ about the order, so read id2label of config.json",
        preprocessing=None,
        input="224x224 RGB; mean and standard deviation are in preprocessor_config.json: 0.5 by its base model, "
        "ImageNet's "
        "by its card",
        crop="none: the whole picture",
        faces={"detector": "none"},
        traps=("A wrong order of classes gives pages that look right: check with labelled pictures.",),
    )
)
