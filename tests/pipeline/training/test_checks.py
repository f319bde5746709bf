"""What cannot be trained is refused before anything is decoded."""

import importlib.util

import pytest

from fer_batch.pipeline.training.checks import check_network, check_parts
from fer_batch.types import InputError

TARGETS = ("AU01", "AU26", "AU27")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": {"architecture": "resnet81"}}, "'resnet81' is unknown; did you mean 'resnet18'"),
        ({"network": {"options": {"widht": 1}}}, r"^network: options do not fit resnet18"),
        ({"network": {"options": {"width": "abc"}}}, r"^network: options\.width must be a number, got 'abc'$"),
        ({"recipe": {"optimizer": "adm"}}, "recipe: unknown optimizer 'adm'; did you mean 'adam'"),
        ({"recipe": {"augment": "face"}}, "recipe: unknown augmentation 'face'; did you mean 'faces'"),
        ({"recipe": {"augment": "flip", "augment_options": {"p": 1}}}, "augment_options do not fit flip"),
        ({"recipe": {"l2": 1e-4, "l2_layers": ["head."]}}, "no weights of the network are named head"),
        ({"recipe": {"trainable": ["head."]}}, "nothing of the network is named head.*its parts are"),
        ({"network": {"architecture": "vgg_face", "options": {}, "preprocessing": {"size": 112}}},
         "does not take images of 112 pixels"),
        ({"align": {"maps": "units", "layers": ["layer3", "layer44"]}},
         r"^align\.layers: the network has no module 'layer44'; did you mean 'layer4'"),
        ({"align": {"maps": "units", "layers": ["fc"]}}, r"^align\.layers: layer 'fc' gives \(1, 3\); what is aligned"),
        ({"align": {"maps": "units", "layers": ["avgpool"]}}, "one place agrees with every map"),
        ({"align": {"maps": "units", "layers": ["layer3"]}, "recipe": {"trainable": ["layer4.", "fc."]}},
         "nothing up to layer3 is trained"),
        ({"recipe": {"augment": "none", "augment_options": {"first": "flip"}}}, "augment_options do not fit none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_starts(job, change, said):
    with pytest.raises(InputError, match=said):
        check_network(job(**change), len(TARGETS))


def test_weights_that_are_not_there_and_tensorboard_that_is_not_installed(job, tmp_path):
    with pytest.raises(InputError, match="does not exist; the program downloads no weights"):
        check_parts(job(network={"checkpoint": str(tmp_path / "vgg_face.safetensors")}))
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(InputError, match=r"pip install 'fer_batch\[tensorboard\]'"):
            check_parts(job(tensorboard=True))
