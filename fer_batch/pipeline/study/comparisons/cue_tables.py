"""Tables of networks without and with maps of Action Units, in the layout of Belharbi et al. (2024; methods 13.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fer_batch.evaluate.published_cues import BELHARBI, DATASETS, LAYERS, METHODS, STRENGTHS, printed_method
from fer_batch.pipeline.study.comparisons.cue_pairs import Aligned, Family, layers_of
from fer_batch.pipeline.study.cue_figures import Column, NetworkCues
from fer_batch.report.page import DataTable, Published

Cells = tuple[object, ...]


def score_name(network: NetworkCues) -> str:
    """What `NetworkCues.score` is called."""
    return "Accuracy" if network.folds[0].network.model.head == "softmax" else "Mean F1"


def macro(network: NetworkCues | None, column: Column | None) -> float | None:
    """Mean over classes of a column; None where there is none."""
    if network is None or column is None or column not in network.columns:
        return None
    value = network.pooled(column).mean
    return None if math.isnan(value) else value


def last_layer(network: NetworkCues | None) -> Column | None:
    """The layer whose attention tables show."""
    return network.layers[-1] if network is not None and network.layers else None


def networks_table(networks: Sequence[NetworkCues]) -> DataTable:
    """Every network: how often it is right, ATT-COS of its last layer with interval, CAM-COS of every explanation.

    Parameters
    ----------
    networks
        Of a study.
    """
    variants = list(dict.fromkeys(column for one in networks for column in one.explanations))
    rows: list[Cells] = []
    for one in networks:
        layer = last_layer(one)
        found = one.pooled(layer) if layer else None
        ends = (None, None) if found is None else (_known(found.low), _known(found.high))
        constant = one.table(constant=True).macro
        attention = (layer.name if layer else None, macro(one, layer), *ends, _known(float(constant[0])))
        cams = tuple(macro(one, column) for column in variants)
        rows.append((one.title, _known(one.score), *attention, *cams, int(one.table().n.sum()), _people(one)))
    columns = ("Network", score_name(networks[0]), "Layer", "ATT-COS", "95 % from", "to", "Constant map",
               *(f"CAM-COS {column.name}" for column in variants), "Images", "Intervals by")  # fmt: skip
    return DataTable("Means over classes", columns, tuple(rows), "Each class counts once.", decimals=3)


def _people(network: NetworkCues) -> str:
    if not network.by_subject:
        return "image"
    n = len({name for fold in network.folds for name in fold.subjects})
    return f"person ({n})"


def methods_table(found: Sequence[Family], dataset: str) -> DataTable | None:
    """Methods without and with maps of Action Units; None where no two networks differ in them alone.

    Parameters
    ----------
    found
        Families of the study.
    dataset
        Whose published figures stand below, of `published_cues.DATASETS`.
    """
    rows: list[Cells] = []
    pairs = [(family, one) for family in found if family.without for one in family.chosen]
    if not pairs:
        return None
    for family, one in pairs:
        for column in one.cues.explanations:
            rows.append(_pair(family, one, column, f"{column.name}{_beside(family, one)}"))
            name = printed_method(_method(one.cues, column), _words(family, one.cues))
            printed = METHODS[dataset].get(name or "")
            if printed is not None:
                shown = [*printed.accuracy, *(printed.cam or (None, None)), None, *printed.attention]
                rows.append((f"  published, {DATASETS[dataset]}", *map(_printed, shown)))
    score = score_name(pairs[0][1].cues)
    columns = ("Method", score, "with maps", "CAM-COS", "with maps", "Constant map", "ATT-COS", "with maps")
    caption = "The first of two columns: trained without maps of Action Units. ATT-COS is of the last layer."
    return DataTable("Without and with maps of Action Units", columns, tuple(rows), caption, BELHARBI, decimals=3)


def _words(family: Family, network: NetworkCues) -> tuple[str, ...]:
    """What tells a method that is trained: what varies, and what every network of the study may share."""
    model = network.folds[0].network.model
    shared = (model.architecture, model.options.get("head"))
    return (*family.words, *(word for word in shared if isinstance(word, str)))


def _beside(family: Family, one: Aligned) -> str:
    """What distinguishes a row beside its explanation."""
    parts = [family.title] if family.title else []
    if len(family.chosen) > 1:
        parts += [f"lambda {one.weight:g}", layers_of(one)]
    return f" ({', '.join(parts)})" if parts else ""


def _pair(family: Family, one: Aligned, column: Column, name: str) -> Cells:
    none = family.without.cues if family.without else None
    layer = last_layer(one.cues)
    constant = one.cues.table(constant=True).macro[one.cues.columns.index(column)]
    return (
        name,
        None if none is None else _known(none.score),
        _known(one.cues.score),
        macro(none, column),
        macro(one.cues, column),
        _known(float(constant)),
        macro(none, layer),
        macro(one.cues, layer),
    )


def strengths_table(family: Family, dataset: str) -> DataTable | None:
    """Figures by lambda; None where the strength of the loss does not vary.

    Parameters
    ----------
    family
        Networks that differ in their alignment.
    dataset
        As for `methods_table`; figures by lambda are printed of RAF-DB.
    """
    found = family.strengths()
    if not found:
        return None
    variants = found[-1].cues.explanations
    rows: list[Cells] = [(one.weight, *_figures(one.cues, variants)) for one in found]
    if dataset == "raf_db" and any(_method(found[-1].cues, column) == "cam" for column in variants):
        for weight, (accuracy, cam, attention) in STRENGTHS.items():
            cams = [cam if _method(found[-1].cues, column) == "cam" else None for column in variants]
            rows.append((Published(weight), *map(_printed, (accuracy, attention, *cams))))
    columns = ("Lambda", *_headings(found[-1].cues, variants))
    caption = f"Aligned: {layers_of(found[-1])}. 0: without maps."
    return DataTable("Strength of the loss", columns, tuple(rows), caption, BELHARBI, decimals=3)


def layers_table(family: Family, dataset: str) -> DataTable | None:
    """Figures by the layers that are aligned; None where these do not vary.

    Parameters
    ----------
    family
        Networks that differ in their alignment.
    dataset
        As for `methods_table`; figures by layer are printed of RAF-DB.
    """
    found = family.layer_sets()
    if not found:
        return None
    variants = found[-1].cues.explanations
    rows = [row for one in found for row in _layer_rows(one, variants, dataset)]
    columns = ("Aligned", "Number", *_headings(found[-1].cues, variants))
    caption = f"Lambda {found[-1].weight:g}. Layers are numbered from the input on, as in the paper."
    return DataTable("Layers that are aligned", columns, tuple(rows), caption, BELHARBI, decimals=3)


def _layer_rows(one: Aligned, variants: Sequence[Column], dataset: str) -> Iterator[Cells]:
    numbers = one.layer_numbers
    shown = "+".join(str(number) for number in reversed(numbers or ()))
    yield (layers_of(one), shown or None, *_figures(one.cues, variants))
    printed = LAYERS.get(numbers) if numbers is not None and len(one.cues.layers) == 5 else None
    if printed is not None and dataset == "raf_db" and any(_method(one.cues, column) == "cam" for column in variants):
        accuracy, cam = printed
        cams = [cam if _method(one.cues, column) == "cam" else None for column in variants]
        yield ("  published, RAF-DB", None, *map(_printed, (accuracy, None, *cams)))


def _headings(network: NetworkCues, variants: Sequence[Column]) -> tuple[str, ...]:
    return (score_name(network), "ATT-COS", *(f"CAM-COS {column.name}" for column in variants))


def _figures(network: NetworkCues, variants: Sequence[Column]) -> Cells:
    cams = (macro(network, column) for column in variants)
    return (_known(network.score), macro(network, last_layer(network)), *cams)


def _method(network: NetworkCues, column: Column) -> str:
    """Method of an explanation, without what else varies in its name."""
    return column.name.partition(" (")[0]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _printed(value: float | None) -> Published | None:
    return None if value is None else Published(value)
