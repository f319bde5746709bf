"""Maps that networks make of their own classes: those of heads that are trained to localise (methods 7.2)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from fer_batch.explain.coarse import CoarseMaps
from fer_batch.explain.explainer import Explainer


class ClassMaps(Protocol):
    """What `class_maps(images)` of a network returns; `models.class_maps.ClassMaps` is one."""

    @property
    def logits(self) -> torch.Tensor:
        """Shape (N, n_outputs), in logit units."""
        ...

    @property
    def responses(self) -> torch.Tensor:
        """Maps before pooling, shape (N, n_outputs, h, w), in logit units, with their graph."""
        ...

    def of(self, frame: torch.Tensor, output: torch.Tensor, /) -> torch.Tensor:
        """Maps, shape (m, h, w), of outputs of frames, both of shape (m,), int64."""
        ...


def maps_of(model: nn.Module, images: torch.Tensor) -> ClassMaps:
    """Logits and class maps of a network.

    Parameters
    ----------
    model
        In evaluation mode.
    images : shape (N, C, H, W), dtype of the model

    Raises
    ------
    ValueError
        If the network makes none.
    """
    made = getattr(model, "class_maps", None)
    if made is None:
        raise ValueError(
            "the network makes no maps of its classes; train one with network.options.head: wildcat, prm or acol, or "
            "take ts_cam_deit_small; the maps of this one are of method cam, grad_cam or attention"
        )
    found: ClassMaps = made(images)
    return found


class ClassMap(CoarseMaps[ClassMaps]):
    """The class maps of a network, as its head defines them."""

    @torch.no_grad()
    def _run(self, model: nn.Module, images: torch.Tensor) -> ClassMaps:
        return maps_of(model, images)

    @torch.no_grad()
    def _maps(self, passed: ClassMaps, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return passed.of(frame, output)


def class_map(upsample: bool = False, batch_size: int = 32) -> Explainer:
    """The map of a head that was trained to localise: WILDCAT, peak stimulation, ACoL, TS-CAM."""
    return ClassMap(upsample, batch_size)
