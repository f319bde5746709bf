"""Whether what a map marks is what the network uses: regions are hidden in the order of their relevance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import numpy as np

from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.comparisons.figures import figure, number, numbers
from fer_batch.pipeline.study.comparisons.hiding import VERSION, How, measure
from fer_batch.pipeline.study.comparisons.networks import title_of
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.computed import Result, Task, computed
from fer_batch.pipeline.study.images import drawn, landmarks_of, maps_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.comparisons import nothing_done
from fer_batch.report.page import DataTable, Picture
from fer_batch.visualize.comparisons import Curve, curves_figure
from fer_batch.visualize.figure import save

TITLE = "Does the map mark what the network uses?"
WAYS = {
    "segments": "Superpixels of the picture",
    "parts": "Parts of the face",
}
METRICS = {"segments": "aopc", "parts": "area_over"}  # in table `evaluation`
LEAD = (
    "Regions are hidden one after another, the one with the most relevance first. Where the map marks what the network "
    "uses, its score falls sooner than when regions are hidden in random order."
)
OF_PARTS = (
    "Parts differ in size, so curves are over the share of pixels hidden: a method and random orders are compared "
    "where as much of the picture is hidden, and hiding a large part first gains nothing by itself."
)
TERMS = (
    ("Area over the curve", "Mean fall of the score of the predicted class: over all steps for superpixels (Samek et "
     "al. 2017), over the share of pixels hidden for parts of the face."),
    ("Random order", "The same regions in random orders: what hiding as much of the face costs anyway."),
    ("Better than random", "Yes where the whole interval of the difference lies above 0, no where none of it does, "
     "open where it holds 0 or where there are too few people for one."),
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
    score: Literal["logit", "softmax", "sigmoid"] = "logit",
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
        Of the predicted class.

    Raises
    ------
    InputError
        If `segments` or `score` is none of these, or a number is no whole number from 1.
    """
    how = How(segments, n_segments, n_random, score)
    check_options("faithfulness", {"images": images, **asdict(how)})
    tasks = {network.title: _task(work, network, images, how) for network in work.shown()}
    if not tasks:
        return Compared(nothing_done("faithfulness", TITLE))
    wanted = {title: task for title, task in tasks.items() if task is not None}
    found = dict(zip(wanted, computed(work, "faithfulness", list(wanted.values())), strict=True))
    sections: list[Section] = []
    rows: list[Measured] = []
    for network in work.shown():
        suffix = f": {title_of(work, network)}" if len(tasks) > 1 else ""
        sections += _sections(found.get(network.title), suffix)
        rows += _rows(network, found.get(network.title))
    return Compared(Comparison("faithfulness", TITLE, LEAD, tuple(sections), TERMS), tuple(rows))


def _task(work: StudyWork, network: StudyNetwork, n: int, how: How) -> Task | None:
    """None where the network finds nothing in any of its images."""
    sample = drawn(work, network, n)
    if not sample.numbers:
        return None
    maps = maps_of(work, network, sample)
    cells = {variant: cell.key for variant, cell in work.of_network(network).items()}
    arguments = (sample, list(maps), np.stack(list(maps.values())), landmarks_of(sample), how)
    return Task(measure, arguments, (VERSION, *sample.identity, cells, asdict(how)))


def _sections(result: Result | None, suffix: str) -> list[Section]:
    """What the page says of one network."""
    if result is None:
        return [Section(f"Nothing hidden{suffix}", notes=("It finds no target in any of its images.",))]
    found = [_section(f"{title}{suffix}", result, way) for way, title in WAYS.items() if way in result["curves"]]
    found.append(_pixel_section(f"Single pixels{suffix}", result))
    if result["region"]:
        found.append(_region_section(f"The region of the target{suffix}", result))
    return found


