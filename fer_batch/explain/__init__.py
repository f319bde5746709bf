"""Why a network said so: relevance maps for chosen (image, output) pairs.

`method(name, **options)` gives an `Explainer`; `METHODS` has the names. They are loaded when first asked for, so that
`fer_batch.explain.conservation` can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer_batch.explain.explainer import METHODS, Explainer, method

__all__ = ["METHODS", "Explainer", "method"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # each registers its methods
    from fer_batch.explain import attention, averaged, cam, explainer, gradient, guided, lime, lrp  # noqa: F401

    return getattr(explainer, name)
