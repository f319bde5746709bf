"""ME-GraphAU and OpenGraphAU: Action Units as nodes of a learnt graph, scored by cosines."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import IMAGENET_MEAN, IMAGENET_STD, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

_SIDES = (1, 2, 4, 6, 10, 12, 14)
_WHOLE = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 32, 38, 39)

OPEN = register(
    KnownNetwork(
        name="opengraphau",
        title="OpenGraphAU, Swin, ResNet or MAE backbone, 41 AUs",
        origin=Origin(
            project="https://github.com/CVI-SZU/ME-GraphAU",
            paper="Luo et al., IJCAI 2022",
            read_at="CVI-SZU/ME-GraphAU @dda53cb (2025-08-21): OpenGraphAU/utils.py, OpenGraphAU/model/ANFL.py",
            code_licence="MIT",
            weights_licence="none stated; trained on BP4D, DISFA, RAF-AU, Aff-Wild2, CK+ and CASME II, which are for "
            "research only",
        ),
        file="on Google Drive: tensors under 'state_dict', names behind 'module.'",
        prepare="",
        build=None,
        missing="a dense layer for each Action Unit, a graph of nearest neighbours and cosines behind the backbone",
        head="multilabel",
        targets=(
            *(f"AU{number:02d}" for number in _WHOLE),
            *(f"AU{side}{number:02d}" for number in _SIDES for side in "LR"),
        ),
        threshold=0.5,
        outputs="41 cosines in [0, 1], active from 0.5 on; the last 14 are of the left and right half of the face",
        preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        input="",
        crop="aligned faces, by what is not stated; resized to 256, of which the central 224 are taken",
        faces={},
        traps=(
            "Cosines are no logits: a factory has to return torch.logit of them, whose sigmoid gives them back.",
            "The authors load with strict=False, which hides that files of stage 1 and stage 2 differ.",
        ),
    )
)
BP4D = register(
    replace(
        OPEN,
        name="megraphau_bp4d",
        title="ME-GraphAU, Swin or ResNet backbone, 12 AUs of BP4D",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)),
        outputs="12 cosines in [0, 1], active from 0.5 on",
    )
)
DISFA = register(
    replace(
        BP4D,
        name="megraphau_disfa",
        title="ME-GraphAU, Swin or ResNet backbone, 8 AUs of DISFA",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 9, 12, 25, 26)),
        outputs="8 cosines in [0, 1], active from 0.5 on",
    )
)
