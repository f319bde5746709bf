"""How many stage sequences have a pattern, and how many are enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class SupportThresholds:
    """The groups of the sequences, and the supports from which a pattern is frequent.

    No group's own support decides whether a pattern is looked at: see `patterns.mine`.

    Attributes
    ----------
    group : shape (n_owners,), int64
        Number of each owner's group; `n_groups` where it has none.
    n_groups
        How many groups there are.
    labelled, all
        Support that is enough among the owners with a group, or among all.
    owner : shape (n_sequences,), int64
        Whose sequence it is: support counts owners. None where each sequence is its own.
    """

    group: Counts
    n_groups: int
    labelled: int
    all: int
    owner: Counts | None = None

    @property
    def least(self) -> int:
        """Support below which no pattern is frequent."""
        return min(self.labelled, self.all) if self.n_groups else self.all

    def supports(self, code: Counts, sequence: Counts, n_codes: int) -> Counts:
        """Owners that have each code: by group, of any group, and all.

        Parameters
        ----------
        code, sequence : shape (n,), int64
            Pairs, each once.
        n_codes
            Codes are 0 to `n_codes` - 1.

        Returns
        -------
        shape (n_codes, n_groups + 2), int64
        """
        if self.owner is not None:
            pairs = np.unique(code * len(self.group) + self.owner[sequence])
            code, sequence = np.divmod(pairs, max(len(self.group), 1))
        width = self.n_groups + 1
        cells = np.bincount(code * width + self.group[sequence], minlength=n_codes * width).reshape(n_codes, width)
        labelled = cells[:, :-1].sum(1)
        return np.column_stack([cells[:, :-1], labelled, labelled + cells[:, -1]])

    def enough(self, supports: Counts) -> NDArray[np.bool_]:
        """Whether a pattern is frequent.

        Parameters
        ----------
        supports : shape (..., n_groups + 2), int64
            See `supports`.

        Returns
        -------
        shape (...), bool
        """
        return np.asarray((supports[..., -1] >= self.all) | (supports[..., -2] >= self.labelled))
