"""Whether maps depend on what a network learned: its weights are shuffled layer by layer (Adebayo et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.computed import Result, Task, computed
from fer_batch.pipeline.study.images import Drawn, drawn
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import Curve, curves_figure
from fer_batch.visualize.figure import save

MEASURE = "spearman"


def randomisation(work: StudyWork, *, images: int = 32, steps: int = 6, seeds: int = 2) -> Compared:
    """Similarity of each explanation's maps to those of networks whose weights are shuffled from the output down.

    Parameters
    ----------
    work
        The study.
    images
        Of each network that is shown (the best fold of each training), at most.
    steps
        Depths that are looked at: the output layer, all layers, and as evenly as can be between them.
    seeds
        Shuffles of each depth.
    """
    tasks, names = [], []
    for network in work.shown():
        sample = drawn(work, network, images)
        for variant, cell in work.of_network(network).items():
            if cell.job is None:
                continue
            explain = cell.job.explain
            arguments = (sample, explain.method, dict(explain.options), steps, seeds)
            identity = (*sample.identity, explain.method, dict(explain.options), steps, seeds)
            tasks.append(Task(check, arguments, identity))
            names.append((network, variant))
    found = computed(work, "randomisation", tasks)
    several = len(work.shown()) > 1
    named = {
        (f"{variant}, {network.title}" if several else variant): (variant, network, result)
        for (network, variant), result in zip(names, found, strict=True)
    }
    rows = [row for variant, network, result in named.values() for row in _rows(variant, network.model, result)]
    return Compared(_page({name: result for name, (_, _, result) in named.items()}), tuple(rows))


def check(images: Drawn, method: str, options: Mapping[str, object], steps: int, seeds: int) -> Result:
    """One explanation of one network, on a worker.

    Parameters
    ----------
    images
        What is explained.
    method, options
        Of the explanation.
    steps, seeds
        As in `randomisation`.
    """
    import torch

    from fer_batch import explain
    from fer_batch.evaluate.randomisation import randomisation_check
    from fer_batch.explain.randomised import randomised_maps
    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess
    from fer_batch.pipeline.explaining.explain import options_of_model
    from fer_batch.storage.crop_set import open_crops

    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load(images.model).to(device).eval()
    explainer = explain.method(method, **options_of_model(method, options, images.model))
    crops = open_crops(images.crops).images(images.numbers)
    inputs = preprocess(crops, images.model.preprocessing, device)
    pairs = np.column_stack([np.arange(len(crops)), images.targets])
    trained = explainer(network, inputs, pairs, np.random.default_rng(0)).values
    shuffled = randomised_maps(network, explainer, inputs, pairs, n_steps=steps, seeds=range(seeds))
    result = randomisation_check(trained, shuffled, images.subjects, measures=(MEASURE,))
    return {
        "curve": [[row.n_layers, row.layer, *_mean(row.similarity)] for row in result.curve],
        "residual": _mean(result.residual),
        "chance": _mean(result.chance),
        "own": _mean(result.own),
        "follows_image": result.follows_image,
        "stays": result.stays,
        "flagged": result.flagged,
    }


def _mean(found: Any) -> list[float | None]:
    """Mean, interval, images and people of a `SubjectMean`, as JSON values."""
    return [None if math.isnan(v) else float(v) for v in (found.mean, found.low, found.high)] + [
        found.n,
        found.n_subjects,
    ]


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _rows(variant: str, model: ResolvedModel, result: Result) -> list[Measured]:
    mean, low, high, n, n_subjects = _numbers(result["residual"])
    chance = result["chance"][0]
    common = {"explain": variant, "model": model.model_id}
    rows = [
        Measured("randomised_similarity", mean, int(n), baseline=chance, **common),
        Measured("randomised_similarity_low", low, int(n_subjects), baseline=chance, **common),
        Measured("randomised_similarity_high", high, int(n_subjects), baseline=chance, **common),
        Measured("randomised_own_similarity", result["own"][0], int(result["own"][3]), baseline=0.0, **common),
    ]
    for n_layers, layer, value, *_, n_images, _ in result["curve"]:
        group = f"{n_layers} layers"
        rows.append(Measured("randomised_similarity", value, n_images, group=group, layer=layer, **common))
    return rows


def _page(found: Mapping[str, Result]) -> Any:
    figures, flagged = [], []
    for name, result in found.items():
        mean, low, high, n, n_subjects = _numbers(result["residual"])
        note = "follows the image" if result["follows_image"] else "always the same picture" if result["stays"] else ""
        chance = _numbers(result["chance"])[0]
        figures.append(pages.MethodFigure(name, mean, low, high, int(n), int(n_subjects), chance, note))
        flagged += [name] if result["flagged"] else []
    first = next(iter(found.values()))
    depths = [row[0] for row in first["curve"]]
    curves = {name: Curve(_curve(result, depths)) for name, result in found.items()}
    ticks = [f"{row[0]}: {row[1]}" for row in first["curve"]]
    label = "rank correlation with the trained map"
    figure = curves_figure(depths, curves, "layers shuffled, from the output down", label, ticks=ticks)
    picture = Picture(save(figure), f"{label} over shuffled layers, of {', '.join(found)}")
    return pages.randomisation(figures, picture, flagged)


def _curve(result: Result, depths: Sequence[int]) -> list[float]:
    known = {row[0]: row[2] for row in result["curve"]}
    return _numbers([known.get(depth) for depth in depths])
