"""VGG-Face: VGG-16 that knows 2,622 people, from which the pain study starts its training."""

from __future__ import annotations

from fer_batch.models.known_network import Build, KnownNetwork, Origin, register
from fer_batch.models.spec import Preprocessing

# Convolutions of torchvision's vgg16 that are the Caffe model's conv1_1 to conv5_3.
_PLACES = {"1": (0, 2), "2": (5, 7), "3": (10, 12, 14), "4": (17, 19, 21), "5": (24, 26, 28)}
_CONVOLUTIONS = tuple(
    (rf"^conv{block}_{number}\.", f"features.{place}.")
    for block, places in _PLACES.items()
    for number, place in enumerate(places, 1)
)
_DENSE = tuple((rf"^fc{number}\.", f"classifier.{place}.") for number, place in ((6, 0), (7, 3), (8, 6)))

VGG_FACE = register(
    KnownNetwork(
        name="vgg_face",
        title="VGG-Face, VGG-16, 2,622 identities",
        origin=Origin(
            project="https://www.robots.ox.ac.uk/~vgg/software/vgg_face/",
            paper="Parkhi, Vedaldi and Zisserman, Deep Face Recognition, BMVC 2015",
            read_at="the module that comes with the conversion (vgg_face_dag.py of pytorch-mcn): names, mean, size",
            code_licence="none stated for the conversion",
            weights_licence="not read; the authors' page states it",
        ),
        file="vgg_face_dag.pth, the conversion for PyTorch: tensors",
        prepare="",
        build=Build(
            architecture="vgg_face",
            options={},
            key_map=(*_CONVOLUTIONS, *_DENSE),
            outputs=None,
            n_parameters=145_002_878,  # at its 2,622 outputs
            relevance_rules=True,
        ),
        missing="",
        head=None,
        targets=(),
        threshold=None,
        outputs="logits of 2,622 people",
        preprocessing=Preprocessing(
            size=224, mean=(0.50661, 0.41083, 0.36704), std=(0.0039216, 0.0039216, 0.0039216)
        ),  # 129.186, 104.762 and 93.594 of 255 are taken away, nothing is divided
        input="",
        crop="the face's box, extended and scaled to 256, of which 224 are taken",
        faces={},
        traps=("Files of other conversions have the channels in the order BGR, or names of torchvision's vgg16.",),
    )
)
