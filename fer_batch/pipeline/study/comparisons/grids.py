"""The same images under every explanation: grids of people by classes, misclassified pairs, other datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fer_batch.pipeline.study.comparison import Compared
from fer_batch.pipeline.study.comparisons.networks import title_of, trained
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.comparisons.samples import Sample, explain_samples, labels_of, samples_of
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.registry import nearest
from fer_batch.report import comparisons as pages
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import Picture
from fer_batch.storage.crop_set import open_crops
from fer_batch.types import InputError
from fer_batch.visualize.figure import save
from fer_batch.visualize.grid import Explained, comparison_grid, methods_figure
from fer_batch.visualize.rendering import view_title, views


def grids(work: StudyWork, *, people: int = 4, columns: Mapping[str, str] | None = None) -> Compared:
    """People by classes under every explanation, each cell titled true / predicted (PD-j).

    People are those of all folds of a training, everyone explained by the network of their fold.

    Parameters
    ----------
    work
        The study.
    people
        Rows of a grid.
    columns
        Title to the label that the source gives: `{pain3: PA3, pain4: PA4, disgust: disgust, happiness: happiness}`.
        The classes of the network where it is not given.

    Raises
    ------
    InputError
        If `people` is no whole number from 1, or no crop of a network has a label of `columns`.
    """
    check_options("grids", {"people": people, "columns": columns})
    sections: list[Section] = []
    networks = trained(work)
    for folds in networks.values():
        titles = dict(columns) if columns else {target: target for target in folds[0].model.targets}
        if columns:
            _check_columns(titles, folds)
        samples = [one for network in folds for one in samples_of(work, network)]
        chosen = _people_by_columns(samples, list(titles.values()), people)
        if not chosen:
            none = ("The network finds nothing in any image that is explained.",)
            sections.append(Section(title_of(work, folds[0], fold=False), notes=none))
            continue
        explained = explain_samples(work, [one for row in chosen.values() for one in row if one])
        table = [
            [explained[one.place] if one else Explained(reason="no such image") for one in row]
            for row in chosen.values()
        ]
        notes = _blank(titles, chosen)
        rows = _row_names(chosen)
        name = title_of(work, folds[0], fold=False)
        for variant, look in views(_variants(work, folds)):
            chart = comparison_grid(table, rows, list(titles), variant, look)
            title = view_title(variant, look)
            alt = f"{len(chosen)} people by {', '.join(titles)}: maps of {title}, {name}"
            picture = Picture(save(chart), alt, f"{name}{_EVERYONE if len(folds) > 1 else ''}")
            sections.append(
                Section(f"{title}: {name}" if len(networks) > 1 else title, figures=(picture,), notes=notes)
            )
    lead = "Rows are people, columns what they show; each cell says what is true, then what the network predicts."
    return Compared(pages.grids(sections, f"{lead} The map explains the predicted class."))


_EVERYONE = "; everyone is explained by the network of their fold, which was trained without them"


def misclassified(work: StudyWork, *, pairs: int = 2) -> Compared:
    """Pairs of images of one person that show the same and of which one is misclassified (PD-j).

    Parameters
    ----------
    work
        The study.
    pairs
        At most so many for each training, of people of all its folds, and for each network that was given.

    Raises
    ------
    InputError
        If `pairs` is no whole number from 1.
    """
    check_options("misclassified", {"pairs": pairs})
    sections = []
    for folds in trained(work).values():
        found = _pairs([one for network in folds for one in samples_of(work, network)])[:pairs]
        explained = explain_samples(work, [one for pair in found for one in pair])
        pictures = []
        for pair in found:
            images = [(_where(one), explained[one.place]) for one in pair]
            who = f"{pair[0].subject}{_fold(pair[0])}"
            chart = methods_figure(images, _variants(work, folds), f"{who}: {pair[0].truth}")
            alt = f"{pair[0].truth} of {who}, once taken for {pair[1].predicted}, under every explanation"
            pictures.append(Picture(save(chart), alt))
        none = () if found else ("Nobody has both a right and a wrong image of one class among those chosen.",)
        everyone = (f"People are of all folds{_EVERYONE}.",) if len(folds) > 1 and found else ()
        title = title_of(work, folds[0], fold=False)
        sections.append(Section(title, figures=tuple(pictures), notes=(*everyone, *none)))
    lead = "Two images of one person that show the same: the first is classified rightly, the second is not."
    return Compared(
        Comparison("misclassified", "Right and wrong answers under every explanation", lead, tuple(sections))
    )


def _variants(work: StudyWork, folds: Sequence[StudyNetwork]) -> list[str]:
    """Explanations that any network of some has."""
    found = {variant for network in folds for variant in work.of_network(network)}
    return [variant for variant in work.variants if variant in found]


def _fold(sample: Sample) -> str:
    return "" if sample.network.fold is None else f", fold {sample.network.fold}"


def panel(work: StudyWork) -> Compared:
    """Stills of another dataset, cropped as the network's own, under every explanation (PD-k)."""
    sections = []
    for network in {cell.network.title: cell.network for cell in work.panel}.values():
        own = work.of_network(network, work.panel)
        cells = {name: cell for name, cell in own.items() if cell.status == "done"}
        samples = samples_of(work, network, all_rows=True)
        explained = explain_samples(work, samples, cells)
        images = [(one.key[0], explained[one.place]) for one in samples]
        notes = tuple(f"{cell.variant}: {cell.reason}" for cell in own.values() if cell.status == "failed")
        alt = f"{len(images)} stills of another dataset under {', '.join(cells)}; {title_of(work, network)}"
        pictures = (Picture(save(methods_figure(images, list(cells))), alt),) if images and cells else ()
        none = () if pictures else ("No face was found in its stills.",)
        sections.append(Section(title_of(work, network), figures=pictures, notes=(*notes, *none)))
    lead = "Images that no training of the study has seen, found, cut and scaled as its own. The maps explain the "
    page = Comparison("panel", "Faces of another dataset", f"{lead}predicted class.", tuple(sections))
    return Compared(page)


