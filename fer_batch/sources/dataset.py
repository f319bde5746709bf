"""What the program knows of a dataset: one record in the module of its adapter, which everything else reads.

Listing, recognition, `inspect`, the codes of a manifest and the tables of docs/datasets.md come from these records; a
record without one of its fields raises when its adapter is imported.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fer_batch.registry import nearest
from fer_batch.sources.label_files import Frames, Points
from fer_batch.sources.labels import CODES, SCALES, ExpressionCodes
from fer_batch.sources.listing import FORMATS, takes
from fer_batch.sources.tree import Tree
from fer_batch.types import SequenceRef


def annotation_uris(ref: SequenceRef) -> int:
    """One file of labels per URI of annotations."""
    return len(ref.annotation_uris)


@dataclass(frozen=True, kw_only=True)
class TruthForm:
    """How ground truth is read that lies in files of its own; several datasets may share one.

    Attributes
    ----------
    name
        What refs carry in `truth`; it is kept in commits, so it stays as it is.
    annotations
        Table `annotations` without `sequence_id` from `annotation_uris`; None where the listing has the labels.
    landmarks
        Points by frame index, shape (n, 2), displayed source pixels; other than 68 only say where the face is: their
        extent is its box. None where there are none.
    n_label_files
        Files that are opened for the annotations of one input.
    """

    name: str
    annotations: Callable[[Sequence[str], Frames], pa.Table] | None
    landmarks: Callable[[str, Frames], Points] | None
    n_label_files: Callable[[SequenceRef], int]

    def read_annotations(self, uris: Sequence[str], frames: Frames) -> pa.Table:
        """Table `annotations` without `sequence_id`.

        Raises
        ------
        ValueError
            If the form has no annotations.
        """
        if self.annotations is None:
            raise ValueError(f"form of ground truth {self.name!r} has no files of annotations")
        return self.annotations(uris, frames)

    def read_landmarks(self, uri: str, frames: Frames) -> Points:
        """Points by frame index, float32, shape (n, 2), displayed source pixels.

        Raises
        ------
        ValueError
            If the form has no landmarks.
        """
        if self.landmarks is None:
            raise ValueError(f"form of ground truth {self.name!r} has no files of landmarks")
        return self.landmarks(uri, frames)


@dataclass(frozen=True)
class Whole:
    """Inputs and subjects of the whole collection, subjects None where they are not known."""

    inputs: int
    subjects: int | None


@dataclass(frozen=True)
class Job:
    """A job of `jobs/` for a dataset, and the format that it names."""

    name: str
    format: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All that the program knows of a dataset. No field has a default: what does not apply is said to be none.

    Attributes
    ----------
    name
        Of the format: `source.format` of a job.
    title, row_per, labels, face
        Its line in docs/datasets.md: what it is called, what one input is, which labels there are, where the face is.
    listing
        Inputs of a `Tree`; keyword-only parameters are its options.
    options
        What each option does, for docs/datasets.md.
    marks
        Regular expressions on paths, lower case; a folder where each finds something is recognised as this dataset.
        Empty where nothing tells it from a folder of media.
    tables
        Names of CSV files, lower case, that are recognised as the dataset without a folder.
    truth
        How its files of ground truth are read; None where the listing has the labels.
    codes
        Its numbers of expressions; None where it has none.
    scales
        Targets, lower case, whose value is kept as it is, and that do not occur or not.
    whole
        Size of the whole collection; None where copies differ.
    job
        A job of its own; None for `stills` or `clips`.
    is_cropped
        Whether a face fills the picture, and has no landmarks.
    not_read
        Sentences about what is there but is not read unless it is asked for; None where all is read.
    """

    name: str
    title: str
    row_per: str
    labels: str
    face: str
    listing: Callable[..., Iterator[SequenceRef]]
    options: Mapping[str, str]
    marks: tuple[str, ...]
    tables: tuple[str, ...]
    truth: TruthForm | None
    codes: ExpressionCodes | None
    scales: tuple[str, ...]
    whole: Whole | None
    job: Job | None
    is_cropped: bool
    not_read: Callable[[Tree], list[str]] | None

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.listing).parameters.values()
        own = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        if own != set(self.options):
            raise ValueError(
                f"dataset {self.name!r}: its listing has the options {', '.join(sorted(own)) or 'none'}, its record "
                f"explains {', '.join(sorted(self.options)) or 'none'}"
            )
        for text in (*self.marks, *self.tables, *self.scales):
            plain = re.sub(r"\\.", "", text)  # \D and \S are no capital letters
            if plain != plain.lower():
                raise ValueError(f"dataset {self.name!r}: marks, tables and scales are in lower case, got {text!r}")
        for field in ("title", "row_per", "labels", "face"):
            if not getattr(self, field):
                raise ValueError(f"dataset {self.name!r}: expected a text for {field} of docs/datasets.md")

    @functools.cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """Compiled marks."""
        return tuple(re.compile(mark) for mark in self.marks)


DATASETS: dict[str, Dataset] = {}
_FORMS: dict[str, TruthForm] = {}


def register(record: Dataset) -> Dataset:
    """Make a dataset known: its format, the reading of its ground truth, its codes and scales.

    Raises
    ------
    ValueError
        If its name, or that of its codes or form of ground truth, is taken by another.
    """

    @functools.wraps(record.listing)
    def list_dataset(uri: str, pattern: Sequence[str], **options: object) -> Iterator[SequenceRef]:
        return (ref for ref in record.listing(Tree(uri), **options) if takes(pattern, ref.sequence_id))

    FORMATS.register(record.name)(list_dataset)
    if record.truth is not None:
        register_form(record.truth)
    if record.codes is not None and CODES.setdefault(record.codes.dataset, record.codes) is not record.codes:
        raise ValueError(f"codes of {record.codes.dataset!r} are already registered")
    SCALES.update(record.scales)
    DATASETS[record.name] = record
    return record


def register_form(form: TruthForm) -> TruthForm:
    """Make a form of ground truth known by its name; once, or again the same one.

    Raises
    ------
    ValueError
        If the name is taken by another.
    """
    if _FORMS.setdefault(form.name, form) is not form:
        raise ValueError(f"form of ground truth {form.name!r} is already registered")
    return form


def truth_form(name: str) -> TruthForm:
    """The form of ground truth of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in _FORMS:
        raise ValueError(f"unknown form of ground truth {name!r}; {nearest(name, _FORMS)}")
    return _FORMS[name]
