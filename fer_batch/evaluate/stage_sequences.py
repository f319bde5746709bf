"""How close a temporal prototype is to another, or to the true one: the order of their stages."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Fewest stages to insert, leave out or exchange that make one sequence of stages the other (Levenshtein 1966).

    Parameters
    ----------
    one, other
        Stages as label sets, or anything that can be compared. Divided by the longer length it is a share.
    """
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
