"""Whether what a map marks is what the network uses: regions are hidden in the order of their relevance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch import facs
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.computed import Result, Task, computed
from fer_batch.pipeline.study.images import Drawn, drawn, landmarks_of, maps_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.regions import region_masks
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.comparisons import MethodFigure
from fer_batch.report.page import DataTable, Picture
from fer_batch.types import InputError
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
    work: StudyWork,
    *,
    images: int = 64,
    segments: Literal["superpixels", "grid"] = "superpixels",
    n_segments: int = 30,
    n_random: int = 10,
    score: str = "logit",
) -> Compared:
    """Pixel flipping by superpixels and by parts of the face, deletion and insertion, of every explanation.

    Parameters
    ----------
    work
        The study.
    images
        Of each network that is shown (the best fold of each training), at most.
    segments
        SLIC superpixels, or the squares of a grid.
    n_segments
        Of an image, about.
    n_random
        Random orders.
    score
        `logit`, `softmax` or `sigmoid` of the predicted class.

    Raises
    ------
    InputError
        If `segments` is neither.
    """
    if segments not in ("superpixels", "grid"):
        raise InputError(f"compare.faithfulness.segments is superpixels or grid, got {segments!r}")
    networks = work.shown()
    how = How(segments, n_segments, n_random, score)
    tasks = [_task(work, network, images, how) for network in networks]
    found = computed(work, "faithfulness", tasks)
    sections: list[Section] = []
    rows: list[Measured] = []
    for network, result in zip(networks, found, strict=True):
        suffix = f": {network.title}" if len(networks) > 1 else ""
        for way, title in WAYS.items():
            if way in result["curves"]:
                sections.append(_section(f"{title}{suffix}", result, way))
        sections.append(_pixel_section(f"Single pixels{suffix}", result))
        if result["region"]:
            sections.append(_region_section(f"The region of the target{suffix}", result))
        rows += [row for name in result["methods"] for row in _rows(name, network, result)]
    page = Comparison("faithfulness", "Does the map mark what the network uses?", LEAD, tuple(sections), TERMS)
    return Compared(page, tuple(rows))


@dataclass(frozen=True)
class How:
    """How pictures are hidden; the options of `faithfulness`."""

    segments: str
    n_segments: int
    n_random: int
    score: str


def _task(work: StudyWork, network: StudyNetwork, n: int, how: How) -> Task:
    sample = drawn(work, network, n)
    maps = maps_of(work, network, sample)
    cells = {variant: cell.key for variant, cell in work.of_network(network).items()}
    arguments = (sample, list(maps), np.stack(list(maps.values())), landmarks_of(sample), how)
    return Task(measure, arguments, (*sample.identity, cells, asdict(how)))


def measure(
    images: Drawn,
    methods: Sequence[str],
    maps: NDArray[np.float32],
    landmarks: NDArray[np.float32] | None,
    how: How,
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
    how
        As in `faithfulness`.
    """
    import torch

    from fer_batch.explain.perturbation import Perturbation, flipping_curves, pixel_curves
    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess
    from fer_batch.storage.crop_set import open_crops

    torch.set_num_threads(1)
    used = images.model.preprocessing
    network = load(images.model).to("cuda" if torch.cuda.is_available() else "cpu").eval()
    crops = open_crops(images.crops).images(images.numbers)
    inputs = preprocess(crops, used).numpy()
    plain = preprocess(crops, used.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3}))
    points = None if landmarks is None else landmarks * (used.size / crops.shape[1])
    options = Perturbation(hide="mean", output=how.score, mean=used.mean, std=used.std)
    curves = {}
    for way, labels in _regions(plain.permute(0, 2, 3, 1).numpy(), points, how).items():
        found = flipping_curves(network, inputs, images.targets, maps, labels, options, n_random=how.n_random)
        curves[way] = _flipping(found.scores, found.random, images.subjects)
    pixels = pixel_curves(network, inputs, images.targets, maps, options, n_pixels=max(1, used.size**2 // 32))
    return {
        "methods": list(methods),
        "curves": curves,
        "deletion": _areas(pixels.deletion, images.subjects),
        "insertion": _areas(pixels.insertion, images.subjects),
        "region": _region(network, inputs, images, points, options),
        "score": how.score,
    }


def _regions(
    pictures: NDArray[np.float32], points: NDArray[np.float32] | None, how: How
) -> dict[str, NDArray[np.int64]]:
    """Which region every pixel belongs to, shape (N, H, W), by way of cutting a picture up."""
    from fer_batch.explain.region_order import grid_segments
    from fer_batch.explain.segments import slic_segments
    from fer_batch.regions.face_parts import face_parts

    n, height, width, _ = pictures.shape
    if how.segments == "grid":
        side = max(1, round((height * width / how.n_segments) ** 0.5))
        cut = np.broadcast_to(grid_segments((height, width), side), (n, height, width))
    else:
        cut = np.stack([slic_segments(one, how.n_segments) for one in pictures])
    return {"segments": cut, **({} if points is None else {"parts": face_parts(points, height, width)})}


def _region(
    network: Any, inputs: NDArray[np.float32], images: Drawn, points: NDArray[np.float32] | None, options: Any
) -> Result | None:
    """Fall of the score where the region of the predicted target is hidden, beside as much elsewhere on the face."""
    from fer_batch.evaluate.faithfulness import against_chance
    from fer_batch.explain.perturbation import region_drops
    from fer_batch.regions.face_parts import NAMES, face_parts

    if points is None:
        return None
    shape = inputs.shape[2:]
    names = [images.model.targets[target] for target in images.targets]
    masks = np.stack([region_of(name, one, shape) for name, one in zip(names, points, strict=True)])
    if not masks.any():
        return None
    face = face_parts(points, *shape) != NAMES.index("surroundings")
    found = region_drops(network, inputs, images.targets, masks, options, within=face | masks)
    drop = against_chance(found.inside, found.elsewhere, images.subjects)
    return {"inside": _mean(drop.value), "elsewhere": _mean(drop.chance), "above_chance": drop.above_chance}


def region_of(target: str, landmarks: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a target shows, shape (height, width): the region of an Action Unit, or of those of an expression together.

    Parameters
    ----------
    target
        Empty regions are of targets without one.
    landmarks : shape (68, 2), pixels
    shape
        Height and width.
    """
    units = facs.EXPRESSION_UNITS.get(target)
    names = [target] if units is None else [facs.au_name(unit) for unit in units]
    found = [region_masks(landmarks[None], name, shape) for name in names]
    masks = [mask[0] for mask in found if mask is not None]
    return np.any(masks, axis=0) if masks else np.zeros(shape, bool)


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


def _region_section(title: str, result: Result) -> Section:
    inside, elsewhere = result["region"]["inside"], result["region"]["elsewhere"]
    said = {True: "more than", False: "no more than", None: "it is open whether more than"}
    lead = (
        f"Hiding the region of the predicted target costs {said[result['region']['above_chance']]} hiding as much of "
    )
    cells = (*(_rounded(v) for v in inside[:3]), _rounded(elsewhere[0]), inside[3], inside[4])
    columns = ("", "Fall of the score", "from", "to", "As much elsewhere", "Images", "People")
    table = DataTable(f"Fall of the {result['score']}", columns, (("its region hidden", *cells),))
    return Section(title, f"{lead}the face elsewhere. This is of the network alone, whatever explains it.", (table,))


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
