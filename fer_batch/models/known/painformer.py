"""PainFormer: a foundation model for pain, which gives features and no scores."""

from __future__ import annotations

from fer_batch.models.known_network import KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

PAINFORMER = register(
    KnownNetwork(
        name="painformer",
        title="PainFormer, SpectFormer, 160 features",
        origin=Origin(
            project="https://github.com/GkikasStefanos/PainFormer",
            paper="Gkikas et al., PainFormer, 2025",
            read_at="GkikasStefanos/PainFormer @45f5963 (2025-09-12): README.md, architecture/painformer.py",
            code_licence="MIT",
            weights_licence="MIT",
        ),
        file="painformer.pth of the GitHub release: tensors under 'model_state_dict'",
        prepare="",
        build=None,
        missing="blocks that filter in the frequency domain (19.6 M parameters), and no output to explain",
        head=None,
        targets=(),
        threshold=None,
        outputs="160 features, no logits",
        preprocessing=Preprocessing(size=224, mean=(0.6068, 0.4517, 0.3800), std=(0.2492, 0.2173, 0.2082)),
        input="",
        crop="not stated",
        faces={},
        traps=("The authors load with strict=False, which hides missing tensors.",),
    )
)
