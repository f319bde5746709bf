"""Whether what a map marks is what the network uses: regions are hidden in the order of their relevance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.computed import Result, Task, computed
from fer_batch.pipeline.study.images import Drawn, drawn, landmarks_of, maps_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.comparisons import MethodFigure
from fer_batch.report.page import DataTable, Picture
from fer_batch.visualize.comparisons import Curve, curves_figure
from fer_batch.visualize.figure import save

WAYS = {
    "segments": "Superpixels of the picture",
    "parts": "Parts of the face",
}
LEAD = (
    "Regions are hidden one after another, the one with the most relevance first. Where the map marks what the network "
    "uses, its score falls sooner than when regions are hidden in random order."
)
TERMS = (
    ("Area over the curve", "Mean fall of the score of the predicted class over all steps (Samek et al. 2017)."),
    ("Random order", "The same regions in random orders: what hiding as much of the face costs anyway."),
    ("Deletion, insertion", "Area under the score while the most relevant pixels are hidden, or shown from a blurred "
     "image on (Petsiuk et al. 2018): low and high are good."),
    ("Limit", "A face with hidden parts is none that the network was trained on; how parts are hidden (here: in the "
     "mean colour of the image) changes the figures, so methods are compared, not numbers with those of a paper."),
)  # fmt: skip


def faithfulness(
    work: StudyWork, *, images: int = 64, n_segments: int = 30, n_random: int = 10, score: str = "logit"
) -> Compared:
    """Pixel flipping by superpixels and by parts of the face, deletion and insertion, of every explanation.

    Parameters
    ----------
    work
        The study.
    images
        Of each network that is shown (the best fold of each training), at most.
    n_segments
        Superpixels of an image, about.
    n_random
        Random orders.
    score
        `logit` or `softmax` of the predicted class.
    """
    networks = work.shown()
    tasks = [_task(work, network, images, n_segments, n_random, score) for network in networks]
    found = computed(work, "faithfulness", tasks)
    sections: list[Section] = []
    rows: list[Measured] = []
    for network, result in zip(networks, found, strict=True):
        suffix = f": {network.title}" if len(networks) > 1 else ""
        for way, title in WAYS.items():
            if way in result["curves"]:
                sections.append(_section(f"{title}{suffix}", result, way))
        sections.append(_pixel_section(f"Single pixels{suffix}", result))
        rows += [row for name in result["methods"] for row in _rows(name, network, result)]
    page = Comparison("faithfulness", "Does the map mark what the network uses?", LEAD, tuple(sections), TERMS)
    return Compared(page, tuple(rows))


def _task(work: StudyWork, network: StudyNetwork, n: int, n_segments: int, n_random: int, score: str) -> Task:
    sample = drawn(work, network, n)
    maps = maps_of(work, network, sample)
    cells = {variant: cell.key for variant, cell in work.of_network(network).items()}
    arguments = (sample, list(maps), np.stack(list(maps.values())), landmarks_of(sample), n_segments, n_random, score)
    return Task(measure, arguments, (*sample.identity, cells, n_segments, n_random, score))


def measure(
    images: Drawn,
    methods: Sequence[str],
    maps: NDArray[np.float32],
    landmarks: NDArray[np.float32] | None,
    n_segments: int,
    n_random: int,
    score: str,
) -> Result:
    """All methods of one network on the same images, on a worker.

    Parameters
    ----------
    images
        What is hidden.
    methods
        Names of the M methods.
    maps : shape (M, N, size, size), float32
    landmarks : shape (N, 68, 2), pixels of the crops; or None
    n_segments, n_random, score
        As in `faithfulness`.
    """
    import torch

    from fer_batch.explain.perturbation import Perturbation, flipping_curves, pixel_curves
    from fer_batch.explain.segments import slic_segments
    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess
    from fer_batch.regions.face_parts import face_parts
    from fer_batch.storage.crop_set import open_crops

    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load(images.model).to(device).eval()
    crops = open_crops(images.crops).images(images.numbers)
    inputs = preprocess(crops, images.model.preprocessing).numpy()
    size = images.model.preprocessing.size
    pictures = preprocess(crops, images.model.preprocessing.model_copy(update={"mean": (0,) * 3, "std": (1,) * 3}))
    regions = {"segments": np.stack([slic_segments(one.permute(1, 2, 0).numpy(), n_segments) for one in pictures])}
    if landmarks is not None:
        regions["parts"] = face_parts(landmarks * (size / crops.shape[1]), size, size)
    used = images.model.preprocessing
    how = Perturbation(hide="mean", output=score, mean=used.mean, std=used.std)
    curves = {}
    for way, labels in regions.items():
        found = flipping_curves(network, inputs, images.targets, maps, labels, how, n_random=n_random)
        curves[way] = _flipping(found.scores, found.random, images.subjects)
    pixels = pixel_curves(network, inputs, images.targets, maps, how, n_pixels=max(1, size * size // 32))
    return {
        "methods": list(methods),
        "curves": curves,
        "deletion": _areas(pixels.deletion, images.subjects),
        "insertion": _areas(pixels.insertion, images.subjects),
        "score": score,
    }


def _flipping(scores: NDArray[np.float64], random: NDArray[np.float64], subjects: Sequence[str]) -> Result:
    from fer_batch.evaluate.faithfulness import faithfulness as areas

    found = [areas(one, random, subjects) for one in scores]
    return {
        "area": [_mean(one.value) for one in found],
        "random": [_mean(one.chance) for one in found],
        "difference": [_mean(one.difference) for one in found],
        "above_chance": [one.above_chance for one in found],
        "curve": [_json(np.nanmean(one, 0)) for one in scores],
        "random_curve": _json(np.nanmean(random, (0, 1))),
    }


def _areas(curves: NDArray[np.float64], subjects: Sequence[str]) -> list[list[float | None]]:
    from fer_batch.evaluate.faithfulness import area_under
    from fer_batch.evaluate.subject_mean import subject_mean

    return [_mean(subject_mean(area_under(one), subjects)) for one in curves]


def _json(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _mean(found: Any) -> list[float | None]:
    """Mean, interval, images and people of a `SubjectMean`, as JSON values."""
    return [*_json(np.array([found.mean, found.low, found.high], np.float64)), found.n, found.n_subjects]


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _section(title: str, result: Result, way: str) -> Section:
    found = result["curves"][way]
    figures = []
    rows = []
    for name, area, chance, difference, above in zip(
        result["methods"], found["area"], found["random"], found["difference"], found["above_chance"], strict=True
    ):
        mean, low, high, n, n_subjects = _numbers(difference)
        figures.append(MethodFigure(name, mean, low, high, int(n), int(n_subjects), 0.0))
        said = {True: "yes", False: "no", None: "open"}[above]
        rows.append(
            (name, *(_rounded(v) for v in (area[0], chance[0], mean, low, high)), said, int(n), int(n_subjects))
        )
    columns = (
        "Method",
        "Area",
        "Random order",
        "Difference",
        "95 % from",
        "to",
        "Better than random",
        "Images",
        "People",
    )
    table = DataTable(f"Area over the curve, {result['score']}", columns, tuple(rows))
    chart = interval_chart(figures, f"area over the curve beyond random order, {result['score']}")
    curves = {name: Curve(_numbers(one)) for name, one in zip(result["methods"], found["curve"], strict=True)}
    x = list(range(len(found["random_curve"])))
    drawn_curves = curves_figure(
        x, curves, "regions hidden", result["score"], reference=Curve(_numbers(found["random_curve"]))
    )
    alt = f"Mean {result['score']} over hidden regions of every method and of random order"
    return Section(title, tables=(table,), figures=(chart, Picture(save(drawn_curves), alt)))


def _pixel_section(title: str, result: Result) -> Section:
    rows = tuple(
        (name, *(_rounded(v) for v in deletion[:3]), *(_rounded(v) for v in insertion[:3]))
        for name, deletion, insertion in zip(result["methods"], result["deletion"], result["insertion"], strict=True)
    )
    columns = ("Method", "Deletion", "from", "to", "Insertion", "from", "to")
    return Section(title, tables=(DataTable(f"Area under the curve, {result['score']}", columns, rows),))


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 3)


def _rows(name: str, network: StudyNetwork, result: Result) -> list[Measured]:
    place = result["methods"].index(name)
    common: Mapping[str, str] = {"explain": name, "model": network.model.model_id}
    rows = []
    for way, found in result["curves"].items():
        for suffix, column in (("", 0), ("_low", 1), ("_high", 2)):
            value, n = found["difference"][place][column], found["difference"][place][3]
            rows.append(Measured(f"aopc_beyond_random{suffix}", value, n, baseline=0.0, group=way, **common))
        area, chance = found["area"][place], found["random"][place]
        rows.append(Measured("aopc", area[0], area[3], baseline=chance[0], group=way, **common))
    for metric in ("deletion", "insertion"):
        value, *_, n, _ = result[metric][place]
        rows.append(Measured(f"{metric}_auc", value, n, **common))
    return rows
