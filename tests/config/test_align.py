"""Sections `align` and `swap_outside` of a training job: what goes with which head, and what is refused."""

import pytest

from fer_batch.config import build_train
from fer_batch.facs import expression_units
from fer_batch.types import InputError

SOFTMAX = {"head": "softmax"}
CLASSES = {**SOFTMAX, "targets": ["fear", "neutral"]}
LAYER = {"layers": ["layer4"]}


def made(**more):
    job = {"kind": "train", "name": "t", "sources": [{"dataset": "a", "uri": "x"}], "output": "o"}
    return build_train({**job, "network": {"architecture": "resnet18"}, **more}, "job")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"align": LAYER}, "align.maps: expression goes with head: softmax; a multilabel head has align.maps: units"),
        ({**CLASSES, "align": {**LAYER, "maps": "units"}}, "a softmax head has align.maps: expression"),
        ({**CLASSES, "align": {}}, "align: to: attention is of layers; name one or more, such as layers"),
        ({**CLASSES, "align": {**LAYER, "wieght": 3}}, "unknown key 'align.wieght'; did you mean 'weight'"),
        (
            {**CLASSES, "align": {**LAYER, "codebook": "martines"}},
            "unknown codebook 'martines'; did you mean 'martinez'",
        ),
        ({**CLASSES, "align": {**LAYER, "weight": -1}}, "weight must be a number >= 0, got -1"),
        ({**CLASSES, "align": {**LAYER, "to": "grad_cma"}}, "'grad_cam', got 'grad_cma'"),
        (
            {"head": "softmax", "targets": ["pain", "fear"], "align": LAYER},
            "codebook martinez: unknown expression 'pain'",
        ),
        (
            {"head": "softmax", "targets": ["neutral", "contempt"], "align": LAYER},
            "none of the targets neutral, contempt",
        ),
        ({"targets": ["left", "right"], "align": {**LAYER, "maps": "units"}}, "none of the targets left, right"),
        (
            {**SOFTMAX, "targets": ["fear", "joy"], "swap_outside": {"keep": "regions"}},
            "a softmax head has swap_outside.keep: face",
        ),
        ({"swap_outside": {"shaer": 1}}, "unknown key 'swap_outside.shaer'; did you mean 'share'"),
        ({"swap_outside": {"share": 2}}, "share must be a share of the crops from 0 to 1, got 2"),
        ({"swap_outside": {"margin": -1}}, "margin must be a share of the crop's side from 0 to 0.5, got -1"),
        ({"swap_outside": {"keep": "faces"}}, "'regions', got 'faces'"),
        ({"recipe": {"augment": "cutmix"}}, "cutmix mixes the labels of classes; it goes with head: softmax"),
    ],
)
def test_what_does_not_go_together_is_said(more, said):
    with pytest.raises(InputError) as error:
        made(**more)
    assert said in str(error.value)


def test_units_of_targets_and_the_name_of_the_recipe():
    job = made(**CLASSES, align={**LAYER, "weight": 2.5})
    assert job.units_of(("sadness", "contempt")) == [expression_units("sadness"), ()] and expression_units("sadness")
    assert job.recipe_name == "custom + attention x 2.5"
    units = made(align={"to": "gradient", "maps": "units"})
    assert units.units_of(["AU17", "AU1", "smile"]) == [(17,), (1,), ()]
    assert made().recipe_name == "custom" and "align" not in made().model_dump()
    swapped = made(
        swap_outside={"keep": "regions", "share": 0.5}, align={"to": "gradient", "maps": "units", "weight": 1}
    )
    assert swapped.recipe_name == "custom + gradient x 1 + swap outside regions x 0.5"
    assert "swap_outside" not in made().model_dump()
    wider = made(swap_outside={"keep": "face", "share": 1, "margin": 0.1})
    assert wider.recipe_name == "custom + swap outside face x 1, margin 0.1"
    none = made(swap_outside={"keep": "face", "share": 0})
    assert (none.model_dump(), none.recipe_name) == (made().model_dump(), made().recipe_name)
