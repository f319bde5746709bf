"""The values that pass between rooms; each verifies shape, dtype and order at birth."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["video", "image_sequence", "still"]
# Of an input, in the order in which they are counted: found = their sum. Partial is one of which less was read than is
# there; what was read has rows as if it were all.
STATUSES = ("done", "partial", "failed", "skipped")
READ = ("done", "partial")


class InputError(ValueError):
    """What the user asked for cannot be done; the message is one sentence for the user (exit code 1)."""


class EnvironmentFault(RuntimeError):
    """What surrounds an input failed (its store, the machine): says nothing of the input and is never its `status`."""


class MediaError(ValueError):
    """One input cannot be read; the message is the `reason` of its row (never stops a run)."""


@dataclass(frozen=True, slots=True)  # a listing may hold hundreds of thousands
class SequenceRef:
    """One input of a source, as its listing found it.

    Attributes
    ----------
    sequence_id
        Path relative to the source root, readable, unique within the dataset.
    kind
        What it is: a video file, a folder of numbered images, or a single image.
    uri
        Where it is, as fsspec understands it.
    size, version
        Bytes and etag or mtime_ns; an image sequence has the sum and a hash of its listing.
    files
        The frames of an image sequence in order, as URIs; empty for others.
    subject_id, emotion
        Ground truth known at listing time.
    split
        `train`, `val` or `test`, where the dataset says so.
    truth
        How the files of ground truth are read: the name of a `sources.dataset.TruthForm`.
    annotation_uris, landmarks_uri
        Files, folders or prefixes of ground truth, read on the worker, where the source has them.
    labels
        Ground truth of a still: target to occurrence (1.0, 0.0), or to the value of an Action Unit or scale.
    raw_labels
        Target to the label as the dataset writes it, for `labels`.
    landmarks
        `x0, y0 .. x67, y67` of a still in displayed source pixels, where its listing has them.
    face_box
        Left, top, right, bottom of the face of a still in displayed source pixels, where its listing has it.
    truth_version
        Sizes and versions of the ground truth together; part of the identity of the unit.
    span
        First byte in `uri` of this still, and the byte after its last, where one file holds many.
    crops
        Numbers of its crops, where `uri` is a crop set.
    skip_reason
        Set where the source deliberately does not process this input.
    refusal
        Set where the source names this input but may not: why nothing of it is read, and its row is `failed`.
    """

    sequence_id: str
    kind: Kind
    uri: str
    size: int
    version: str
    files: tuple[str, ...] = ()
    subject_id: str | None = None
    emotion: str | None = None
    split: str | None = None
    truth: str = "csv"
    annotation_uris: tuple[str, ...] = ()
    landmarks_uri: str | None = None
    labels: tuple[tuple[str, float], ...] = ()
    raw_labels: tuple[tuple[str, str], ...] = ()
    landmarks: Sequence[float] = ()
    face_box: tuple[float, ...] = ()
    truth_version: str = ""
    span: tuple[int, int] | None = None
    crops: tuple[int, ...] = ()
    skip_reason: str | None = None
    refusal: str | None = None

    def __post_init__(self) -> None:
        if not self.sequence_id or self.sequence_id.startswith("/"):
            raise ValueError(f"sequence_id must be a relative path, got {self.sequence_id!r}")


def face_id(sequence_id: str, person: int) -> str:
    """Sequence of one person of an input: the input's own for the first (0), `a.mp4#face2` for the second."""
    return sequence_id if person == 0 else f"{sequence_id}#face{person + 1}"


def input_id(sequence_id: str, known: Container[str]) -> str:
    """Input that a sequence belongs to: what is before `#face2` where that is a known input, else itself."""
    before, _, number = sequence_id.rpartition("#face")
    return before if number.isdigit() and before in known else sequence_id