def _section(title: str, result: Result, way: str) -> Section:
    found = result["curves"][way]
    figures = [figure(name, one) for name, one in zip(result["methods"], found["difference"], strict=True)]
    rows = [
        (name, number(area[0]), number(chance[0]), *numbers(difference[:3]), _SAID[above], *difference[3:])
        for name, area, chance, difference, above in zip(
            result["methods"], found["area"], found["random"], found["difference"], found["above_chance"], strict=True
        )
    ]
    columns = ("Method", "Area", "Random order", "Difference", "95 % from", "to", "Better than random", "Images",
               "People")  # fmt: skip
    table = DataTable(f"Area over the curve, {result['score']}", columns, tuple(rows))
    chart = interval_chart(figures, f"area beyond random order, {result['score']}", level=("random order", 0.0))
    curves = {name: Curve(numbers(one)) for name, one in zip(result["methods"], found["curve"], strict=True)}
    over = "share of pixels hidden" if found["by_area"] else "regions hidden"
    reference = Curve(numbers(found["random_curve"]))
    drawn_curves = curves_figure(found["x"], curves, over, result["score"], reference=reference)
    alt = f"Mean {result['score']} over {over} of every method and of random order"
    lead = f"{OF_PARTS} {_marked(result)}" if found["by_area"] else ""
    return Section(title, lead.strip(), tables=(table,), figures=(chart, Picture(save(drawn_curves), alt)))


_SAID = {True: "yes", False: "no", None: "open"}


def _marked(result: Result) -> str:
    """How many images have landmarks, where not all have."""
    n, n_marked = result["n_images"], result["n_marked"]
    return "" if n == n_marked else f"Landmarks are known of {n_marked} of the {n} images; the others are left out."


def _pixel_section(title: str, result: Result) -> Section:
    rows = tuple(
        (name, *numbers(deletion[:3]), *numbers(insertion[:3]))
        for name, deletion, insertion in zip(result["methods"], result["deletion"], result["insertion"], strict=True)
    )
    columns = ("Method", "Deletion", "from", "to", "Insertion", "from", "to")
    return Section(title, tables=(DataTable(f"Area under the curve, {result['score']}", columns, rows),))


def _region_section(title: str, result: Result) -> Section:
    found = result["region"]
    inside, elsewhere, difference = found["inside"], found["elsewhere"], found["difference"]
    lead = {
        True: "Hiding the region of the predicted target costs more than hiding as much of the face elsewhere.",
        False: "Hiding the region of the predicted target costs no more than hiding as much of the face elsewhere.",
        None: "Whether hiding the region of the predicted target costs more than hiding as much of the face elsewhere "
        "is open.",
    }[found["above_chance"]]
    cells = (number(inside[0]), number(elsewhere[0]), *numbers(difference[:3]), *difference[3:])
    columns = ("", "Fall of the score", "As much elsewhere", "Difference", "95 % from", "to", "Images", "People")
    table = DataTable(f"Fall of the {result['score']}", columns, (("its region hidden", *cells),))
    said = f"{lead} This is of the network alone, whatever explains it. {_marked(result)}"
    return Section(title, said.strip(), tables=(table,))


def _rows(network: StudyNetwork, result: Result | None) -> list[Measured]:
    if result is None:
        return []
    named = enumerate(result["methods"])
    return [row for place, name in named for row in _rows_of(name, network.model.model_id, result, place)]


def _rows_of(name: str, model: str, result: Result, place: int) -> list[Measured]:
    rows = []
    for way, found in result["curves"].items():
        metric, difference = METRICS[way], found["difference"][place]
        for suffix, value in zip(("", "_low", "_high"), difference, strict=False):
            row = Measured(f"{metric}_beyond_random{suffix}", value, difference[3], name, model, 0.0, group=way)
            rows.append(row)
        area, chance = found["area"][place], found["random"][place]
        rows.append(Measured(metric, area[0], area[3], name, model, chance[0], group=way))
    for metric in ("deletion", "insertion"):
        value, *_, n, _ = result[metric][place]
        rows.append(Measured(f"{metric}_auc", value, n, name, model))
    return rows
