"""JAA-Net: Action Units and landmarks learnt together, with attention to regions around landmarks."""

from __future__ import annotations

from dataclasses import replace

from fer_batch.models.known_network import KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

BP4D = register(
    KnownNetwork(
        name="jaanet_bp4d",
        title="JAA-Net, hierarchical regions, 12 AUs of BP4D",
        origin=Origin(
            project="https://github.com/ZhiwenShao/PyTorch-JAANet",
            paper="Shao et al., International Journal of Computer Vision 129, 2021",
            read_at="ZhiwenShao/PyTorch-JAANet @9a0cedc (2024-11-16): test_JAAv2.py, network.py, "
            "dataset/face_transform.py",
            code_licence="none: there is no licence in the repository",
            weights_licence="none: there is no licence in the repository",
        ),
        file="on OneDrive: six files an epoch (region_learning, align_net, local_attention_refine, local_au_net, "
        "global_au_feat, au_net)",
        prepare="",
        build=None,
        missing="six modules of its own with a file each, and log-probabilities at the end",
        head="multilabel",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)),
        threshold=0.5,
        outputs="log-probabilities of absent and present for each of 12 Action Units",
        preprocessing=Preprocessing(size=176, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        input="",
        crop="49 landmarks: turned to the eye line, a square 2.9 times the larger extent of eyes, nose and corners "
        "of the "
        "mouth, grey outside, resized to 200, of which the central 176 are taken",
        faces={"align": "eyes"},
        traps=("A factory has to return the logit: the log-probability of present less that of absent.",),
    )
)
DISFA = register(
    replace(
        BP4D,
        name="jaanet_disfa",
        title="JAA-Net, hierarchical regions, 8 AUs of DISFA",
        targets=tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 9, 12, 25, 26)),
        outputs="log-probabilities of absent and present for each of 8 Action Units",
    )
)