@dataclass(frozen=True)
class Relevance:
    """Explanations of M (frame, target) pairs.

    Attributes
    ----------
    values : shape (M, h, w), float32, logit units
        Signed maps, colour channels already summed (methods RV-1).
    score : shape (M,)
        The logit that was explained.
    conservation : shape (M,)
        Sum of the input relevance over the score (methods X-7), NaN where the method has no such law.
    """

    values: NDArray[np.float32]
    score: NDArray[np.float32]
    conservation: NDArray[np.float32]

    def __post_init__(self) -> None:
        m = len(self.values)
        if self.values.ndim != 3 or self.score.shape != (m,) or self.conservation.shape != (m,):
            raise ValueError(
                f"expected values (M, h, w), score (M,), conservation (M,); "
                f"got {self.values.shape}, {self.score.shape}, {self.conservation.shape}"
            )


@dataclass(frozen=True)
class Clustering:
    """Clusters of the maps of one target in one sequence (methods 9).

    Attributes
    ----------
    labels : shape (n,), int64
        Cluster of each map, numbered 0.. by first occurrence; -1 where the map is undefined (not finite, or all zero).
    eigenvalues : shape (e,), ascending
        Spectrum of the normalised Laplacian over the defined maps (at most 32 values are kept).
    rule, n_neighbors
        How the number of clusters was chosen, and the k of the graph that was used.
    eigengap, silhouette
        Quality: gap after the chosen K, NaN for fewer than 2 maps; mean silhouette over the features, NaN for fewer
        than 2 clusters.
    p_split
        Probability that drift and noise alone make a step as clear as the clearest one; NaN where the rule has no test.
    stability
        Of each cluster, the mean Jaccard index with what is found of it when frames are left out; empty where the rule
        has none.
    """

    labels: NDArray[np.int64]
    eigenvalues: NDArray[np.float64]
    rule: str
    n_neighbors: int
    eigengap: float = float("nan")
    silhouette: float = float("nan")
    p_split: float = float("nan")
    stability: tuple[float, ...] = ()

    @property
    def n_clusters(self) -> int:
        """Number of clusters, 0 where no map is defined."""
        return int(self.labels.max(initial=-1)) + 1


@dataclass(frozen=True)
class Stage:
    """A maximal run of ok frames with one label set (methods TP-3).

    Attributes
    ----------
    labels
        `(("AU01", "A"), ("AU02", ""))`, sorted; an empty letter means active without a defined map.
    first_frame, last_frame
        Inclusive frame indices of the sequence.
    n_frames, n_missing_frames
        Ok frames in the run, and frames that are not ok: between them, up to the next stage, and before the first.
    """

    labels: tuple[tuple[str, str], ...]
    first_frame: int
    last_frame: int
    n_frames: int
    n_missing_frames: int = 0


@dataclass(frozen=True)
class MapStyle:
    """How pictures of a report show relevance maps.

    Attributes
    ----------
    normalise
        `one_sided` divides a map by its largest magnitude; `two_sided` divides positives and negatives each by their
        own (methods RV-2).
    colours
        `bwr`: blue, white for zero, red. `jet`: from the lowest value, blue, to the highest, red (methods RV-3, H-4).
    top_x : percent, above 0 up to 100
        Share of the positive relevance in a Top-X projection (methods RV-4).

    Raises
    ------
    InputError
        If a value is not known, or `two_sided` is asked of `jet`, whose ends are the ends of a map already.
    """

    normalise: Literal["one_sided", "two_sided"] = "one_sided"
    colours: Literal["bwr", "jet"] = "bwr"
    top_x: float = 25.0

    def __post_init__(self) -> None:
        for name, known in (("normalise", ("one_sided", "two_sided")), ("colours", ("bwr", "jet"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {' or '.join(known)}, got {getattr(self, name)!r}")
        if not 0 < self.top_x <= 100:
            raise InputError(f"top_x is a percentage above 0 up to 100, got {self.top_x!r}")
        if self.normalise == "two_sided" and self.colours == "jet":
            raise InputError("normalise: two_sided goes with colours: bwr; jet reaches both ends of a map anyway")

    @property
    def two_sided(self) -> bool:
        """Whether positives and negatives are scaled apart."""
        return self.normalise == "two_sided"

    @property
    def shares(self) -> tuple[float, float]:
        """The two Top-X projections of a cluster, in percent: `top_x`, and two fifths of it (25 and 10)."""
        return self.top_x, 0.4 * self.top_x
