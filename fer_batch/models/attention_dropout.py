"""Attention-based dropout: in training a layer hides, or weighs, its own most active positions."""

from __future__ import annotations

import difflib

import torch
from torch import nn

from fer_batch.models.map_heads import not_negative
from fer_batch.types import InputError


def drop_mask(features: torch.Tensor, threshold: float) -> torch.Tensor:
    """1 where the mean over the channels is below a share of its largest value, 0 elsewhere.

    Parameters
    ----------
    features : shape (N, C, h, w), floating
    threshold
        Share of the largest value of each image.

    Returns
    -------
    shape (N, 1, h, w), dtype of the features
    """
    attention = features.mean(1, keepdim=True)
    return (attention < threshold * attention.amax((2, 3), keepdim=True)).to(features.dtype)


def importance_map(features: torch.Tensor) -> torch.Tensor:
    """Sigmoid of the mean over the channels.

    Parameters
    ----------
    features : shape (N, C, h, w), floating

    Returns
    -------
    shape (N, 1, h, w), in [0, 1]
    """
    return features.mean(1, keepdim=True).sigmoid()


class AttentionDropout(nn.Module):
    """ADL: the drop mask of a batch with some probability, else its importance map; the identity in evaluation.

    Parameters
    ----------
    drop_rate
        Probability of the drop mask, drawn once a batch.
    threshold
        See `drop_mask`.

    References
    ----------
    Choe & Shim (2019), Attention-based dropout layer for weakly supervised object localization. CVPR.
    """

    def __init__(self, drop_rate: float = 0.4, threshold: float = 0.9) -> None:
        super().__init__()
        self.drop_rate = not_negative("drop_rate", drop_rate, most=1)
        self.threshold = not_negative("threshold", threshold, most=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Feature maps, shape (N, C, h, w), times their mask in training; shape and dtype stay."""
        if not self.training:
            return features
        drops = float(torch.rand(())) < self.drop_rate
        return features * (drop_mask(features, self.threshold) if drops else importance_map(features))


def with_attention_dropout(
    model: nn.Module, layers: tuple[str, ...], drop_rate: float = 0.4, threshold: float = 0.9
) -> nn.Module:
    """Let some layers of a network be followed by attention-based dropout; names and weights stay.

    Parameters
    ----------
    model
        Changed in place: each layer gets a part `attention_dropout`.
    layers
        Dotted names as `model.named_modules()` has them.
    drop_rate, threshold
        See `AttentionDropout`.

    Raises
    ------
    InputError
        If no layer is named, or there is no layer of a name.
    """
    known = dict(model.named_modules())
    if not layers:
        raise InputError("options.layers: head adl needs the names of the layers that it follows, such as layer4.0")
    for name in layers:
        if name not in known or not name:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            top = ", ".join(child for child, _ in model.named_children())
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InputError(f"options.layers: the network has no module {name!r}; {hint}at the top it has {top}")
        known[name].add_module("attention_dropout", AttentionDropout(drop_rate, threshold))
        if not isinstance(known[name], nn.Sequential):  # which runs what is added to it
            known[name].register_forward_hook(_dropped)
    return model


def _dropped(layer: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    """A hook rather than a module behind the layer: blocks keep their places, and weights files their names."""
    found: torch.Tensor = layer.attention_dropout(output)  # type: ignore[operator]
    return found
