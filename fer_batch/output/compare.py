"""Temporal prototypes against each other: inclusion, common sub-sequences, edit distance (methods TP-7 to TP-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import duckdb

from fer_batch.evaluate.stage_sequences import edit_distance
from fer_batch.evaluate.tables import share
from fer_batch.output.query import connect
from fer_batch.output.text import aligned
from fer_batch.prototypes.patterns import common_patterns, longest_common
from fer_batch.prototypes.temporal import (
    MODES,
    StageSequence,
    cooccurrence,
    included,
    paper_count,
    parse,
    prototype_text,
    reduction,
)
from fer_batch.registry import nearest
from fer_batch.storage.store import Store
from fer_batch.types import InputError

KEYS = ("dataset", "model", "explain")


@dataclass(frozen=True)
class ComparisonOptions:
    """How stages are compared.

    Attributes
    ----------
    letters
        Whether stages have the letters of clusters; else the active targets alone.
    relation
        Of common sub-sequences: `equal` stages, or `subset` where one includes the other.
    none_strict
        NONE is included in NONE only.
    min_support
        Prototypes that must share a pattern; all of them where not given.
    """

    letters: bool = True
    relation: str = "equal"
    none_strict: bool = True
    min_support: int | None = None


@dataclass(frozen=True)
class NamedPrototype:
    """A temporal prototype of an output, or one that was typed.

    Attributes
    ----------
    name
        Its sequence, or the text that was typed.
    n_frames
        Ok frames; None of one that was typed.
    """

    name: str
    stages: StageSequence
    n_frames: int | None = None

    @property
    def reduction(self) -> float:
        """In description length (methods TP-8); NaN where the number of frames is not known."""
        return reduction(len(self.stages), self.n_frames or 0)


@dataclass(frozen=True)
class Pair:
    """How two prototypes relate.

    Attributes
    ----------
    first, second
        Their names.
    equal
        Whether both have the same stages.
    first_in_second, second_in_first
        Inclusion by mode (methods TP-9).
    gapped, contiguous
        Longest common sub-sequences, as text.
    n_gapped, n_contiguous
        Their stages.
    edits
        Stages to insert, leave out or exchange.
    """

    first: str
    second: str
    equal: bool
    first_in_second: Mapping[str, bool]
    second_in_first: Mapping[str, bool]
    gapped: str
    contiguous: str
    n_gapped: int
    n_contiguous: int
    edits: int


def named_prototypes(
    store: Store, names: Sequence[str], where: Mapping[str, str], letters: bool = True
) -> list[NamedPrototype]:
    """The temporal prototype of each sequence, or of a text such as `(NONE) -> (AU02_A)`.

    Parameters
    ----------
    store
        An output with published tables.
    names
        Sequence ids and texts.
    where
        Values of `KEYS` that tell partitions apart, where a sequence is in several.
    letters
        See `ComparisonOptions`.

    Raises
    ------
    InputError
        If a sequence is in no partition or in several, or a text is no prototype.
    """
    found = [_typed(name) if name.lstrip().startswith("(") else _published(store, name, where) for name in names]
    return found if letters else [_without_letters(one) for one in found]


def pairs(prototypes: Sequence[NamedPrototype], options: ComparisonOptions) -> list[Pair]:
    """Every two prototypes, in the order in which they were named."""
    return [_pair(one, other, options) for one, other in combinations(prototypes, 2)]


def comparison_json(prototypes: Sequence[NamedPrototype], options: ComparisonOptions) -> dict[str, Any]:
    """Prototypes, pairs and common patterns as plain values."""
    return {
        "options": asdict(options),
        "prototypes": [
            {
                "name": one.name,
                "text": prototype_text(one.stages),
                "n_frames": one.n_frames,
                "n_stages": len(one.stages),
                "n_distinct_stages": len(set(one.stages)),
                "paper_count": paper_count(one.stages),
                "reduction": one.reduction if one.n_frames else None,
            }
            for one in prototypes
        ],
        "pairs": [asdict(pair) for pair in pairs(prototypes, options)],
        "patterns": [
            {"kind": kind, "support": support, "length": length, "pattern": text}
            for kind, support, length, text in _patterns(prototypes, options)
        ],
    }


def comparison_text(prototypes: Sequence[NamedPrototype], options: ComparisonOptions) -> str:
    """The same for a terminal."""
    rows = [["", "frames", "stages", "different", "paper count", "reduction"]]
    for one in prototypes:
        counts = len(one.stages), len(set(one.stages)), paper_count(one.stages)
        rows.append([one.name, str(one.n_frames or "-"), *map(str, counts), share(one.reduction)])
    lines = [*aligned(rows), ""]
    lines += [f"{one.name}: {prototype_text(one.stages) or 'no frame shows a face'}" for one in prototypes]
    related = pairs(prototypes, options)
    table = [["", "first in second", "second in first", "common, gapped", "common, contiguous", "edits"]]
    for pair in related:
        inclusion = [_strongest(modes) for modes in (pair.first_in_second, pair.second_in_first)]
        counts = pair.n_gapped, pair.n_contiguous, pair.edits
        table.append([f"{pair.first} / {pair.second}", *inclusion, *map(str, counts)])
    lines += ["", *aligned(table)]
    lines.append("(stagewise inclusion is contiguous too, and contiguous inclusion a sub-sequence)")
    if len(related) == 1:
        lines += [f"longest common, gapped: {related[0].gapped or '-'}"]
        lines += [f"longest common, contiguous: {related[0].contiguous or '-'}"]
    shared = _patterns(prototypes, options)
    lines += ["", f"maximal patterns of {_support(prototypes, options)} or more of {len(prototypes)}"]
    lines += aligned([["kind", "support", "stages"], *([kind, str(n), str(length)] for kind, n, length, _ in shared)])
    lines[len(lines) - len(shared) :] = [
        f"{line}  {text}" for line, (*_, text) in zip(lines[len(lines) - len(shared) :], shared, strict=True)
    ]
    return "\n".join(lines)


def _typed(text: str) -> NamedPrototype:
    try:
        return NamedPrototype(text.strip(), parse(text))
    except ValueError as error:
        raise InputError(f"{text!r} is no temporal prototype: {error}") from error


def _published(store: Store, name: str, where: Mapping[str, str]) -> NamedPrototype:
    connection = connect(store)
    given = {key: value for key, value in where.items() if key in KEYS}
    here = " AND ".join(["sequence_id = $name", *(f"{key} = ${key}" for key in given)])
    rows = connection.execute(
        f"SELECT {', '.join(KEYS)}, text, n_frames FROM temporal_prototypes WHERE {here} ORDER BY ALL",
        {"name": name, **given},
    ).fetchall()
    if not rows:
        raise _unknown(connection, name, given)
    if len(rows) > 1:
        partitions = "; ".join(" ".join(f"--{k} {v}" for k, v in zip(KEYS, row[:3], strict=True)) for row in rows)
        raise InputError(f"{name!r} is in {len(rows)} partitions; choose one: {partitions}")
    *keys, text, n_frames = rows[0]
    partition = dict(zip(KEYS, keys, strict=True))
    targets = connection.execute(
        "SELECT DISTINCT target FROM detections WHERE sequence_id = $name "
        "AND dataset = $dataset AND model = $model AND explain = $explain",
        {"name": name, **partition},
    ).fetchall()
    return NamedPrototype(name, parse(text or "", [target for (target,) in targets]), n_frames)


def _unknown(connection: duckdb.DuckDBPyConnection, name: str, given: Mapping[str, str]) -> InputError:
    """What there is instead of a sequence that has no temporal prototype in the partitions that are asked for."""
    for key, value in given.items():
        found = connection.execute(f"SELECT DISTINCT {key} FROM temporal_prototypes").fetchall()
        if value not in {one for (one,) in found}:
            return InputError(
                f"--{key}: no temporal prototype is of {value!r}; {nearest(value, (x for (x,) in found))}"
            )
    known = [one for (one,) in connection.execute("SELECT DISTINCT sequence_id FROM temporal_prototypes").fetchall()]
    if not known:
        return InputError("this output has no temporal prototypes: stills have none, and a run may not be at its end")
    if name in known:
        where = " ".join(f"--{key} {value}" for key, value in given.items())
        return InputError(f"no temporal prototype is of {name!r} with {where}; the output has it in another partition")
    typed = "a prototype that is typed begins with '(', such as '(NONE) -> (AU12_A)'"
    return InputError(f"no temporal prototype is of {name!r}; {nearest(name, known)}; {typed}")


def _without_letters(one: NamedPrototype) -> NamedPrototype:
    return NamedPrototype(one.name, cooccurrence(one.stages), one.n_frames)


def _pair(one: NamedPrototype, other: NamedPrototype, options: ComparisonOptions) -> Pair:
    def inclusion(part: NamedPrototype, whole: NamedPrototype) -> dict[str, bool]:
        strict = options.none_strict
        return {mode: included(part.stages, whole.stages, mode=mode, none_strict=strict) for mode in MODES}

    def common(kind: str) -> StageSequence:
        how = {"kind": kind, "relation": options.relation}
        return longest_common(one.stages, other.stages, none_strict=options.none_strict, **how)

    gapped, contiguous = common("gapped"), common("contiguous")
    return Pair(
        first=one.name,
        second=other.name,
        equal=one.stages == other.stages,
        first_in_second=inclusion(one, other),
        second_in_first=inclusion(other, one),
        gapped=prototype_text(gapped),
        contiguous=prototype_text(contiguous),
        n_gapped=len(gapped),
        n_contiguous=len(contiguous),
        edits=edit_distance(one.stages, other.stages),
    )


def _strongest(modes: Mapping[str, bool]) -> str:
    return next((mode for mode in ("stagewise", "contiguous", "subsequence") if modes[mode]), "-")


def _support(prototypes: Sequence[NamedPrototype], options: ComparisonOptions) -> int:
    return len(prototypes) if options.min_support is None else options.min_support


def _patterns(prototypes: Sequence[NamedPrototype], options: ComparisonOptions) -> list[tuple[str, int, int, str]]:
    """Kind, support, stages and text of the maximal patterns that enough of the prototypes share."""
    return [
        (kind, pattern.support, len(pattern.stages), pattern.text)
        for kind in ("contiguous", "gapped")
        for pattern in common_patterns(
            [one.stages for one in prototypes],
            _support(prototypes, options),
            kind=kind,
            relation=options.relation,
            none_strict=options.none_strict,
            maximal_only=True,
        )
    ]
