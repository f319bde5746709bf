"""Which samples of a network are explained (methods H-1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import Choose
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.registry import nearest
from fer_batch.types import InputError


def chosen(network: StudyNetwork, how: Choose) -> NDArray[np.int64]:
    """Rows of a network's samples that are explained, ascending.

    Each class, as the network predicts it, right or wrong, has its own draw without replacement, so that one class more
    changes nothing of the others. Samples come in the order of hashes of the seed and their names: who else is in the
    collection, and how it was cut into shards, changes nothing between two of them.

    Raises
    ------
    InputError
        If nothing is left, or an input is named that there is not.
    """
    rows = _named(network.samples["sequence_id"].to_pylist(), how.inputs)
    if how.per_class is not None or how.per_subject is not None:
        rows = _drawn(network, rows, how)
    if not len(rows):
        n = network.samples.num_rows
        raise InputError(f"{network.title} has no test people to explain: none of its {n} samples is chosen")
    return rows


def _named(ids: Sequence[str], inputs: Sequence[str]) -> NDArray[np.int64]:
    if not inputs:
        return np.arange(len(ids), dtype=np.int64)
    return np.flatnonzero(np.isin(np.asarray(ids, str), list(inputs))).astype(np.int64)


def check_inputs(networks: Sequence[StudyNetwork], how: Choose) -> None:
    """Refuse an input that no network was tested on.

    Raises
    ------
    InputError
        If there is one.
    """
    known = {one for network in networks for one in network.samples["sequence_id"].to_pylist()}
    for name in how.inputs:
        if name not in known:
            raise InputError(f"runs.choose.inputs: no network was tested on {name!r}; {nearest(name, known)}")


def _drawn(network: StudyNetwork, rows: NDArray[np.int64], how: Choose) -> NDArray[np.int64]:
    detected = network.detected
    people = zip(network.samples["subject_id"].to_pylist(), network.samples["sequence_id"].to_pylist(), strict=True)
    subjects = np.asarray([str(who or where) for who, where in people])
    kept: list[NDArray[np.int64]] = []
    in_turn = rows[np.argsort(_hashes(network, rows, how.seed), kind="stable")]
    for place in range(detected.shape[1]):
        order = in_turn[detected[in_turn, place]]
        if how.per_subject is not None:
            order = order[_rank_within(subjects[order]) < how.per_subject]
        kept.append(order[: how.per_class])
    return np.unique(np.concatenate(kept)) if kept else rows[:0]


def _hashes(network: StudyNetwork, rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Of the seed and the name of each sample, shape (n,)."""
    chosen = network.samples.take(pa.array(rows))
    # A subject has the name of its collection before it: two collections may call an input the same.
    names = zip(*(chosen[one].to_pylist() for one in ("subject_id", "frame_index", "sequence_id")), strict=True)
    digests = (hashlib.sha256(f"{seed}/{who}/{frame}/{name}".encode()).digest()[:8] for who, frame, name in names)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _rank_within(groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """How many of the same group came before, shape (n,)."""
    seen: dict[str, int] = {}
    rank = np.empty(len(groups), np.int64)
    for index, group in enumerate(groups.tolist()):
        rank[index] = seen.get(group, 0)
        seen[group] = rank[index] + 1
    return rank
