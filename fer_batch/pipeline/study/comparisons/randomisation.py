"""Whether maps depend on what a network learned: its weights are shuffled layer by layer (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_batch.evaluate.randomisation import MARGIN, SAME
from fer_batch.pipeline.devices import own_device
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.comparisons.figures import figure, kept, numbers
from fer_batch.pipeline.study.comparisons.networks import title_of
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.computed import Result, Task, computed
from fer_batch.pipeline.study.images import Drawn, drawn
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.report.comparison import Comparison
from fer_batch.report.comparisons import Finding, Randomised
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import Curve, curves_figure
from fer_batch.visualize.figure import save

MEASURE = "spearman"
VERSION = 3  # of what `check` gives


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

    Raises
    ------
    InputError
        If an option is no whole number from 1.
    """
    check_options("randomisation", {"images": images, "steps": steps, "seeds": seeds})
    tasks = _tasks(work, images, steps, seeds)
    if not tasks:
        return Compared(pages.nothing_done("randomisation", pages.RANDOMISATION))
    several = len(work.shown()) > 1
    results = computed(work, "randomisation", [task for _, _, task in tasks])
    found = [
        _Checked(variant, network.model.model_id, title_of(work, network), several, result)
        for (network, variant, _), result in zip(tasks, results, strict=True)
    ]
    rows = [row for one in found for row in _rows(one.variant, one.network, one.result)]
    return Compared(_page(found), tuple(rows))


def _tasks(work: StudyWork, images: int, steps: int, seeds: int) -> list[tuple[StudyNetwork, str, Task]]:
    """What to compute of each explanation of each network that is shown."""
    tasks = []
    for network in work.shown():
        sample = drawn(work, network, images)
        for variant, cell in work.of_network(network).items():
            if cell.job is None or not sample.numbers:  # it finds nothing in any of its images
                continue
            explain = cell.job.explain
            arguments = (sample, explain.method, dict(explain.options), steps, seeds)
            identity = (VERSION, *sample.identity, explain.method, dict(explain.options), steps, seeds)
            tasks.append((network, variant, Task(check, arguments, identity)))
    return tasks


@dataclass(frozen=True)
class _Checked:
    """One explanation of one network, checked; `several` says whether pages must name the network."""

    variant: str
    network: str
    title: str
    several: bool
    result: Result

    @property
    def label(self) -> str:
        return f"{self.variant}, {self.title}" if self.several else self.variant

    @property
    def shown_id(self) -> str:
        return self.network if self.several else ""


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
    device = own_device()
    network = load(images.model).to(device).eval()
    explainer = explain.method(method, **options_of_model(method, options, images.model))
    crops = open_crops(images.crops).images(images.numbers)
    inputs = preprocess(crops, images.model.preprocessing, device)
    pairs = np.column_stack([np.arange(len(crops)), images.targets])
    trained = explainer(network, inputs, pairs, np.random.default_rng(0)).values
    shuffled = randomised_maps(network, explainer, inputs, pairs, n_steps=steps, seeds=range(seeds))
    result = randomisation_check(trained, shuffled, images.subjects, measures=(MEASURE,))
    return {
        "curve": [[row.n_layers, row.layer, *kept(row.similarity)] for row in result.curve],
        "residual": kept(result.residual),
        "chance": kept(result.chance),
        "own": kept(result.own),
        "follows_image": result.follows_image,
        "stays": result.stays,
        "flagged": result.flagged,
    }


def _rows(variant: str, network: str, result: Result) -> list[Measured]:
    rows = []
    chance = result["chance"][0]
    for metric, found, baseline in (
        ("randomised_similarity", result["residual"], chance),
        ("randomised_own_similarity", result["own"], 0.0),
    ):
        mean, low, high, n, n_subjects = found
        for suffix, value, count in (("", mean, n), ("_low", low, n_subjects), ("_high", high, n_subjects)):
            rows.append(Measured(f"{metric}{suffix}", value, count, variant, network, baseline=baseline))
    for n_layers, layer, value, *_, n_images, _ in result["curve"]:
        group = f"{n_layers} layers"
        row = Measured("randomised_similarity", value, n_images, variant, network, group=group, layer=layer)
        rows.append(row)
    return rows


def _page(found: Sequence[_Checked]) -> Comparison:
    rows = [
        Randomised(
            figure(one.label, one.result["own"], network=one.shown_id),
            figure(one.label, one.result["residual"], one.result["chance"][0], one.shown_id),
            _finding(one.result),
        )
        for one in found
    ]
    chart = interval_chart([row.own for row in rows], "own similarity", level=("margin", MARGIN))
    networks = dict.fromkeys(one.title for one in found)
    curves = [_curves([one for one in found if one.title == title]) for title in networks]
    return pages.randomisation(rows, [chart, *curves], MARGIN, SAME)


def _finding(result: Result) -> Finding:
    if result["follows_image"]:
        return "image"
    if result["stays"]:
        return "picture"
    return "changes" if result["flagged"] is False else "open"


def _curves(found: Sequence[_Checked]) -> Picture:
    """Similarity over depth of the explanations of one network; networks differ in their layers."""
    layers = {row[0]: f"{row[0]}: {row[1]}" for one in found for row in one.result["curve"]}
    depths = sorted(layers)
    curves = {one.variant: Curve(_curve(one.result, depths)) for one in found}
    label = "rank correlation with the trained map"
    ticks = [layers[depth] for depth in depths]
    title = found[0].title if found[0].shown_id else ""
    chart = curves_figure(depths, curves, "layers shuffled, from the output down", label, ticks=ticks, title=title)
    return Picture(save(chart), f"{label} over shuffled layers, of {', '.join(curves)}; {found[0].title}")


def _curve(result: Result, depths: Sequence[int]) -> list[float]:
    values = {row[0]: row[2] for row in result["curve"]}
    return numbers([values.get(depth) for depth in depths])
