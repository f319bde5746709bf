"""Why a network said so: relevance maps for chosen (image, output) pairs.

`method(name, **options)` gives an `Explainer`; `METHODS` has a record of each. Explainers are loaded when first asked
for, so that the records can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fer_batch.explain.methods import METHODS

if TYPE_CHECKING:
    from fer_batch.explain.explainer import Explainer, method

__all__ = ["METHODS", "Explainer", "method"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fer_batch.explain import explainer

    return getattr(explainer, name)
