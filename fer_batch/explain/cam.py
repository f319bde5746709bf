r"""Class activation maps (methods 7.2): feature maps weighted by the classifier or by gradients of a logit.

Notation: A [m, K, h, w] are feature maps, G their gradients :math:`\partial y^c / \partial A` of the logit, Z = h w.
Maps are as the formulas give them; scaling them to [0, 1] (methods X-5) is left to display.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from fer_batch.explain.coarse import CoarseMaps, upsampled
from fer_batch.explain.explainer import Explainer, Images, relevance
from fer_batch.explain.guided import guided_backprop
from fer_batch.explain.layers import Pass, run_from
from fer_batch.explain.targets import named
from fer_batch.types import Relevance

Formula = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cam_map(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    r"""CAM, :math:`\sum_k w_k A_k` (Zhou et al. 2016, Eq. 2).

    Parameters
    ----------
    features : shape (m, K, h, w), floating
        The A.
    weights : shape (m, K), floating
        The w: row of the target in the linear head.

    Returns
    -------
    shape (m, h, w), signed
        Behind global average pooling its mean is the logit without the bias.
    """
    return torch.einsum("mk,mkhw->mhw", weights, features)


def grad_cam_map(features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    r"""Grad-CAM, :math:`\mathrm{ReLU}(\sum_k \alpha_k A_k)` (Selvaraju et al. 2017, Eq. 1 and 2).

    Parameters
    ----------
    features, gradients : shape (m, K, h, w), floating
        The A, and the G whose mean over the positions is alpha.

    Returns
    -------
    shape (m, h, w), not negative, in units of the logit
    """
    return cam_map(features, gradients.mean((2, 3))).clamp(min=0)


def grad_cam_pp_weights(features: torch.Tensor, gradients: torch.Tensor, released: bool = False) -> torch.Tensor:
    r"""Weights of Grad-CAM++ (Chattopadhay et al. 2018, Eq. 10 and 19).

    .. math:: w_k = \sum_{ij} \alpha_{kij} \mathrm{ReLU}(G_{kij}), \quad
        \alpha_{kij} = G_{kij}^2 / (2 G_{kij}^2 + G_{kij}^3 \sum_{ab} A_{kab})

    with alpha 0 where the denominator is.

    Parameters
    ----------
    features, gradients : shape (m, K, h, w), floating
        The A and the G.
    released
        Take :math:`\sum_{ab} G_{kab}^3 A_{kab}` in the denominator, as the authors' code does.

    Returns
    -------
    shape (m, K), dtype of the features
    """
    a, g = features.double(), gradients.double()
    if released:
        square = g**2
        denominator = 2 * square + (g**3 * a).sum((2, 3), keepdim=True)
    else:
        # both sides over G^2, which would vanish for small gradients
        square = (g != 0).to(g)
        denominator = square * (2 + g * a.sum((2, 3), keepdim=True))
    alpha = torch.where(denominator != 0, square / torch.where(denominator != 0, denominator, 1.0), 0.0)
    return (alpha * g.clamp(min=0)).sum((2, 3)).to(features)


def layer_cam_map(features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    r"""LayerCAM, :math:`\mathrm{ReLU}(\sum_k \mathrm{ReLU}(G_k) \odot A_k)` (Jiang et al. 2021, Eq. 5 to 7).

    Parameters
    ----------
    features, gradients : shape (m, K, h, w), floating
        The A and the G.

    Returns
    -------
    shape (m, h, w), not negative, in units of the logit
    """
    return (gradients.clamp(min=0) * features).sum(1).clamp(min=0)


class GradientCAM(CoarseMaps[Pass]):
    """A map made of feature maps and their gradients; all targets of a frame share its forward pass.

    Parameters
    ----------
    formula
        From A and G [m, K, h, w] to maps [m, h, w].
    layer
        Module by name; None for `layers.default_layer`.
    upsample
        Whether maps have the size of the images instead of the layer's.
    batch_size
        Images in one pass.
    """

    def __init__(self, formula: Formula, layer: str | None, upsample: bool, batch_size: int) -> None:
        super().__init__(upsample, batch_size)
        self.formula, self.layer = formula, named(layer)

    def _run(self, model: nn.Module, images: torch.Tensor) -> Pass:
        return run_from(model, images, self.layer)

    def _maps(self, passed: Pass, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return self.formula(passed.features[frame], passed.gradients(frame, output)).detach()


class CAM(GradientCAM):
    """CAM of a network that ends with global average pooling and one linear layer."""

    def __init__(self, layer: str | None, upsample: bool, batch_size: int) -> None:
        super().__init__(cam_map, layer, upsample, batch_size)
        self._weights: torch.Tensor | None = None

    def _run(self, model: nn.Module, images: torch.Tensor) -> Pass:
        passed, self._weights = linear_head(model, images, self.layer)
        if self._weights is None:
            raise ValueError(
                "cam needs global average pooling and one linear layer between the feature maps and the logits, which "
                f"this network does not have; take {'class_map' if hasattr(model, 'class_maps') else 'grad_cam'}"
            )
        return passed

    def _maps(self, passed: Pass, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        assert self._weights is not None
        return cam_map(passed.features[frame], self._weights[output])


def linear_head(model: nn.Module, images: torch.Tensor, layer: str | None) -> tuple[Pass, torch.Tensor | None]:
    """A forward pass, and the weights of the linear layer that reads the mean of the feature maps.

    Parameters
    ----------
    model
        In evaluation mode.
    images : shape (N, C, H, W), dtype of the model
    layer
        Module by name; None for `layers.default_layer`.

    Returns
    -------
    passed
        The pass from the layer on.
    weights : shape (n_outputs, K)
        None where something else is between the feature maps and the logits.
    """
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # only vectors: large maps would be kept for nothing
        if inputs[0].ndim == 2 or inputs[0].shape[2:].numel() == 1:
            calls.append((module, inputs[0].detach(), output.detach()))

    linear = [m for m in model.modules() if isinstance(m, nn.Linear) or _is_pointwise(m)]
    handles = [module.register_forward_hook(note) for module in linear]
    try:
        passed = run_from(model, images, layer)
    finally:
        for handle in handles:
            handle.remove()
    pooled = passed.features.mean((2, 3))
    for module, before, after in reversed(calls):
        before, after = before.flatten(1), after.flatten(1)
        if before.shape == pooled.shape and after.shape == passed.logits.shape:
            close = torch.allclose(before, pooled, rtol=1e-3, atol=1e-4 * float(pooled.abs().max()))
            if close and torch.equal(after, passed.logits):
                return passed, module.weight.detach().flatten(1)  # type: ignore[operator, union-attr]
    return passed, None


def _is_pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


class GuidedGradCAM:
    """Guided backpropagation times Grad-CAM, which is divided by its maximum and upsampled (Selvaraju et al. 2017).

    Parameters
    ----------
    layer, batch_size
        See `GradientCAM`.
    channels, other_activations
        See `guided.guided_backprop`.
    """

    def __init__(self, layer: str | None, channels: str, other_activations: str, batch_size: int) -> None:
        self.cam = GradientCAM(grad_cam_map, layer, False, batch_size)
        self.guided = guided_backprop(channels=channels, other_activations=other_activations, batch_size=batch_size)

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; maps have the size of the images."""
        guided = self.guided(model, images, pairs)
        if not len(guided.values):
            return guided
        coarse = torch.from_numpy(self.cam(model, images, pairs).values)
        top = coarse.amax((1, 2), keepdim=True)
        share = upsampled(coarse / torch.where(top > 0, top, 1.0), guided.values.shape[1:])  # type: ignore[arg-type]
        return relevance(guided.values * share.numpy(), guided.score, conserves=False)


