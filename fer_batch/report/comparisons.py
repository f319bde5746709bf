"""What the pages of the usual comparisons say around their figures: plain records in, a `Comparison` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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
        As pages name it, with the network where there are several.
    mean, low, high
        Of the figure, and its interval.
    n, n_subjects
        Images, and the people behind the interval.
    chance
        What the mean would be by chance; None where the comparison has no such level.
    note
        For example that a method has no target.
    network
        Its id in the tables; empty where there is one only.
    """

    method: str
    mean: float
    low: float
    high: float
    n: int
    n_subjects: int
    chance: float | None = None
    note: str = ""
    network: str = ""


Finding = Literal["image", "picture", "changes", "open"]
# What a randomisation check finds, as tables say it.
FINDINGS: Mapping[Finding, str] = MappingProxyType(
    {
        "image": "follows the image",
        "picture": "always the same picture",
        "changes": "changes with the weights",
        "open": "open: the interval includes the margin",
    }
)


@dataclass(frozen=True)
class Randomised:
    """What a randomisation check finds of one method.

    Attributes
    ----------
    own
        Similarity to the map of the same image minus that of other people, over all depths.
    residual
        Similarity with every layer shuffled; `chance` is that of other people's maps.
    finding
        `image`, where `own` is surely above the margin; else `picture`, where the residual is surely high; `changes`,
        where surely neither; `open`, where the intervals leave it open.
    """

    own: MethodFigure
    residual: MethodFigure
    finding: Finding


def nothing_done(name: str, title: str) -> Comparison:
    """A page for a study none of whose cells is done.

    Parameters
    ----------
    name, title
        Of the page.
    """
    return Comparison(name, title, "No explanation of the study is done, so there is nothing to compare.", ())


def grids(sections: Sequence[Section], lead: str = "") -> Comparison:
    """People by classes, one section per method or view of a method (methods PD-j).

    Parameters
    ----------
    sections
        Title of the method, and its grid.
    lead
        Who and what is shown.
    """
    return Comparison(
        "grids",
        "The same faces under every method",
        lead or "Each grid shows people in rows and their classes in columns, under one method.",
        tuple(sections),
        (
            ("Titles", "The annotated class, then the predicted one. The map is that of the class that was explained."),
            ("Strength", "Every map is scaled by itself: colours compare places in a map, not one map with another."),
        ),
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
        f"(mean correlation from {_ALIKE:g}){': ' + _listed(alike) if alike else ''}."
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
    found: Sequence[Randomised], pictures: Sequence[Picture], margin: float, same: float, queries: Sequence[Query] = ()
) -> Comparison:
    """Whether a map changes when the network's weights are shuffled (Adebayo et al. 2018).

    Parameters
    ----------
    found
        Of every method of every network.
    pictures
        Dots and intervals of `own`, and the similarity over the number of layers.
    margin
        From which `own` a map follows the image.
    same
        From which residual a map counts as the same picture.
    queries
        SQL that gives the rows.
    """
    terms = (
        ("Randomised layers", "Weights are shuffled layer by layer from the output down; the network then knows "
         "nothing of its task in those layers."),
        ("Similarity", "Rank correlation of the map of the shuffled network with that of the trained one, on the same "
         "image and class. A curve that stays high means that the picture does not depend on what the network "
         "learned."),
        ("Follows the image", f"Similarity to the map of the same image minus that to maps of other people's faces, "
         f"averaged over all depths, is surely above the margin of {margin:g}: the map redraws its input, whatever the "
         "network knows."),
        ("Always the same picture", f"It does not follow the image by so much, yet with every weight shuffled the "
         f"similarity is still surely above {same:g}: most of what it shows was there before anything was learned."),
        ("Chance", "Similarity of the trained map of one person with the shuffled map of another: faces are aligned, "
         "so that any two maps are alike to some degree."),
        _BY_SUBJECT,
    )  # fmt: skip
    section = Section("The figures", tables=(_randomised_table(found, margin),), figures=tuple(pictures))
    return Comparison("randomisation", RANDOMISATION, _randomised_lead(found), (section,), terms,
                      queries=tuple(queries))  # fmt: skip


RANDOMISATION = "Does the map depend on what the network learned?"


