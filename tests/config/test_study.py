import itertools
import shlex
from pathlib import Path

import pytest

from fer_batch.config import read_study
from fer_batch.evaluate.published_cues import LAYERS
from fer_batch.types import InputError

from .conftest import TRAINING

JOBS = Path(__file__).parents[2] / "jobs"
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
        ({"trainings.vary": {"sources.1.uri": ["a", "b"]}}, "expected a number below 1 in the place of '1'"),
        ({"trainings.set": {"sources": {"first": {"uri": "a"}}}}, "below 1 in the place of 'first'"),
        ({"trainings.vary": {"recipe": {}}}, "recipe needs a list of one value or more"),
        ({"runs.vary": {"explain.method": ["z", "z"]}}, "explain.method has the same value twice"),
        ({"runs.vary": {"explain.method": "z"}}, "needs a list of one value or more, got 'z'"),
        ({"runs.vary": {"explain.mehtod": ["z", "gradient"]}}, "unknown key 'explain.mehtod'; did you mean 'method'"),
        ({"runs.cells": [{"explain.method": "z"}]}, "give either vary or cells"),
        ({"networks": ["m.safetensors"]}, "exactly one of trainings and networks"),
        ({"runs.base": {"model": {"checkpoint": "m"}}}, "runs.base.model is not of a study"),
        ({"compare": []}, "compare names no comparison"),
        ({"trainings.base": "nowhere.yaml"}, "nowhere.yaml' does not exist"),
        ({"trainings.set": {"recipe.epoch": 3}}, "unknown key 'recipe.epoch'; did you mean 'epochs'"),
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


def test_what_is_set_from_the_command_line_reaches_sections_in_lists(study):
    base = {"format": "image_sequences", "uri": None}
    sources = {"trainings.base": {**TRAINING, "sources": [{**base, "dataset": "a"}, {**base, "dataset": "b"}]}}
    overrides = ("trainings.set.sources.0.uri=A", "trainings.set.sources.1.uri=B")
    both = [study(sources, overrides)]
    both.append(study({**sources, "trainings.set": {"sources.0.uri": "A", "sources.1.uri": "B"}}))
    both.append(study({**sources, "trainings.set": {"sources": {0: {"uri": "A"}, 1: {"uri": "B"}}}}))
    for found in both:
        assert [(one.dataset, one.uri) for one in found.trainings[0][1].sources] == [("a", "A"), ("b", "B")]
    with pytest.raises(InputError, match="expected a number below 2 in the place of '2'"):
        study(sources, (*overrides, "trainings.set.sources.2.uri=C"))


def test_what_varies_wins_over_what_is_set_however_either_is_written(study):
    changes = {"trainings.set": {"recipe.epochs": 3, "recipe": {"epochs": 4}}, "trainings.vary": {"recipe.epochs": [5]}}
    assert study(changes).trainings[0][1].recipe.epochs == 5
    found = study(changes, ("trainings.vary.recipe.epochs=[6, 7]",))
    assert [job.recipe.epochs for _, job in found.trainings] == [6, 7]


def test_options_can_be_set_for_comparisons_that_are_a_list(study):
    found = study((), ("compare.grids.people=3", "compare.runtime={}"))
    assert found.config.compare == {"fold_table": {}, "grids": {"people": 3}, "runtime": {}}


def commands(job):
    """The commands in the comments of a job file, as words after `fer-batch run JOB`."""
    text = " ".join(line[1:].strip() for line in job.read_text().splitlines() if line.startswith("#   "))
    parts = text.replace("\\ ", "").split("fer-batch run ")[1:]
    words = [shlex.split(part)[:20] for part in parts]
    for own in words:
        assert own[0] == f"jobs/{job.name}"
        yield [word for flag, word in itertools.pairwise(own) if flag == "--set"]


@pytest.mark.parametrize("name", sorted(path.name for path in JOBS.glob("study_*.yaml")))
def test_the_commands_that_a_job_names_are_accepted(name):
    full, small = commands(JOBS / name)
    assert len(full) >= 2 and small == ["size=small"]
    found = read_study(JOBS / name, full, "out")
    given = dict(one.split("=", 1) for one in full)
    for number, source in enumerate(found.trainings[0][1].sources):
        assert source.uri == given[f"trainings.set.sources.{number}.uri"]
    assert read_study(JOBS / name, small, "out").config.size == "small"


def test_a_source_without_a_folder_says_how_the_study_names_it():
    with pytest.raises(InputError) as error:
        read_study(JOBS / "study_verification.yaml", (), "out")
    assert str(error.value).count("name the folder of the data") == 1
    assert str(error.value).endswith("for example --set trainings.set.sources.0.uri=DIR")


def test_the_participant_whom_the_verification_study_leaves_out_can_be_left_out():
    line = next(one for one in (JOBS / "study_verification.yaml").read_text().splitlines() if "exclude" in one)
    overrides = [*next(commands(JOBS / "study_verification.yaml")), shlex.split(line.partition("--set ")[2])[0]]
    assert read_study(JOBS / "study_verification.yaml", overrides, "out").trainings[0][1].sources[1].exclude == ("16",)


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


def test_the_job_of_action_unit_cues_has_the_strengths_and_layers_of_the_paper():
    """Layer ablation and figure 5 of Belharbi et al. (2024); rate, decay and steps of T-SA."""
    found = read_study(JOBS / "study_action_unit_cues.yaml", ["trainings.set.sources.0.uri=a"], "out")
    plain = [job for varied, job in found.trainings if not any("align" not in key for key in varied)]
    assert {job.align.weight for job in plain if job.align.layers == ("layer4",)} == {0, 0.01, 0.1, 1, 2, 4, 8, 12, 20}
    numbers = {"relu": 1, "layer1": 2, "layer2": 3, "layer3": 4, "layer4": 5}
    sets = {tuple(sorted(numbers[name] for name in job.align.layers)) for job in plain if job.align.weight == 4}
    assert {(), *sets} == set(LAYERS)
    others = [varied for varied, _ in found.trainings if any("align" not in key for key in varied)]
    assert sorted(varied.get("align.weight") is None for varied in others) == [False, False, True, True]
    assert {(job.recipe.optimizer, job.recipe.learning_rate, job.recipe.weight_decay, job.recipe.step_epochs)
            for _, job in found.trainings} == {("sgd", 0.002, 0.0005, 4)}  # fmt: skip
    small = read_study(JOBS / "study_action_unit_cues.yaml", ["size=small"], "out")
    assert {job.align.weight for _, job in small.trainings} == {0, 1, 4, 12} and len(small.trainings) == 7


@pytest.mark.parametrize("name", ["study_action_unit_cues.yaml", "study_action_unit_heads.yaml"])
def test_every_training_of_the_jobs_of_action_units_can_be_built(name):
    """Options of a cell add to those of the base, which another architecture or augmentation may not have."""
    import torch

    from fer_batch.pipeline.training.worker import make_network, make_recipe

    asked = [["trainings.set.sources.0.uri=a"]]
    if "heads" in name:
        comment = (JOBS / name).read_text().partition("# APViT")[2].partition("\n#\n")[0]
        words = shlex.split(comment.replace("\n#", "\n"))
        asked.append([*asked[0], *(word for flag, word in itertools.pairwise(words) if flag == "--set")])
    built = set()
    for overrides in asked:
        for _, job in read_study(JOBS / name, overrides, "out").trainings:
            make_recipe(job)
            if repr(job.network) not in built:
                built.add(repr(job.network))
                with torch.device("meta"):
                    make_network(job.network, len(job.targets))
    assert len(built) == (5 if "heads" in name else 2)
