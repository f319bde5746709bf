"""FMAE-IAT: a ViT-L/16, pretrained as a masked autoencoder on faces, finetuned on Action Units."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, Build, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_ORIGIN = Origin(
    project="https://github.com/forever208/FMAE-IAT",
    paper="Ning et al., Representation Learning and Identity Adversarial Training, 2024",
    read_at="forever208/FMAE-IAT branch BP4D_and_BP4Dplus @89af5e0: models_vit.py, util/datasets.py, util/misc.py",
    code_licence="CC BY-NC 4.0",
    weights_licence="CC BY-NC 4.0",
)
_VIT = 303_301_632  # ViT-L/16 without its last layer


def _build(n_outputs: int) -> Build:
    return Build(
        architecture="timm:vit_large_patch16_224",
        options={"global_pool": "avg"},
        key_map=((r"^ID_head\.", None),),
        outputs=None,
        n_parameters=_VIT + 1025 * n_outputs,
        relevance_rules=False,
    )


BP4D = register(
    KnownNetwork(
        name="fmae_iat_bp4d",
        title="FMAE-IAT, ViT-L/16, 12 AUs of BP4D",
        origin=_ORIGIN,
        file="on Google Drive, folds 1 to 3: tensors under 'model', beside the settings of the training",
        prepare="convert",
        build=_build(12),
        missing="",
        head="multilabel",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)),
        threshold=0.5,
        outputs="12 logits, beside those of identity, which are left out here",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="frames of BP4D at half their size; whether a face is cut out of them is not stated",
        faces={},
        traps=(
            "The branch for linear probing has a head without a bias, and its files do not fit.",
            "A fold is not to be tested on the people it was trained on.",
        ),
    )
)
DISFA = register(
    replace(
        BP4D,
        name="fmae_iat_disfa",
        title="FMAE-IAT, ViT-L/16, 8 AUs of DISFA",
        file="of a finetuning with DISFA_finetune.py: tensors under 'model', beside the settings of the training",
        build=_build(8),
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 9, 12, 25, 26)),
        outputs="8 logits, beside those of identity, which are left out here",
        crop="frames of DISFA; whether a face is cut out of them is not stated",
    )
)
