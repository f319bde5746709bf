"""The page of Action Unit cues: without and with, strength, layers, and each network by class (methods 14, SA)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fer_batch.evaluate.published_cues import BELHARBI, DATASETS
from fer_batch.pipeline.study.comparisons.cue_pairs import Aligned, Family, layers_of
from fer_batch.pipeline.study.comparisons.cue_sheets import example_sheet, mean_sheet, pair_sheet
from fer_batch.pipeline.study.comparisons.cue_tables import (
    last_layer,
    layers_table,
    macro,
    methods_table,
    networks_table,
    score_name,
    strengths_table,
)
from fer_batch.pipeline.study.cue_figures import Column, NetworkCues
from fer_batch.pipeline.study.cue_images import Codebook
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import Picture, Query
from fer_batch.visualize.comparisons import Curve, curves_figure, intervals_figure
from fer_batch.visualize.confusion import confusion_figure
from fer_batch.visualize.cosine_matrix import cosine_matrix_figure
from fer_batch.visualize.figure import save

NAME, TITLE = "action_unit_cues", "Does the network look where the Action Units are?"
TERMS = (
    ("Map of Action Units", "Ellipses about landmarks, for every Action Unit that the codebook gives to the true class "
     "of an image; of a network of Action Units, for those that are annotated. An image without landmarks, or of a "
     "class without Action Units such as neutral, has no map and counts in no cosine."),
    ("ATT-COS", "Cosine of that map with the attention of a layer, the mean of its channels. Every image has one, "
     "whatever is predicted."),
    ("CAM-COS", "Cosine of that map with the explanation of the true class, stretched from 0 to 1. Class activation "
     "maps count as they are; of other maps what speaks for the class."),
    ("Constant map", "What a map without any preference scores. A cosine near it says that nothing was found; only "
     "what lies above it is agreement."),
    ("Mean", "Unweighted over classes, so that rare expressions count as much as frequent ones."),
)  # fmt: skip


def cue_page(networks: Sequence[NetworkCues], found: Sequence[Family], dataset: str, book: Codebook) -> Comparison:
    """The page.

    Parameters
    ----------
    networks
        Of a study.
    found
        Its families.
    dataset
        Whose published figures stand beside, of `published_cues.DATASETS`.
    book
        That says where to look.
    """
    sections = [*_pairs(found, dataset), *_strengths(found, dataset), *_layers(found, dataset)]
    sections.append(Section("All networks", tables=(networks_table(networks),), notes=tuple(_left_out(networks, book))))
    sections += [_network(one) for one in networks]
    queries = (
        Query("cosines by class and layer", 'SELECT model, explain, metric, target, layer, fold, value, n, baseline\n'
              "FROM evaluation WHERE metric IN ('att_cos', 'cam_cos') ORDER BY model, metric, layer, target"),
    )  # fmt: skip
    return Comparison(NAME, TITLE, _lead(networks, found), tuple(sections), TERMS, queries=queries)


def _lead(networks: Sequence[NetworkCues], found: Sequence[Family]) -> str:
    pairs = [(family.without, one) for family in found if family.without for one in family.chosen]
    if pairs:
        none, one = pairs[0]
        title = f"{pairs[0][1].cues.title}: " if len(pairs) > 1 else ""
        name = score_name(one.cues).lower()
        return (
            f"{title}With maps of Action Units the attention of the last layer agrees with them at "
            f"{_shown(macro(one.cues, last_layer(one.cues)))}, without at "
            f"{_shown(macro(none.cues, last_layer(none.cues)))}; {name} {one.cues.score:.3f} against "
            f"{none.cues.score:.3f}."
        )
    said = (f"{one.title} {_shown(macro(one, last_layer(one) or one.columns[0]))}" for one in networks)
    constant = float(networks[0].table(constant=True).macro[0])
    return f"Mean cosine with maps of Action Units: {'; '.join(said)}; a constant map has {constant:.2f}."


def _shown(value: float | None) -> str:
    return "no figure" if value is None else f"{value:.2f}"


def _left_out(networks: Sequence[NetworkCues], book: Codebook) -> Iterator[str]:
    release = ", disgust as released" if book.disgust_release else ""
    yield f"Action Units of expressions: codebook {book.name}{release}."
    lost = {one.title: one.n_without for one in networks if one.n_without}
    if lost:
        shown = "; ".join(f"{n} of {title}" for title, n in lost.items())
        yield f"Left out, for they have no 68 landmarks: {shown} test images."


def _beside(dataset: str) -> str:
    return (
        f"Slanted: {BELHARBI} on {DATASETS[dataset]}, ResNet-50, the epoch chosen by the test part. They show the size "
        "of the effect on other faces and a larger network, and are no target."
    )


def _pairs(found: Sequence[Family], dataset: str) -> Iterator[Section]:
    table = methods_table(found, dataset)
    if table is not None:
        sheets = tuple(sheet for family in found if (sheet := pair_sheet(family)) is not None)
        yield Section("Without and with maps of Action Units", tables=(table,), figures=sheets,
                      notes=(_beside(dataset),))  # fmt: skip


def _strengths(found: Sequence[Family], dataset: str) -> Iterator[Section]:
    for family in found:
        table = strengths_table(family, dataset)
        if table is not None:
            title = f"Strength of the loss{f': {family.title}' if family.title else ''}"
            yield Section(title, tables=(table,), figures=(_strength_chart(family.strengths()),))


def _strength_chart(found: Sequence[Aligned]) -> Picture:
    """Accuracy and cosines over lambda, whose values stand side by side: they cover decades (methods 14, SA 5)."""
    columns = (*found[-1].cues.layers[-1:], *found[-1].cues.explanations)
    curves = {score_name(found[0].cues): Curve([one.cues.score for one in found])}
    for column in columns:
        name = f"ATT-COS {column.name}" if column.metric == "att_cos" else f"CAM-COS {column.name}"
        curves[name] = _curve(found, column)
    ticks = [f"{one.weight:g}" for one in found]
    chart = curves_figure(np.arange(len(found)), curves, "lambda", "share, or mean cosine",
                          titles={name: name for name in curves}, ticks=ticks)  # fmt: skip
    return Picture(save(chart), f"Accuracy and cosines at lambda {', '.join(ticks)}")


def _curve(found: Sequence[Aligned], column: Column) -> Curve:
    pooled = [one.cues.pooled(column) if column in one.cues.columns else None for one in found]
    mean, low, high = (
        [np.nan if one is None else getattr(one, name) for one in pooled] for name in ("mean", "low", "high")
    )
    return Curve(mean, low, high)


def _layers(found: Sequence[Family], dataset: str) -> Iterator[Section]:
    for family in found:
        table = layers_table(family, dataset)
        if table is not None:
            title = f"Layers that are aligned{f': {family.title}' if family.title else ''}"
            yield Section(title, tables=(table,), figures=tuple(_layer_charts(family.layer_sets())))


def _layer_charts(found: Sequence[Aligned]) -> Iterator[Picture]:
    """Cosines by what was aligned, with those of a constant map: of the first explanation and of the last layer."""
    cues = found[-1].cues
    for column in (*cues.explanations[:1], *cues.layers[-1:]):
        curve = _curve(found, column)
        constant = [float(one.cues.table(constant=True).macro[cues.columns.index(column)]) for one in found]
        label = f"{'CAM-COS' if column.metric == 'cam_cos' else 'ATT-COS'} {column.name}"
        assert curve.low is not None and curve.high is not None
        chart = intervals_figure([layers_of(one) for one in found], curve.y, curve.low, curve.high, label,
                                 chance=constant, chance_name="constant map", limits=(0, 1))  # fmt: skip
        yield Picture(save(chart), f"{label} by the layers that are aligned")


def _network(network: NetworkCues) -> Section:
    figures = [_confusion(network), _matrix(network), mean_sheet(network), example_sheet(network)]
    return Section(network.title, figures=tuple(figure for figure in figures if figure is not None))


def _confusion(network: NetworkCues) -> Picture | None:
    """The confusion matrix over all test images; None of Action Units."""
    model = network.folds[0].network.model
    if model.head != "softmax":
        return None
    counts = np.zeros((len(model.targets),) * 2, np.int64)
    for fold in network.folds:
        labels, logits = fold.network.labels, fold.network.logits
        known = (labels == 1).any(axis=1)
        np.add.at(counts, (labels[known].argmax(1), logits[known].argmax(1)), 1)
    chart = confusion_figure(counts, model.targets, normalise=True, title="Confusion")
    return Picture(save(chart), f"Shares of the true class, {network.title}")


def _matrix(network: NetworkCues) -> Picture:
    table, constant = network.table(), network.table(constant=True)
    names = [column.name if network.named else f"{place}  {column.name}"
             for place, column in enumerate(network.layers, 1)]  # fmt: skip
    names += [column.name for column in network.explanations]
    chart = cosine_matrix_figure(table.mean, table.classes, names, table.n.tolist(), mean=table.macro,
                                 constant=constant.macro, title="Cosine with maps of Action Units")  # fmt: skip
    return Picture(save(chart), f"Mean cosines by class, layer and explanation, {network.title}")
