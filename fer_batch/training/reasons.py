"""Explanations that a training can align with maps, differentiable (right for the right reasons, methods 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch.nn import functional

from fer_batch.training.alignment import alignment_loss, has_map, resized_maps
from fer_batch.training.auxiliary import Auxiliary, Seen, activations
from fer_batch.training.settings import AlignSettings

IMAGES = "images"
Reduce = Literal["sum", "mean"]


def evidence(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The logit of the true class, or the sum of those of the Action Units that are shown.

    Parameters
    ----------
    logits : shape (N, A), floating
    labels : shape (N, A)
        1, 0, or NaN where not annotated, which counts as 0.

    Returns
    -------
    shape (N,), dtype of the logits
    """
    return torch.where(labels == 1, logits, 0).sum(1)


def _gradients(seen: Seen) -> list[torch.Tensor]:
    """Of the evidence with respect to the activations of every layer, differentiable once more."""
    total = evidence(seen.logits, seen.labels).sum()
    return list(torch.autograd.grad(total, list(seen.features.values()), create_graph=True))


def grad_cams(seen: Seen) -> dict[str, torch.Tensor]:
    r"""Grad-CAM of the true class (or of the units that are shown) by layer, before its ReLU.

    .. math:: M = \sum_k \alpha_k F_k, \qquad \alpha_k = \frac{1}{hw} \sum_{ij} \partial z / \partial F_{kij}

    Without the ReLU a map that is negative throughout still has a gradient.

    Parameters
    ----------
    seen
        Of one step; features (N, n, h, w) are part of the graph of the logits.

    Returns
    -------
    by layer, shape (N, 1, h, w), float32 at least

    References
    ----------
    Selvaraju et al. (2017), Eq. 1 and 2.
    """
    pairs = zip(activations(seen).items(), _gradients(seen), strict=True)
    return {name: _own(seen, g.mean((2, 3), keepdim=True) * values) for (name, values), g in pairs}


def attributions(seen: Seen) -> dict[str, torch.Tensor]:
    r"""Gradient times activation of the same evidence, summed over the channels: :math:`\sum_k F_k \odot \partial z / \partial F_k`.

    Parameters
    ----------
    seen
        As in `grad_cams`.

    Returns
    -------
    by layer, shape (N, 1, h, w), float32 at least

    References
    ----------
    Bonnard et al. (2022), Privileged attribution constrained deep networks for facial expression recognition, ICPR.
    """  # noqa: E501
    pairs = zip(activations(seen).items(), _gradients(seen), strict=True)
    return {name: _own(seen, g * values) for (name, values), g in pairs}


def _own(seen: Seen, values: torch.Tensor) -> torch.Tensor:
    """Sum over the channels; 0 of samples that show nothing, to which batch norms carry traces of the others."""
    shown = (seen.labels == 1).any(1)[:, None, None, None]
    return torch.where(shown, values.sum(1, keepdim=True), 0)


def privileged_loss(found: dict[str, torch.Tensor], maps: torch.Tensor, reduce: Reduce = "sum") -> torch.Tensor:
    """How far attributions are from maps: 1 less their correlation, the alignment of both less their means.

    Parameters
    ----------
    found
        By layer, shape (N, 1, h, w), floating.
    maps : shape (N, H, W), floating
        As in `alignment_loss`.
    reduce
        `sum` or `mean` over the layers.

    Returns
    -------
    scalar, the mean over the samples that have a map

    References
    ----------
    Bonnard et al. (2022): the cross-correlation of attribution and prior; here the prior is standardised too, so that
    the loss lies in 0 to 2 whatever its area.
    """
    valid = has_map(maps)
    terms = []
    for values in found.values():
        own = values[valid]
        goal = resized_maps(maps[valid].to(own), (own.shape[2], own.shape[3]))
        goal = goal - goal.mean((1, 2), keepdim=True)
        terms.append(alignment_loss({"": own - own.mean((2, 3), keepdim=True)}, goal))
    total = torch.stack(terms).sum()
    return total / len(terms) if reduce == "mean" else total