def cam(layer: str | None = None, upsample: bool = False, batch_size: int = 32) -> Explainer:
    """CAM, signed, for networks with global average pooling and one linear layer (Zhou et al. 2016)."""
    return CAM(layer, upsample, batch_size)


def grad_cam(layer: str | None = None, upsample: bool = False, batch_size: int = 32) -> Explainer:
    """Grad-CAM (Selvaraju et al. 2017)."""
    return GradientCAM(grad_cam_map, layer, upsample, batch_size)


def grad_cam_pp(
    layer: str | None = None, released: bool = False, upsample: bool = False, batch_size: int = 32
) -> Explainer:
    """Grad-CAM++ (Chattopadhay et al. 2018); `released` is the denominator of the authors' code."""

    def formula(features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return cam_map(features, grad_cam_pp_weights(features, gradients, released)).clamp(min=0)

    return GradientCAM(formula, layer, upsample, batch_size)


def layer_cam(layer: str | None = None, upsample: bool = False, batch_size: int = 32) -> Explainer:
    """LayerCAM (Jiang et al. 2021), which also suits early layers."""
    return GradientCAM(layer_cam_map, layer, upsample, batch_size)


def guided_grad_cam(
    layer: str | None = None, channels: str = "sum", other_activations: str = "refuse", batch_size: int = 32
) -> Explainer:
    """Guided Grad-CAM (Selvaraju et al. 2017)."""
    return GuidedGradCAM(layer, channels, other_activations, batch_size)
