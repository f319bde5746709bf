"""What no study could do or would do in vain is refused when its job is read, in one sentence."""

import pytest

from fer_batch.types import InputError

GIVEN = {"trainings": None, "networks": ["a.safetensors", "b.safetensors"]}
FACES = {"source": {"format": "images", "uri": "faces"}}
ONE = {"explain.method": ["z"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs.vary": {"explain.batch_size": [8, 16]}}, "explain.batch_size changes nothing: its values 8 and 16"),
        (
            {"runs.vary": {"explain.options.batch_size": [8, 16]}, "runs.base": {"explain": {"method": "gradient"}}},
            "explain.options.batch_size changes nothing: its values 8 and 16",
        ),
        ({"trainings.vary": {"resources.workers": [1, 2]}}, "resources.workers changes nothing: its values 1 and 2"),
        ({"runs.vary": {"explain.method": ["z", "gradeint"]}}, "method 'gradeint'; did you mean 'gradient'"),
        ({"runs": {"base": {"explain": {"method": "lrp"}}}}, "method 'lrp'; .*z"),
        ({"runs.base": {"explain": [{"method": "z"}]}}, "runs.base.explain is a list"),
        ({"runs.base": FACES}, "runs.base.source is of networks that are given: .* their own test people"),
        ({"runs.base": {"faces": {"margin": 0.3}}}, "runs.base.faces.margin changes nothing: crops are the training's"),
        (
            {"trainings.set": {"split": {"kind": "holdout"}}, "runs.vary": ONE},
            "grid has one cell",
        ),
        ({"compare": ["class_discrimination"]}, "targets: all; gradient has 'active'"),
        (
            {
                "compare": ["class_discrimination"],
                "runs": {"vary": {"explain": [{"targets": "all"}, {"method": "lime", "targets": ["AU04"]}]}},
            },
            r"targets: all; lime has \['AU04'\]",
        ),
    ],
)
def test_what_is_in_vain_is_one_sentence(study, changes, words):
    with pytest.raises(InputError, match=words) as error:
        study(changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "values", "instead"),
    [
        ("spray.tau", [0.1, 0.2], "give spray once, in runs.base"),
        ("keep_relevance", ["all", "exemplars"], "give keep_relevance once"),
        ("temporal_prototypes.min_run", [1, 2], "give temporal_prototypes once"),
        ("model.threshold", [0.4, 0.5], "the study fills model in"),
        ("source.uri", ["a", "b"], "the study fills source in"),
        ("source.sampling.stride", [1, 2], "the study fills source in"),
        ("faces.margin", [0.1, 0.3], "vary faces.margin in trainings.vary"),
        ("phases", ["explain", "prototypes"], "give phases once"),
        ("report", [{}, {"style": "overlay"}], "give report once"),
        ("resources.window", [8, 16], "give resources once"),
        ("labels.present_from", [1, 2], "vary labels.present_from in trainings.vary"),
        ("name", ["a", "b"], "the study fills name in"),
        ("output", ["a", "b"], "the study fills output in"),
        ("method", ["z", "gradient"], "did you mean 'explain.method'"),
    ],
)
@pytest.mark.parametrize("form", ["vary", "cells"])
def test_only_explanations_make_cells(study, key, values, instead, form):
    grid = {"vary": {key: values}} if form == "vary" else {"cells": [{key: value} for value in values]}
    with pytest.raises(InputError, match=f"{key} makes no cell of its own.*{instead}") as error:
        study({"runs": grid})
    assert "\n" not in str(error.value)


def test_networks_that_are_given_may_say_where_and_how_faces_are_cut(study):
    found = study({**GIVEN, "compare": ["runtime"], "runs.base": {**FACES, "faces": {"margin": 0.3}}})
    assert found.config.runs.base["faces"] == {"margin": 0.3}
    with pytest.raises(InputError, match=r"give source once, in runs\.base"):
        study({**GIVEN, "compare": ["runtime"], "runs.base": FACES, "runs.vary": {"source.uri": ["a", "b"]}})


def test_faces_may_be_stored_and_class_discrimination_compared(study):
    base = {"faces": {"store": "none"}, "explain": {"targets": "all"}}
    assert study({"runs.base": base, "compare": ["class_discrimination"]}).config.runs.base == base