def class_gradients(seen: Seen) -> dict[str, torch.Tensor]:
    r"""Gradient of the log-probabilities of all classes with respect to the images, :math:`\partial_x \sum_k \log p_k`.

    Parameters
    ----------
    seen
        Of one step; the images are a leaf of the graph of the logits.

    Returns
    -------
    under `images`, shape (N, 3, H, W)

    References
    ----------
    Ross, Hughes & Doshi-Velez (2017), Right for the right reasons, IJCAI, Eq. 1.
    """
    return _of_images(functional.log_softmax(seen.logits, 1).sum(), seen.images)


def unit_gradients(seen: Seen) -> dict[str, torch.Tensor]:
    r"""The same of Action Units: each that is shown is a question of two answers, :math:`\log p + \log (1 - p)`.

    Units that are not shown have no part in the map, and none here.

    Parameters
    ----------
    seen
        As in `class_gradients`.

    Returns
    -------
    under `images`, shape (N, 3, H, W), dtype of the images
    """
    both = functional.logsigmoid(seen.logits) + functional.logsigmoid(-seen.logits)
    return _of_images(evidence(both, seen.labels).sum(), seen.images)


def _of_images(total: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
    return {IMAGES: torch.autograd.grad(total, images, create_graph=True)[0]}


def right_reasons_loss(found: dict[str, torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
    r"""What input gradients have outside the maps, :math:`\sum_d ((1 - A_d)\, \partial_d)^2`.

    Parameters
    ----------
    found
        `images`: gradients, shape (N, C, H, W).
    maps : shape (N, H, W)
        Where the network should look, 1 there and 0 elsewhere; resized to the images (`resized_maps`). One that is not
        finite is no map.

    Returns
    -------
    scalar
        Sum over pixels and channels, mean over the samples that have a map; 0 where none has.

    References
    ----------
    Ross, Hughes & Doshi-Velez (2017), Eq. 1, whose mask of what is irrelevant is 1 - A.
    """
    gradients, valid = found[IMAGES], has_map(maps)
    own = gradients[valid]
    outside = 1 - resized_maps(maps[valid].to(own), (own.shape[2], own.shape[3]))
    return (outside[:, None] * own).square().sum() / max(len(own), 1)


def auxiliary_of(align: AlignSettings, head: str) -> Auxiliary:
    """The second loss that section `align` of a job asks for.

    Parameters
    ----------
    align
        The section.
    head
        `softmax` or `multilabel`.
    """
    if align.to == "gradient":
        see = class_gradients if head == "softmax" else unit_gradients
        return Auxiliary((), right_reasons_loss, align.weight, see, of_images=True)
    sees: dict[str, Callable[[Seen], dict[str, torch.Tensor]]] = {
        "attention": activations, "grad_cam": grad_cams, "attribution": attributions,
    }  # fmt: skip
    loss = privileged_loss if align.to == "attribution" else alignment_loss
    return Auxiliary(align.layers, lambda found, maps: loss(found, maps, align.reduce), align.weight, sees[align.to])


def check_shapes(features: dict[str, torch.Tensor], layers: Sequence[str]) -> None:
    """Refuse layers without height and width.

    Parameters
    ----------
    features
        Activations by layer, of any shape and dtype; (N, n, h, w) is what can be aligned.
    layers
        Which are aligned.

    Raises
    ------
    ValueError
        If one is no map, or has a single place, which every map agrees with.
    """
    for name in layers:
        shape = tuple(features[name].shape)
        if len(shape) != 4:
            raise ValueError(f"layer {name!r} gives {shape}; what is aligned has channels, height and width")
        if shape[2] * shape[3] == 1:
            raise ValueError(f"layer {name!r} gives {shape}: one place agrees with every map; name an earlier layer")
