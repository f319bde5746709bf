from pathlib import Path

import pytest
import yaml

from fer_batch.config import read_study
from fer_batch.config.study import merged, set_key
from fer_batch.types import InputError

TRAINING = {
    "kind": "train",
    "name": "pd",
    "sources": [{"dataset": "posed", "posed": {"subjects": 4}}],
    "network": {"architecture": "resnet18"},
    "split": {"kind": "folds", "k": 2},
}
STUDY = {
    "kind": "study",
    "name": "pd",
    "trainings": {"base": "train.yaml"},
    "runs": {"vary": {"explain.method": ["gradient", "z"]}},
    "compare": ["fold_table", {"grids": {"people": 2}}],
}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(TRAINING))

    def read(changes=(), overrides=(), output="out", **more):
        values = merged(STUDY, more)
        for key, value in dict(changes).items():
            if "." in key:
                set_key(values, key, value)
            else:
                values[key] = value
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return read_study(tmp_path / "study.yaml", overrides, output)

    return read


FILLED = {"name": "posed", "output": "out", "model": {"checkpoint": "m"}, "source": {"format": "crops", "uri": "crops"}}


def test_the_grid_is_the_product_of_what_varies(study):
    found = study({"trainings.vary": {"seed": [0, 1], "recipe.l2": [0.0, 0.1]}})
    assert [varied for varied, _ in found.trainings] == [
        {"seed": 0, "recipe.l2": 0.0},
        {"seed": 0, "recipe.l2": 0.1},
        {"seed": 1, "recipe.l2": 0.0},
        {"seed": 1, "recipe.l2": 0.1},
    ]
    assert [(job.seed, job.recipe.l2) for _, job in found.trainings] == [(0, 0.0), (0, 0.1), (1, 0.0), (1, 0.1)]
    assert {(job.output, job.keep_models) for _, job in found.trainings} == {("out", "all")}
    assert [job.explain.method for _, job in found.run_jobs(FILLED)] == ["gradient", "z"]


def test_cells_can_be_listed(study):
    found = study(
        {"runs": {"cells": [{"explain.method": "z"}, {"explain": {"method": "lime", "options": {"seed": 1}}}]}}
    )
    jobs = [job.explain for _, job in found.run_jobs(FILLED)]
    assert [(one.method, one.options) for one in jobs] == [("z", {}), ("lime", {"seed": 1})]


def test_a_varied_section_adds_to_that_of_the_base(study):
    vary = {"explain": [{"method": "z"}, {"method": "lime", "options": {"n_samples": 9}}]}
    found = study({"runs": {"base": {"explain": {"targets": "all"}}, "vary": vary}})
    assert {job.explain.targets for _, job in found.run_jobs(FILLED)} == {"all"}


def test_the_small_size_is_laid_over_the_job_and_what_is_set_over_both(study):
    small = {"small": {"trainings": {"set": {"split.k": 3}}, "runs": {"choose": {"per_class": 4}}}}
    assert study(small).trainings[0][1].split.k == 2
    found = study(small, ("size=small", "runs.choose.per_class=5"))
    assert found.trainings[0][1].split.k == 3
    assert found.config.runs.choose.per_class == 5
    with pytest.raises(InputError, match="no section 'small'"):
        study((), ("size=small",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs.vary": {"explain.batch_size": [8, 16]}}, "explain.batch_size changes nothing: its values 8 and 16"),
        ({"runs.vary": {"resources.window": [8, 16]}}, "resources.window changes nothing"),
        ({"runs.vary": {"faces.margin": [0.1, 0.3]}}, "faces changes nothing: the crops are the training's own"),
        ({"trainings.vary": {"resources.workers": [1, 2]}}, "resources.workers changes nothing: its values 1 and 2"),
        ({"runs.vary": {"explain.method": ["z", "z"]}}, "explain.method has the same value twice"),
        ({"runs.vary": {"explain.method": "z"}}, "needs a list of one value or more, got 'z'"),
        ({"runs.vary": {"explain.mehtod": ["z", "gradient"]}}, "unknown key 'explain.mehtod'; did you mean 'method'"),
        ({"runs.cells": [{"explain.method": "z"}]}, "give either vary or cells"),
        ({"networks": ["m.safetensors"]}, "exactly one of trainings and networks"),
        ({"runs.base": {"model": {"checkpoint": "m"}}}, "runs.base.model is not of a study"),
        ({"compare": []}, "compare names no comparison"),
        ({"trainings.base": "nowhere.yaml"}, "nowhere.yaml' does not exist"),
        ({"trainings.set": {"recipe.epoch": 3}}, "unknown key 'recipe.epoch'; did you mean 'epochs'"),
        (
            {"trainings.set": {"split": {"kind": "holdout"}}, "runs.vary": {"explain.method": ["z"]}},
            "grid has one cell",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(study, changes, words):
    with pytest.raises(InputError, match=words) as error:
        study(changes)
    assert "\n" not in str(error.value)


def test_networks_that_are_given_need_a_source(study):
    with pytest.raises(InputError, match=r"need runs\.base\.source"):
        study({"trainings": None, "networks": ["a.safetensors", "b.safetensors"]})
    base = {"source": {"format": "images", "uri": "faces"}}
    found = study({"trainings": None, "networks": ["a.safetensors"], "runs.base": base})
    assert [spec.checkpoint for spec in found.config.networks] == ["a.safetensors"]


def test_a_source_of_the_training_is_set_by_its_number(study):
    values = study({"trainings.set": {"sources": {"0": {"posed": {"subjects": 5}}}}})
    (_, job), *_ = values.trainings
    assert job.sources[0].posed.subjects == 5 and job.sources[0].dataset


def test_the_job_of_standard_heatmaps_has_the_twelve_networks_of_the_paper():
    """Input sizes of MD-4; optimiser, rate and epochs of T-SH."""
    path = Path(__file__).parents[2] / "jobs" / "study_standard_heatmaps.yaml"
    sources = [f"trainings.set.sources.{place}.uri=a{place}" for place in range(3)]
    found = read_study(path, [*sources, "trainings.cells.4.network.checkpoint=vgg16.pth"], "out")
    jobs = {job.network.architecture: job for _, job in found.trainings}
    assert len(jobs) == len(found.trainings) == 12 and {job.split.k for job in jobs.values()} == {5}
    sizes = {name: job.network.preprocessing.size for name, job in jobs.items()}
    assert (sizes.pop("silnet"), sizes.pop("weinet")) == (150, 64) and set(sizes.values()) == {224}
    epochs = {name: job.recipe.epochs for name, job in jobs.items()}
    ten = ("silnet", "alexnet", "weinet", "mobilenet_v3_large", "efficientnet_v2_b0")
    assert [epochs.pop(name) for name in ten] == [10] * 5 and epochs.pop("songnet") == 25
    assert len(epochs) == 6 and set(epochs.values()) == {2}
    assert {n for n, job in jobs.items() if job.recipe.optimizer == "rmsprop"} == {"alexnet", "weinet", "songnet"}
    assert {n for n, job in jobs.items() if job.recipe.learning_rate == 1e-6} == set(ten[3:])
    assert {job.recipe.learning_rate for job in jobs.values()} == {1e-4, 1e-6}
    assert {n for n, job in jobs.items() if job.network.checkpoint} == {"vgg16"}
    assert {job.recipe.batch_size for job in jobs.values()} == {128} and all(
        job.network.preprocessing.color == "gray" for job in jobs.values()
    )
