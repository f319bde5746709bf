"""How much of a logit should arrive in its map, and for which methods that is expected (methods X-7). No torch here."""

from __future__ import annotations

from collections.abc import Mapping

from fer_batch.explain.methods import METHODS, holds

CONSERVATION_BAND = (0.2, 2.0)  # sum R / logit of a sound map, both ends included


def should_conserve(method: str, options: Mapping[str, object] | None = None) -> bool:
    """Whether the ratio of a method's maps, sum R / logit, belongs into `CONSERVATION_BAND`; its record says so.

    Parameters
    ----------
    method
        As `explain.method` of a job names it; one that is not known, of another version, need not conserve.
    options
        As `explain.options` of the job has them.

    Examples
    --------
    >>> should_conserve("preset_a_flat"), should_conserve("preset_a_flat", {"bias": "all"}), should_conserve("z")
    (True, False, False)
    """
    return method in METHODS and holds(METHODS[method].conserves, options or {})
