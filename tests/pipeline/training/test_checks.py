"""What cannot be trained is refused before anything is decoded."""

import importlib.util
from pathlib import Path

import pytest

from fer_batch.config.train import read_train_job
from fer_batch.pipeline.training.checks import check_network, check_parts
from fer_batch.types import InputError

TARGETS = ("AU01", "AU26", "AU27")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": {"architecture": "resnet81"}}, "'resnet81' is unknown; did you mean 'resnet18'"),
        ({"network": {"options": {"widht": 1}}}, r"^network: options do not fit resnet18"),
        ({"network": {"architecture": "ts_cam_deit_tiny", "options": {"depth": 1, "size": 32},
                      "preprocessing": {"size": 48}}},
         "does not take images of 48 pixels: .*it was built for 32x32: is network"),
        ({"network": {"options": {"head": "wildcat", "modalites": 2}}}, "did you mean 'modalities'"),
        ({"network": {"options": {"width": "abc"}}}, r"^network: options\.width must be a number, got 'abc'$"),
        ({"recipe": {"optimizer": "adm"}}, "recipe: unknown optimizer 'adm'; did you mean 'adam'"),
        ({"recipe": {"augment": "face"}}, "recipe: unknown augmentation 'face'; did you mean 'faces'"),
        ({"recipe": {"augment": "flip", "augment_options": {"p": 1}}}, "augment_options do not fit flip"),
        ({"head": "softmax", "targets": ["anger", "fear", "disgust"],
          "recipe": {"augment": "cutmix", "augment_options": {"first": "faces", "rotatoin": 6}}},
         "augment_options do not fit cutmix: faces.* unexpected keyword argument 'rotatoin'"),
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
        ({"network": {"architecture": "ts_cam_deit_tiny", "options": {"depth": 1, "size": 32},
                      "preprocessing": {"size": 32}},
          "align": {"maps": "units", "to": "grad_cam", "layers": ["class_attention"]}},
         r"^align\.layers: the logits are no function of class_attention, so there is no grad_cam of it"),
        ({"recipe": {"augment": "none", "augment_options": {"first": "flip"}}}, "augment_options do not fit none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_anything_starts(job, change, said):
    with pytest.raises(InputError, match=said):
        check_network(job(**change), len(TARGETS))


@pytest.mark.parametrize(
    ("network", "options", "align"),
    [
        ("ts_cam_deit_tiny", {"depth": 1, "size": 32}, {"to": "gradient", "layers": []}),
        ("apvit", {"depth": 1, "width": 32, "n_heads": 2}, {"to": "grad_cam", "layers": ["extractor"]}),
        ("apvit", {"depth": 1, "width": 32, "n_heads": 2}, {"to": "gradient", "layers": []}),
    ],
)
def test_gradients_of_transformers_can_be_aligned(job, network, options, align):
    side = options.get("size", 112)
    section = {"architecture": network, "options": options, "preprocessing": {"size": side}}
    check_network(job(network=section, align={"maps": "units", **align}), len(TARGETS))


def test_weights_that_are_not_there_and_tensorboard_that_is_not_installed(job, tmp_path):
    with pytest.raises(InputError, match="does not exist; the program downloads no weights"):
        check_parts(job(network={"checkpoint": str(tmp_path / "vgg_face.safetensors")}))
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(InputError, match=r"pip install 'fer_batch\[tensorboard\]'"):
            check_parts(job(tensorboard=True))


def test_the_job_of_pd_trains_the_dense_layers_alone(tmp_path, capsys):
    given = (f"sources.0.uri={tmp_path}", f"sources.1.uri={tmp_path}", "network.checkpoint=null")
    config = read_train_job(Path(__file__).parents[3] / "jobs" / "train_pd.yaml", given, str(tmp_path / "out"))
    check_network(config, len(config.targets))
    # Weitz (2018), 5.1: so many weights are trained; methods PD-c
    assert "network vgg_face: 134,272,835 parameters, 119,558,147 of them trained" in capsys.readouterr().err
