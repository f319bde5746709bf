"""How much of a logit should arrive in its map, and for which methods that is expected (methods X-7). No torch here."""

from __future__ import annotations

from collections.abc import Mapping

CONSERVATION_BAND = (0.2, 2.0)  # sum R / logit of a sound map, both ends included
_CONSERVING = frozenset({"preset_a_flat", "preset_b_flat", "epsilon_gamma_box"})


def should_conserve(method: str, options: Mapping[str, object] | None = None) -> bool:
    """Whether the ratio of a method's maps, sum R / logit, belongs into `CONSERVATION_BAND`.

    The presets let only positive parts of biases and the dense stabiliser absorb relevance. `z` and `epsilon` equal
    gradient times input, whose sum biases move anywhere; `bias: all` divides by more than it hands out; methods that
    are not relevance propagation have no ratio.

    Parameters
    ----------
    method
        As `explain.method` of a job names it.
    options
        As `explain.options` of the job has them.

    Examples
    --------
    >>> should_conserve("preset_a_flat"), should_conserve("preset_a_flat", {"bias": "all"}), should_conserve("z")
    (True, False, False)
    """
    return method in _CONSERVING and (options or {}).get("bias", "positive") == "positive"
