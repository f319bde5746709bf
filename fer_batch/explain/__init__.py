"""Why a network said so: relevance maps for chosen (image, output) pairs.

`method(name, **options)` gives an `Explainer`; `METHODS` has the names.
"""

# each registers its methods
from fer_batch.explain import attention, averaged, cam, gradient, guided, lime, lrp  # noqa: F401
from fer_batch.explain.explainer import METHODS, Explainer, method

__all__ = ["METHODS", "Explainer", "method"]
