"""What every explanation method is: who builds it, what it needs of a network, what its maps and options mean.

One record per method and no second list: planning, conservation, documentation and `explainer.method` read the
records. They name their factories instead of importing them, so that they can be read without torch. A new method is
its own module and one record here; a new composite of rules is its preset in `composites` and one record here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from fer_batch.registry import Registry

if TYPE_CHECKING:
    from fer_batch.explain.explainer import Explainer

Need = Literal[
    "gradients", "feature maps", "ReLU", "linear head", "relevance rules", "class maps", "class maps or linear head"
]


@dataclass(frozen=True)
class Given:
    """What is so where an option has a value.

    Attributes
    ----------
    option, value
        Name of the option, and the value that it must have.
    default
        Whether the option has that value where it is not given.
    """

    option: str
    value: object
    default: bool = False


def holds(condition: bool | Given, options: Mapping[str, object]) -> bool:
    """Whether what a record states is so under the options of a job."""
    if isinstance(condition, bool):
        return condition
    return options[condition.option] == condition.value if condition.option in options else condition.default


@dataclass(frozen=True)
class Method:
    """One explanation method.

    Attributes
    ----------
    factory
        `module:function` in this room; the function takes the method's options and returns an `Explainer`.
    needs
        What a network must have: `gradients` of its logits; a layer with `feature maps`; no activation but `ReLU`, or
        the option that lets others pass; a `linear head` behind global average pooling; `relevance rules` for every
        operation (`canonizers`); `class maps` that it makes by itself (`class_maps`). Any module that returns logits
        will do where there is nothing.
    composite
        Of `composites.COMPOSITES`, where relevance is propagated: the function is called with it, and returns the
        factory.
    resources
        Options that say how a result is reached and do not change it.
    conserves
        Whether sum R / logit of its maps belongs into `conservation.CONSERVATION_BAND`.
    target_free
        Whether a map is the same for every target; pairs may then have output -1.
    """

    factory: str
    needs: tuple[Need, ...] = ()
    composite: str | None = None
    resources: tuple[str, ...] = ("batch_size",)
    conserves: bool | Given = False
    target_free: bool | Given = False

    def load(self) -> Callable[..., Explainer]:
        """The factory itself; imports its module."""
        module, _, function = self.factory.partition(":")
        found = getattr(import_module(f"{__package__}.{module}"), function)
        made: Callable[..., Explainer] = found if self.composite is None else found(self.composite)
        return made


METHODS: Registry[Method] = Registry("explanation method")

# The presets let only positive parts of biases and the dense stabiliser absorb relevance. `z` and `epsilon` equal
# gradient times input, whose sum biases move anywhere; `bias: all` divides by more than it hands out; what is not
# relevance propagation has no ratio.
_TEXTBOOK_BIAS = Given("bias", "positive", default=True)


def _propagation(composite: str, conserves: bool | Given) -> Method:
    resources = ("engine", "memory_mib")
    return Method("lrp:factory_of", ("relevance rules",), composite, resources, conserves)


METHODS.add("z", _propagation("z", conserves=False))
METHODS.add("epsilon", _propagation("epsilon", conserves=False))
METHODS.add("preset_a_flat", _propagation("preset_a_flat", conserves=_TEXTBOOK_BIAS))
METHODS.add("preset_b_flat", _propagation("preset_b_flat", conserves=_TEXTBOOK_BIAS))
METHODS.add("epsilon_gamma_box", _propagation("epsilon_gamma_box", conserves=True))

METHODS.add("gradient", Method("gradient:gradient", ("gradients",)))
METHODS.add("gradient_times_input", Method("gradient:gradient_times_input", ("gradients",)))
METHODS.add("integrated_gradients", Method("averaged:integrated_gradients", ("gradients",)))
METHODS.add("smooth_grad", Method("averaged:smooth_grad", ("gradients",)))

_LAST_CONVOLUTION = Given("start", "last_conv")
METHODS.add("deconvnet", Method("guided:deconvnet", ("gradients", "ReLU"), target_free=_LAST_CONVOLUTION))
METHODS.add("guided_backprop", Method("guided:guided_backprop", ("gradients", "ReLU"), target_free=_LAST_CONVOLUTION))

METHODS.add("cam", Method("cam:cam", ("feature maps", "linear head")))
METHODS.add("grad_cam", Method("cam:grad_cam", ("gradients", "feature maps")))
METHODS.add("grad_cam_pp", Method("cam:grad_cam_pp", ("gradients", "feature maps")))
METHODS.add("layer_cam", Method("cam:layer_cam", ("gradients", "feature maps")))
METHODS.add("guided_grad_cam", Method("cam:guided_grad_cam", ("gradients", "feature maps", "ReLU")))
METHODS.add("attention", Method("attention:attention", ("feature maps",), target_free=True))

METHODS.add("class_map", Method("class_maps:class_map", ("class maps or linear head",)))
METHODS.add("peak_response", Method("peak_response:peak_response", ("gradients", "ReLU", "class maps")))

METHODS.add("lime", Method("lime:lime"))