def _check_columns(columns: Mapping[str, str], networks: Sequence[StudyNetwork]) -> None:
    """Refuse a label that the source gives to no crop; one of crops that are not explained is a blank column."""
    known = {target for network in networks for target in network.model.targets}
    for crops in {network.crops for network in networks}:
        known |= frozenset().union(*labels_of(open_crops(crops).table()))
    for title, name in columns.items():
        if name not in known:
            raise InputError(f"compare.grids.columns: {title}: no image of the source shows {name!r}; "
                             f"{nearest(name, known)}")  # fmt: skip


def _blank(columns: Mapping[str, str], chosen: Mapping[str, Sequence[Sample | None]]) -> tuple[str, ...]:
    """A note on columns without any image."""
    shown = list(zip(columns, zip(*chosen.values(), strict=True), strict=True))
    blank = [title for title, column in shown if not any(column)]
    return (f"No image that is explained shows {', '.join(blank)}.",) if blank else ()


def _row_names(chosen: Mapping[str, Sequence[Sample | None]]) -> list[str]:
    """People, with the folds whose networks explain them."""
    found = []
    for who, row in chosen.items():
        folds = sorted({one.network.fold for one in row if one and one.network.fold is not None})
        said = f"{who}, fold{'s'[: len(folds) != 1]} {', '.join(map(str, folds))}" if folds else who
        found.append(said)
    return found


def _people_by_columns(samples: Sequence[Sample], columns: Sequence[str], n: int) -> dict[str, list[Sample | None]]:
    """People with images of most columns, the first by name of equals; for each column their middle image."""
    by_person: dict[str, list[list[Sample]]] = {}
    for sample in samples:
        lists = by_person.setdefault(sample.subject, [[] for _ in columns])
        for place, name in enumerate(columns):
            if name in sample.names:
                lists[place].append(sample)
    order = sorted(by_person, key=lambda who: (-sum(map(bool, by_person[who])), who))
    return {who: [_middle(one) for one in by_person[who]] for who in order[:n]}


def _middle(samples: Sequence[Sample]) -> Sample | None:
    ordered = sorted(samples, key=lambda one: one.key)
    return ordered[len(ordered) // 2] if ordered else None


def _pairs(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """A right and a wrong image of one person and class by one network, a pair for each of these, in order of names."""
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in sorted(samples, key=lambda one: one.key):
        if sample.truth:
            groups.setdefault((sample.subject, sample.truth, sample.network.title), []).append(sample)
    found = []
    for _, group in sorted(groups.items()):
        right = [one for one in group if one.correct]
        wrong = [one for one in group if one.correct is False]
        if right and wrong:
            found.append((right[0], wrong[0]))
    # different people first: a page of one person shows how that person is explained
    seen: dict[str, int] = {}
    ranked = []
    for pair in found:
        seen[pair[0].subject] = seen.get(pair[0].subject, -1) + 1
        ranked.append((seen[pair[0].subject], pair))
    return [pair for _, pair in sorted(ranked, key=lambda item: item[0])]


def _where(sample: Sample) -> str:
    sequence, frame = sample.key
    return f"{sequence}, frame {frame}"