def _randomised_lead(found: Sequence[Randomised]) -> str:
    """Every kind of finding in a sentence of its own."""
    named: dict[Finding, list[str]] = {}
    for one in found:
        named.setdefault(one.finding, []).append(one.own.method)
    said: tuple[tuple[Finding, str], ...] = (
        ("image", "The maps of {} follow the image when the network's weights are shuffled: in part they show the "
         "image, not what the network learned."),
        ("picture", "The maps of {} stay the same picture when every weight is shuffled: it was there before anything "
         "was learned."),
        ("open", "Of {} it is open: the margin lies in the interval, or too few people for one were explained."),
        ("changes", "The maps of {} change with the weights."),
    )  # fmt: skip
    if set(named) == {"changes"}:
        return "The maps of every method change when the network's weights are shuffled."
    return " ".join(words.format(_listed(named[kind])) for kind, words in said if kind in named)


def _randomised_table(found: Sequence[Randomised], margin: float) -> DataTable:
    several = any(one.own.network for one in found)
    columns = ("Method", *(["Network"] * several), "Own", "95 % from", "to", "All shuffled", "95 % from", "to",
               "Chance", "Images", "People", "Finding")  # fmt: skip
    rows = tuple(
        (one.own.method, *([one.own.network] * several), one.own.mean, one.own.low, one.own.high, one.residual.mean,
         one.residual.low, one.residual.high, one.residual.chance, one.own.n, one.own.n_subjects,
         FINDINGS[one.finding])
        for one in found
    )  # fmt: skip
    caption = f"Own: similarity beyond that of other people, over all depths; the margin is {margin:g}."
    return DataTable("Rank correlation with the trained map", columns, rows, caption, decimals=3)


def runtime(
    seconds: Mapping[str, float],
    chart: Picture | None,
    published: Mapping[str, tuple[float, float]] | None = None,
    source: str = "",
    machine: str = "",
    networks: Mapping[str, str] | None = None,
) -> Comparison:
    """Seconds per image of every method (methods PD-l).

    Parameters
    ----------
    seconds
        By method; NaN where not measured.
    chart
        The same as bars; None where nothing was measured.
    published
        Shortest and longest duration that a paper says, by method.
    source
        Which paper.
    machine
        Where it was measured.
    networks
        Id of the network of each method, where there are several.
    """
    printed, ids = published or {}, networks or {}
    rows = tuple(
        (
            name,
            *([ids.get(name)] * bool(ids)),
            value,
            *([Published(_span(printed[name])) if name in printed else None] * bool(printed)),
        )
        for name, value in seconds.items()
    )
    columns = ("Method", *(["Network"] * bool(ids)), "Seconds per image", *(["Published"] * bool(printed)))
    caption = "Of the method alone, decoding and finding the face left out" + (f"; {machine}" if machine else "") + "."
    known = {name: value for name, value in seconds.items() if value == value}
    slowest, fastest = (f(known, key=known.__getitem__) if known else "" for f in (max, min))
    lead = (
        f"One image takes {duration(known[fastest])} with {fastest} and {duration(known[slowest])} with {slowest}."
        if known
        else "No method was measured."
    )
    table = DataTable("Runtime of the methods", columns, rows, caption, source if printed else "")
    section = Section("The figures", tables=(table,), figures=(chart,) if chart else ())
    return Comparison("runtime", "What an explanation costs", lead, (section,))


def _figures_table(title: str, name: str, figures: Sequence[MethodFigure]) -> DataTable:
    with_chance = any(figure.chance is not None for figure in figures)
    with_notes = any(figure.note for figure in figures)
    several = any(figure.network for figure in figures)
    columns = ("Method", *(["Network"] * several), name, "95 % from", "to", *(["Chance"] * with_chance), "Images",
               "People", *(["Note"] * with_notes))  # fmt: skip
    rows = tuple(
        (figure.method, *([figure.network] * several), figure.mean, figure.low, figure.high,
         *([figure.chance] * with_chance), figure.n, figure.n_subjects, *([figure.note] * with_notes))
        for figure in figures
    )  # fmt: skip
    return DataTable(title, columns, rows, decimals=3)


def _span(printed: tuple[float, float]) -> str:
    low, high = printed
    return duration(low) if low == high else f"{duration(low)} to {duration(high)}"


def _listed(names: Sequence[str]) -> str:
    """Names after each other; names that have a comma, by semicolons."""
    return ("; " if any("," in name for name in names) else ", ").join(names)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'s'[: n != 1]}"
