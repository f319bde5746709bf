"""Tables `looks`, `cluster_looks` and `look_prototypes`: clusters of the clusters of all sequences of a partition.

A generation of looks is found once; clusters that come later join them or open further looks, so that `AU01@2` means
the same from night to night. `looks: refit` finds them anew, as the next generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import LooksConfig
from fer_batch.pipeline.partition.look_clusters import STANDARD, Unjoined, faces_of, targets_of, unjoined
from fer_batch.pipeline.partition.look_files import LookMembers, LookNumber, LookOptions, publish_shard_looks
from fer_batch.pipeline.partition.stage import StageWork
from fer_batch.pipeline.progress import say
from fer_batch.regions.face_parts import place_shares
from fer_batch.spray.looks import Looks, distances, open_looks
from fer_batch.storage.parquet import Partition, pack_maps, read, rows_of
from fer_batch.storage.published import withdraw_file
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

FILE = "looks.parquet"
SAMPLE = 3000  # clusters of a target among which looks are found at a time
ROUNDS = 4  # of opening looks in one night: what the first sample did not show may be in the next
RARE = 0.01  # share of a target's sequences up to which a look is rare; a look of one sequence always is


@dataclass
class Generation:
    """The looks of a partition.

    Attributes
    ----------
    number
        From 1.
    looks
        Of each target.
    faces
        On which face each target is compared.
    stability
        Of each look of a target; NaN where unknown.
    previous
        The nearest look of the generation before, from 1, of each look of a target; None where there was none.
    """

    number: int
    looks: dict[str, Looks] = field(default_factory=dict)
    faces: dict[str, str] = field(default_factory=dict)
    stability: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    previous: dict[str, list[int | None]] = field(default_factory=dict)

    def take(self, faces: Mapping[str, str]) -> None:
        """Add targets that have no looks yet, and on which face each is compared."""
        for target, face in faces.items():
            if target not in self.looks:
                self.looks[target], self.faces[target] = Looks.none(), face
                self.stability[target], self.previous[target] = np.zeros(0), []


def publish_looks(work: StageWork) -> None:
    """Write the three tables; looks that there are keep their names unless the job asks to find them anew."""
    faces = targets_of(list(work.over_shards(faces_of, work.shards, work.partition)))
    path = f"{work.partition.folder('looks')}/{FILE}"
    before = published_looks(work.store, work.partition)
    if not faces and before is None:
        for table in ("cluster_looks", "look_prototypes"):
            withdraw_file(work.store, work.partition.folder(table))
        return
    # Without clusters there is nothing to find: the names that there are wait for the next ones.
    keeps = before is not None and (work.config.looks.fit == "keep" or not faces)
    generation = before if before is not None and keeps else Generation(1 if before is None else before.number + 1)
    generation.take(faces)
    _open(work, generation)
    if before is not None and generation is not before:
        generation = _after(generation, before)
    put_table(work.store, path, rows_of("looks", _rows(generation, {})), work.metadata)
    members = _publish_shards(work, generation)
    put_table(work.store, path, rows_of("looks", _rows(generation, members)), work.metadata)


def _open(work: StageWork, generation: Generation) -> None:
    """Open looks until every cluster has one, or `ROUNDS` have passed."""
    limit = work.config.looks.max_looks
    waiting = list(generation.faces)
    found: dict[str, Unjoined] = {}
    for _ in range(ROUNDS):
        faces = {target: generation.faces[target] for target in waiting}
        known = {target: generation.looks[target] for target in waiting}
        found = {}
        for part in work.over_shards(unjoined, work.shards, work.partition, faces, known, SAMPLE):
            for target, own in part.items():
                found.setdefault(target, Unjoined(SAMPLE)).take(own)
        waiting = [target for target, own in found.items() if own.n and len(generation.looks[target]) < limit]
        for target in waiting:
            _add_looks(generation, target, found[target], work.config.looks)
        if not waiting:
            break
    for target, own in sorted(found.items()):
        if own.n and len(generation.looks[target]) >= limit:
            n = len(generation.looks[target])
            say(f"looks.max_looks: {target} has {n} looks; clusters that are near to none of them have no look")


def _add_looks(generation: Generation, target: str, own: Unjoined, options: LooksConfig) -> None:
    room = options.max_looks - len(generation.looks[target])
    opened = open_looks(*own.sample(), options.distance)
    centres, radius = opened.centres[:room], opened.radius[:room]
    generation.looks[target] = generation.looks[target].and_then(centres, radius)
    generation.stability[target] = np.concatenate([generation.stability[target], opened.stability[:room]])
    generation.previous[target] += [None] * len(centres)


def _publish_shards(work: StageWork, generation: Generation) -> dict[LookNumber, LookMembers]:
    options = LookOptions(generation.faces, generation.looks, generation.number, work.targets, work.metadata)
    kept = {f"{shard}.parquet" for shard in work.shards}
    for table in ("cluster_looks", "look_prototypes"):  # gone shards first: no sequence is ever there twice
        folder = work.partition.folder(table)
        for name in set(work.store.names(folder)) - kept:
            withdraw_file(work.store, f"{folder}/{name}")
    members: dict[LookNumber, LookMembers] = {}
    for part in work.over_shards(publish_shard_looks, work.shards, work.partition, options):
        for number, own in part.items():
            members.setdefault(number, LookMembers()).take(own)
    return members


def _after(generation: Generation, before: Generation) -> Generation:
    """A new generation with the nearest look of the one before for each look; the old one where nothing has changed."""
    same = (known.equals(before.looks.get(target, Looks.none())) for target, known in generation.looks.items())
    faces = {target: face for target, face in generation.faces.items() if len(generation.looks[target])}
    if faces == before.faces and all(same):
        return before
    for target, known in generation.looks.items():
        old = before.looks.get(target, Looks.none())
        if len(old) and len(known) and old.centres.shape[1] == known.centres.shape[1]:
            nearest = distances(known.centres, old.centres).argmin(axis=1)
            generation.previous[target] = [int(i) + 1 for i in nearest]
    say(f"looks: generation {generation.number}; column previous of table looks has the names of the one before")
    return generation


def published_looks(store: Store, partition: Partition) -> Generation | None:
    """The looks that a partition has; None where it has none."""
    table = read(store, "looks", **partition.key, columns=None).sort_by(
        [("target", "ascending"), ("look", "ascending")]
    )
    rows = table.to_pylist()
    if not rows:
        return None
    found = Generation(max(row["generation"] for row in rows))
    for target in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == target]
        found.looks[target] = Looks(
            np.array([row["centre"] for row in own], np.float32),
            np.array([row["radius"] for row in own], np.float64),
            np.array([row["opened"] for row in own], np.int64),
        )
        found.faces[target] = own[0]["face"]
        known = [row["stability"] for row in own]
        found.stability[target] = np.array([np.nan if one is None else one for one in known], np.float64)
        found.previous[target] = [row["previous"] for row in own]
    return found


def _rows(generation: Generation, members: Mapping[LookNumber, LookMembers]) -> list[dict[str, object]]:
    """Rows of table `looks`, by target and look."""
    rows = []
    for target, known in sorted(generation.looks.items()):
        own = [members.get((target, k + 1), LookMembers()) for k in range(len(known))]
        n_sequences = members.get((target, 0), LookMembers()).n_sequences
        rare = np.array([one.n_sequences <= max(1, RARE * n_sequences) for one in own], bool)
        rare &= not rare.all()  # where all are rare, none is an outlier among others
        isolation = _isolation(known, rare)
        for k, one in enumerate(own):
            found = {"target": target, "look": k + 1, "generation": generation.number, "opened": int(known.opened[k])}
            found |= {"previous": generation.previous[target][k], "face": generation.faces[target]}
            found |= {"stability": _known(generation.stability[target][k]), "radius": float(known.radius[k])}
            found |= {"rare": bool(rare[k]), "isolation": _known(isolation[k]), "centre": known.centres[k]}
            rows.append(found | _counts(one, n_sequences) | _place(one, generation.faces[target]))
    return rows


def _counts(own: LookMembers, n_sequences: int) -> dict[str, object]:
    """What a look says of its clusters."""
    found: dict[str, object] = {
        "n_clusters": own.n_clusters,
        "n_frames": own.n_frames,
        "n_sequences": own.n_sequences,
        "n_subjects": len(own.people) + own.n_alone,
        "share": own.n_sequences / n_sequences if n_sequences else None,
        "mu": own.mu / own.n_mu if own.n_mu else None,
        "exemplars": [name for _, name in own.near],
    }
    if own.total is not None:
        values, scale = pack_maps((own.total / own.n_clusters)[None])
        found |= {"height": values.shape[1], "width": values.shape[2]}
        found |= {"scale": float(scale[0]), "relevance": values[0].ravel()}
    return found


def _place(own: LookMembers, face: str) -> dict[str, object]:
    """Which part of the standard face has most of a look's positive relevance, and how much."""
    if own.total is None or face != STANDARD:
        return {}
    shares = place_shares(own.total)
    name = max(shares, key=lambda part: shares[part])
    return {"place": name, "place_share": shares[name]} if shares[name] > 0 else {}


def _isolation(known: Looks, rare: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of each look to the nearest other one that is not rare; NaN where there is none."""
    between = distances(known.centres, known.centres)
    np.fill_diagonal(between, np.inf)
    between[:, rare] = np.inf
    nearest = between.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
