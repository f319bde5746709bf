"""A backbone and a stack of dense layers in the place of its last one, as many published networks end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fer_batch.registry import nearest
from fer_batch.types import InputError

_PLAIN = {"relu": nn.ReLU, "batch_norm": nn.BatchNorm1d, "dropout": nn.Dropout}


class DenseHead(nn.Module):
    """A backbone's features (`backbone`), then dense layers (`classifier`).

    Parameters
    ----------
    backbone
        Returns features of shape (N, n_features).
    n_features
        Of the backbone.
    layers
        What stands before the last dense layer, in order: a number is a dense layer of that width, `relu`, `batch_norm`
        and `dropout` (probability 0.5) are what they say.
    n_outputs
        Number of logits.

    Raises
    ------
    InputError
        If a layer is none of these.
    """

    def __init__(self, backbone: nn.Module, n_features: int, layers: Sequence[int | str], n_outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        modules: list[nn.Module] = []
        width = n_features
        for layer in layers:
            if isinstance(layer, int) and layer > 0:
                modules.append(nn.Linear(width, layer))
                width = layer
            elif isinstance(layer, str) and layer in _PLAIN:
                modules.append(nn.BatchNorm1d(width) if layer == "batch_norm" else _PLAIN[layer]())
            else:
                known = nearest(str(layer), _PLAIN)
                raise InputError(f"options.layers: expected a width or the name of a layer, got {layer!r}; {known}")
        self.classifier = nn.Sequential(*modules, nn.Linear(width, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (N, n_outputs), of images (N, 3, H, W) in the dtype of the weights."""
        return self.classifier(self.backbone(x))


def without_head(model: nn.Module, head: str) -> int:
    """Take the last dense layer, named `head`, out of a network in place; its number of features.

    Raises
    ------
    InputError
        If what makes the logits is no dense layer.
    """
    last = model.get_submodule(head) if head else None
    if not isinstance(last, nn.Linear):
        kind = type(last).__name__ if last is not None else "none"
        raise InputError(f"options.backbone: its last layer must be a dense one, got {kind}")
    model.set_submodule(head, nn.Identity())
    return last.in_features
