"""What a network that makes maps of its own classes gives beside its logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Chosen = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ClassMaps:
    """Logits of a batch and the maps that they were pooled from.

    Attributes
    ----------
    logits : shape (N, n_outputs)
    responses : shape (N, n_outputs, h, w)
        Before pooling, with the graph of the forward pass.
    of
        From frames and outputs, both (m,) int64, to the maps (m, h, w) that explain them.
    """

    logits: torch.Tensor
    responses: torch.Tensor
    of: Chosen


def plain(logits: torch.Tensor, responses: torch.Tensor) -> ClassMaps:
    """Maps that are the responses themselves.

    Parameters
    ----------
    logits : shape (N, n_outputs)
    responses : shape (N, n_outputs, h, w)
    """
    return ClassMaps(logits, responses, lambda frame, output: responses[frame, output])


class MapHead(nn.Module):
    """A head that pools maps of classes to logits, in the place of pooling and a dense layer."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of feature maps (N, C, h, w) in the dtype of the weights."""
        return self.class_maps(features).logits

    def class_maps(self, features: torch.Tensor) -> ClassMaps:
        """Logits and maps of feature maps.

        Parameters
        ----------
        features : shape (N, C, h, w), dtype of the weights

        Raises
        ------
        NotImplementedError
            If a head does not say what its maps are.
        """
        raise NotImplementedError


def unit_range(maps: torch.Tensor) -> torch.Tensor:
    """Every map stretched to [0, 1]; one that is the same everywhere becomes zeros (methods X-5).

    Parameters
    ----------
    maps : shape (..., h, w), floating

    Returns
    -------
    The same shape and dtype.
    """
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1.0)
