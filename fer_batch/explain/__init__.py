"""Why a network said so: relevance maps for chosen (image, output) pairs.

`method(name, **options)` gives an `Explainer`; `METHODS` has the names.
"""

from fer_batch.explain import attention, averaged, cam, gradient, guided, lrp  # noqa: F401  (they register their methods)
from fer_batch.explain.explainer import METHODS, Explainer, method

__all__ = ["METHODS", "Explainer", "method"]
