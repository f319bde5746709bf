"""What the pages of the usual comparisons say around their figures: plain records in, a `Comparison` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import DataTable, Picture, Published, Query
from fer_batch.report.text import duration

_BY_SUBJECT = (
    "95 % interval",
    "Images of one person are alike, so people are the witnesses, not images: the interval is that of t by person.",
)
_ALIKE = 0.9  # mean correlation from which two maps are one picture to an eye


@dataclass(frozen=True)
class MethodFigure:
    """A mean of one method with its interval by subject; NaN where undefined.

    Attributes
    ----------
    method
        As pages name it.
    mean, low, high
        Of the figure, and its interval.
    n, n_subjects
        Images, and the people behind the interval.
    chance
        What the mean would be by chance; None where the comparison has no such level.
    note
        For example that a method has no target.
    """

    method: str
    mean: float
    low: float
    high: float
    n: int
    n_subjects: int
    chance: float | None = None
    note: str = ""


def grids(sections: Sequence[tuple[str, Picture]], lead: str = "") -> Comparison:
    """People by classes, one section per method or view of a method (methods PD-j).

    Parameters
    ----------
    sections
        (title of the method, its grid).
    lead
        Who and what is shown.
    """
    return Comparison(
        "grids",
        "The same faces under every method",
        lead or "Each grid shows people in rows and their classes in columns, under one method.",
        tuple(Section(title, figures=(picture,)) for title, picture in sections),
        (
            ("Titles", "The annotated class, then the predicted one. The map is that of the class that was explained."),
            ("Strength", "Every map is scaled by itself: colours compare places in a map, not one map with another."),
        ),
    )


def folds(
    table: DataTable,
    lead: str,
    curves: Sequence[Picture] = (),
    reports: Sequence[DataTable] = (),
    matrices: Sequence[Picture] = (),
) -> Comparison:
    """How well every fold's network answers on the people it never saw (methods PD-e).

    Parameters
    ----------
    table
        One row per fold, then their mean, published figures beside ours.
    lead
        The mean, and the best fold.
    curves, matrices
        Of the training, and confusion matrices, raw and normalised.
    reports
        Precision, recall and F1 of every class.
    """
    parts = (
        Section("Folds", "The people are dealt out over the folds; each network is tested on those of its own fold.",
                (table,)),
        Section("Training", figures=tuple(curves)),
        Section("Classes", tables=tuple(reports), figures=tuple(matrices)),
    )  # fmt: skip
    shown = tuple(part for part in parts if part.tables or part.figures)
    return Comparison("fold_table", "How well do the networks answer?", lead, shown)


def misclassified(pairs: Sequence[Picture], stills: Sequence[Picture] = ()) -> Comparison:
    """Pairs of one person under every method, and stills of other data sets (methods PD-j, PD-k).

    Parameters
    ----------
    pairs
        Two images of one person each, of which the network gets one wrong.
    stills
        Panels of images that no training saw.
    """
    lead_pairs = "Two images of one person, of which the network gets one wrong: what does it look at in each?"
    lead_stills = "Images of other collections, cropped in the same way. No network of the study was trained on them."
    parts = (
        Section("Pairs of one person", lead_pairs, figures=tuple(pairs)),
        Section("Stills of other data sets", lead_stills, figures=tuple(stills)),
    )
    return Comparison(
        "misclassified",
        "Right and wrong answers under every method",
        f"{_counted(len(pairs), 'pair')} of one person" + (" and stills of other data sets." if stills else "."),
        tuple(part for part in parts if part.figures),
    )


def class_discrimination(figures: Sequence[MethodFigure], chart: Picture, queries: Sequence[Query] = ()) -> Comparison:
    """How much a method's map depends on the class that is asked (methods PD-m).

    Parameters
    ----------
    figures
        Mean correlation between the maps of two classes on one image.
    chart
        The same as dots and intervals.
    queries
        SQL that gives the rows.
    """
    alike = [figure.method for figure in figures if figure.mean >= _ALIKE]
    defined = [figure for figure in figures if figure.mean == figure.mean]
    lead = (
        f"{len(alike)} of {_counted(len(defined), 'method')} draw nearly the same map whatever class is asked "
        f"(mean correlation from {_ALIKE:g}){': ' + ', '.join(alike) if alike else ''}."
    )
    terms = (
        ("Mean correlation", "Of the maps of any two classes on the same image (Pearson, over pixels), averaged over "
         "pairs of classes and images. 1: the same picture for every class; 0: nothing in common; below 0: what speaks "
         "for one class speaks against the other."),
        ("A method without a target", "Such as guided backpropagation from the last convolution: it cannot tell "
         "classes apart, whatever the network does, and its correlation is 1."),
        _BY_SUBJECT,
    )  # fmt: skip
    table = _figures_table("Mean correlation of a method's maps between classes", "Mean correlation", figures)
    section = Section("The figures", tables=(table,), figures=(chart,))
    return Comparison("class_discrimination", "Does the map depend on the class?", lead, (section,), terms,
                      queries=tuple(queries))  # fmt: skip


def randomisation(
    figures: Sequence[MethodFigure], curves: Picture, insensitive: Sequence[str], queries: Sequence[Query] = ()
) -> Comparison:
    """Whether a map changes when the network's weights are shuffled (Adebayo et al. 2018).

    Parameters
    ----------
    figures
        Similarity to the map of the trained network when every layer is shuffled; `chance` of unrelated maps.
    curves
        The same over the number of layers, with the band of chance.
    insensitive
        Methods whose maps stay alike, as the comparison decides it.
    queries
        SQL that gives the rows.
    """
    found = ", ".join(insensitive)
    lead = (
        f"The maps of {found} stay alike when the network's weights are shuffled: they show the image, not what the "
        "network learned."
        if insensitive
        else "The maps of every method change when the network's weights are shuffled."
    )
    terms = (
        ("Randomised layers", "Weights are shuffled layer by layer from the output down; the network then knows "
         "nothing of its task in those layers."),
        ("Similarity", "Of the map of the shuffled network with that of the trained one, on the same image and class. "
         "A curve that stays high means that the picture does not depend on what the network learned."),
        ("Chance", "Similarity of maps that have nothing to do with each other."),
        _BY_SUBJECT,
    )  # fmt: skip
    table = _figures_table("Similarity with every layer randomised", "Similarity", figures)
    section = Section("The figures", tables=(table,), figures=(curves,))
    return Comparison("randomisation", "Does the map depend on what the network learned?", lead, (section,), terms,
                      queries=tuple(queries))  # fmt: skip


def faithfulness(
    figures: Sequence[MethodFigure], pictures: Sequence[Picture], unit: str, queries: Sequence[Query] = ()
) -> Comparison:
    """Whether removing what a map marks takes the answer away, more than removing anything.

    Parameters
    ----------
    figures
        Area over the perturbation curve; `chance` of random order.
    pictures
        Dots and intervals, and the curves.
    unit
        Of the area, such as `logits`.
    queries
        SQL that gives the rows.
    """
    known = [figure for figure in figures if figure.low == figure.low and figure.chance is not None]
    better = sum(figure.low > (figure.chance or 0.0) for figure in known)
    lead = f"{better} of {_counted(len(known), 'method')} mark what the network needs better than a random order does."
    terms = (
        ("Area over the curve", f"Regions are removed, those with the most relevance first; the area, in {unit}, is "
         "the mean loss of the score on the way. The larger, the earlier the score falls."),
        ("Random order", "The same regions removed in random order. A method whose interval reaches down to it marks "
         "nothing that the network needs more than the rest."),
        _BY_SUBJECT,
    )  # fmt: skip
    table = _figures_table(f"Area over the perturbation curve, {unit}", "Area", figures, "Random order")
    section = Section("The figures", tables=(table,), figures=tuple(pictures))
    return Comparison("faithfulness", "Does the map mark what the network needs?", lead, (section,), terms,
                      queries=tuple(queries))  # fmt: skip


def runtime(
    seconds: Mapping[str, float],
    chart: Picture,
    published: Mapping[str, tuple[float, float]] | None = None,
    source: str = "",
    machine: str = "",
) -> Comparison:
    """Seconds per image of every method (methods PD-l).

    Parameters
    ----------
    seconds
        By method; NaN where not measured.
    chart
        The same as bars.
    published
        Shortest and longest duration that a paper says, by method.
    source
        Which paper.
    machine
        Where it was measured.
    """
    printed = published or {}
    rows = tuple(
        (name, value, *([Published(_span(printed[name])) if name in printed else None] * bool(printed)))
        for name, value in seconds.items()
    )
    columns = ("Method", "Seconds per image", *(["Published"] * bool(printed)))
    caption = "Of the method alone, decoding and finding the face left out" + (f"; {machine}" if machine else "") + "."
    known = {name: value for name, value in seconds.items() if value == value}
    slowest, fastest = (f(known, key=known.__getitem__) if known else "" for f in (max, min))
    lead = (
        f"One image takes {duration(known[fastest])} with {fastest} and {duration(known[slowest])} with {slowest}."
        if known
        else "No method was measured."
    )
    table = DataTable("Runtime of the methods", columns, rows, caption, source if printed else "")
    return Comparison("runtime", "What an explanation costs", lead, (Section("The figures", "", (table,), (chart,)),))


def _figures_table(title: str, name: str, figures: Sequence[MethodFigure], chance: str = "Chance") -> DataTable:
    with_chance = any(figure.chance is not None for figure in figures)
    with_notes = any(figure.note for figure in figures)
    columns = ("Method", name, "95 % from", "to", *([chance] * with_chance), "Images", "People",
               *(["Note"] * with_notes))  # fmt: skip
    rows = tuple(
        (figure.method, figure.mean, figure.low, figure.high, *([figure.chance] * with_chance), figure.n,
         figure.n_subjects, *([figure.note] * with_notes))
        for figure in figures
    )  # fmt: skip
    return DataTable(title, columns, rows, decimals=3)


def _span(printed: tuple[float, float]) -> str:
    low, high = printed
    return duration(low) if low == high else f"{duration(low)} to {duration(high)}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'s'[: n != 1]}"
