"""The difference of two groups of maps as a picture, in words, and for a script."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.permutation import MapDifference
from fer_batch.pipeline.partition.heatmap_groups import MAX_PEOPLE, Group, GroupDifference
from fer_batch.regions import standard_face
from fer_batch.regions.face_parts import NAMES, face_parts
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.store import Store
from fer_batch.visualize.figure import save
from fer_batch.visualize.heatmap import resize_map
from fer_batch.visualize.standard_sheets import difference_panel, heatmap_panel, sheet_figure

FOLDER = "report/heatmaps"


def difference_figure(found: GroupDifference, level: float = 0.05) -> bytes:
    """The mean map of each group and their difference, with an outline where the test finds one, as PNG.

    Parameters
    ----------
    found
        Of `compare_groups`.
    level
        Of the test.
    """
    _, (height, width) = standard_face()
    panels = []
    for group, people in zip((found.a, found.b), found.people, strict=True):
        mean = resize_map(group.means(people).mean(axis=0), height, width)
        panels.append(heatmap_panel(mean, f"{len(people)} people"))
    where = resize_map(found.result.significant(level).astype(np.float32), height, width) >= 0.5
    panels.append(difference_panel(resize_map(found.result.difference, height, width), "first minus second", where))
    note = (
        "Red: more in the first group; blue: more in the second. Outlined: the groups differ, "
        f"p up to {level:g}, corrected over all pixels."
    )
    return save(sheet_figure([panels], [""], [found.a.condition, found.b.condition, "difference"], note=note))


def difference_text(found: GroupDifference, picture: str, level: float = 0.05) -> str:
    """What the command prints.

    Parameters
    ----------
    found
        Of `compare_groups`.
    picture
        Where it was written.
    level
        Of the test.
    """
    result = found.result
    lines = [_group_line(group) for group in (found.a, found.b)]
    if found.thinned:
        shards = f"{len(found.thinned)} shard{'s' if len(found.thinned) > 1 else ''}"
        lines.append(f"not all maps were kept of {shards} (keep_relevance): one frame stands for every cluster there")
    ways = f"{result.n_arrangements} arrangements{', all there are' if result.exact else ''}"
    who = f"{result.n_a} people, each with themselves" if result.paired else f"{result.n_a} and {result.n_b} people"
    lines.append(f"compared: {who}; {ways}; smallest p {result.p.min():.4f}")
    where = result.significant(level)
    if not where.any():
        lines.append(f"no place where they differ, p up to {level:g} corrected over {where.size} pixels")
        if _smallest_possible(result) > level:
            lines.append(f"too few people for p to reach {level:g}")
    else:
        lines.append(
            f"they differ at {where.mean():.1%} of the picture, p up to {level:g} corrected over {where.size} pixels"
        )
        for sign, group in ((1, found.a), (-1, found.b)):
            if said := _parts(where & (sign * result.difference > 0)):
                lines.append(f"  more in {group.condition}: {said}")
    return "\n".join([*lines, f"picture {picture}"])


def _smallest_possible(result: MapDifference) -> float:
    """The p of a difference that no other arrangement reaches; where groups can change places, theirs does."""
    mirrored = result.exact and (result.paired or result.n_a == result.n_b)
    return (2 if mirrored else 1) / result.n_arrangements


def _group_line(group: Group) -> str:
    lost = f", {group.n_left_out} left out (no landmarks, or undefined)" if group.n_left_out else ""
    drawn = f" (drawn of {group.n_found:,})" if group.n_found > MAX_PEOPLE else ""
    kept = f", {group.n_not_kept} not kept one by one (keep_relevance)" if group.n_not_kept else ""
    return f"{group.condition}: {group.n} maps of {len(group.counts)} people{drawn}{lost}{kept}"


def _parts(where: NDArray[np.bool_]) -> str:
    """How much of each part of the face is in a mask, the largest share first."""
    points, (height, width) = standard_face()
    scaled = points * (where.shape[1] / width, where.shape[0] / height)
    parts = face_parts(scaled[None], *where.shape)[0]
    shares = {name: float(where[parts == place].mean()) for place, name in enumerate(NAMES) if (parts == place).any()}
    shown = sorted((name for name, share in shares.items() if share >= 0.005), key=lambda name: -shares[name])
    return ", ".join(f"{name.replace('_', ' ')} {shares[name]:.0%}" for name in shown)


def difference_json(found: GroupDifference, picture: str, level: float = 0.05) -> Mapping[str, object]:
    """The same for a script.

    Parameters
    ----------
    found
        Of `compare_groups`.
    picture
        Where it was written.
    level
        Of the test.
    """
    result = found.result
    groups = [
        {
            "condition": group.condition,
            "n": group.n,
            "n_people": len(group.counts),
            "n_left_out": group.n_left_out,
            "n_not_kept": group.n_not_kept,
        }
        for group in (found.a, found.b)
    ]
    return {
        "groups": groups,
        "n_compared": [result.n_a, result.n_b],
        "paired": result.paired,
        "n_arrangements": result.n_arrangements,
        "exact": result.exact,
        "n_shards_thinned": len(found.thinned),
        "smallest_p": float(result.p.min()),
        "level": level,
        "share_different": float(result.significant(level).mean()),
        "picture": picture,
    }


def write_difference(store: Store, found: GroupDifference) -> str:
    """Write the picture into the output, and what the page of heatmaps says of it; the picture's URL."""
    path = f"{FOLDER}/{digest([found.a.condition, found.b.condition])}"
    partitions = {tuple(one.key.values()) for group in (found.a, found.b) for one in group.partitions}
    kept = {
        "conditions": [found.a.condition, found.b.condition],
        "partitions": sorted(map(list, partitions)),
        "lines": difference_text(found, "").splitlines()[:-1],
    }
    store.put(f"{path}.png", difference_figure(found))
    store.put(f"{path}.json", dump(kept))
    return store.url(f"{path}.png")
