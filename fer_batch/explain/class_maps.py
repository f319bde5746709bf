"""Maps that networks make of their own classes: those of heads that are trained to localise (methods 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from fer_batch.explain.cam import linear_head
from fer_batch.explain.coarse import CoarseMaps
from fer_batch.explain.explainer import Explainer

_HEADS = "a head that is trained to localise (network.options.head: wildcat, prm or acol; ts_cam_deit_small)"


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
        raise ValueError(f"the network makes no maps of its classes; it needs {_HEADS}")
    found: ClassMaps = made(images)
    return found


@dataclass(frozen=True)
class _Cam:
    """The maps of a network that ends in average pooling and a linear layer."""

    logits: torch.Tensor
    responses: torch.Tensor

    def of(self, frame: torch.Tensor, output: torch.Tensor, /) -> torch.Tensor:
        return self.responses[frame, output]


class ClassMap(CoarseMaps[ClassMaps]):
    """The class maps of a network, as its head defines them; CAM where that is average pooling and a linear layer."""

    def _run(self, model: nn.Module, images: torch.Tensor) -> ClassMaps:
        if getattr(model, "class_maps", None) is not None:
            with torch.no_grad():
                return maps_of(model, images)
        passed, weights = linear_head(model, images, None)
        if weights is None:
            raise ValueError(
                f"class_map needs {_HEADS}, or average pooling and one linear layer behind the feature maps; this "
                "network has neither: take grad_cam or attention"
            )
        maps = torch.einsum("ck,nkhw->nchw", weights, passed.features)
        return _Cam(passed.logits, maps)

    @torch.no_grad()
    def _maps(self, passed: ClassMaps, frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return passed.of(frame, output)


def class_map(upsample: bool = False, batch_size: int = 32) -> Explainer:
    """The map of a head that was trained to localise (WILDCAT, peak stimulation, ACoL, TS-CAM), or CAM."""
    return ClassMap(upsample, batch_size)
