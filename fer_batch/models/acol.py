"""Adversarial complementary learning: a second classifier learns from what the first one does not look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from fer_batch.models.class_maps import ClassMaps, MapHead, unit_range
from fer_batch.models.map_heads import not_negative, whole

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class _Seen(NamedTuple):
    """What a forward pass in training leaves for the second classifier, and how it was computed."""

    features: torch.Tensor
    maps: torch.Tensor
    autocast: bool
    dtype: torch.dtype


def erased(features: torch.Tensor, maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """Features without the positions where a map, stretched to [0, 1], reaches a threshold.

    Parameters
    ----------
    features : shape (N, C, h, w), floating
    maps : shape (N, h, w), in [0, 1]
    threshold
        From which value on a position is erased.

    Returns
    -------
    shape (N, C, h, w), dtype of the features
        The mask has no gradient.
    """
    return features * (maps.detach() < threshold).to(features.dtype)[:, None]


class Acol(MapHead):
    """Two convolutional classifiers; the second sees the features without the discriminative positions of the first.

    Logits are those of the first. In training the second is fitted by `further_loss`, because what is erased for it
    follows the labels: the maps of the present classes together.

    Parameters
    ----------
    n_channels, n_outputs
        Of the feature maps, and of the logits.
    threshold
        From which value on a position of the label's map, stretched to [0, 1], is erased.
    channels
        Of the two hidden convolutions of each classifier.

    References
    ----------
    Zhang et al. (2018), Adversarial complementary learning for weakly supervised object localization. CVPR.
    """

    def __init__(self, n_channels: int, n_outputs: int, threshold: float = 0.1, channels: int = 1024) -> None:
        super().__init__()
        self.threshold = not_negative("threshold", threshold, most=1)
        width = whole("channels", channels)
        self.first, self.second = (_classifier(n_channels, width, n_outputs) for _ in range(2))
        self._seen: _Seen | None = None

    def train(self, mode: bool = True) -> Acol:
        """Training or evaluation mode; nothing of an earlier batch is kept."""
        self._seen = None
        return super().train(mode)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of the first classifier, shape (N, n_outputs), of feature maps (N, C, h, w) in the weights' dtype."""
        maps = self.first(features)
        if self.training and torch.is_grad_enabled():
            kind = features.device.type
            self._seen = _Seen(features, maps.detach(), torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        return maps.mean((2, 3))

    def further_loss(self, labels: torch.Tensor, loss: Loss) -> torch.Tensor | None:
        """Loss of the second classifier on the batch of the last forward pass in training; None where there was none.

        Parameters
        ----------
        labels : shape (N, n_outputs)
            1 present, 0 absent, NaN not annotated.
        loss
            Of logits and labels: a scalar.

        Returns
        -------
        scalar
        """
        seen, self._seen = self._seen, None
        if seen is None:
            return None
        present = unit_range(seen.maps).masked_fill((labels != 1)[:, :, None, None], -torch.inf).amax(1)
        with torch.autocast(labels.device.type, seen.dtype, enabled=seen.autocast):
            logits = self.second(erased(seen.features, present, self.threshold)).mean((2, 3))
        return loss(logits.float(), labels)

    def class_maps(self, features: torch.Tensor) -> ClassMaps:
        """Maps that are the larger of both classifiers' maps, each stretched to [0, 1].

        Parameters
        ----------
        features : shape (N, C, h, w), dtype of the weights
        """
        maps = self.first(features)

        def of(frame: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
            first = unit_range(maps[frame, output])
            rest = self.second(erased(features[frame], first, self.threshold))
            second = rest[torch.arange(len(rest), device=rest.device), output]
            return torch.maximum(first, unit_range(second))

        return ClassMaps(maps.mean((2, 3)), maps, of)


def _classifier(n_channels: int, width: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, n_outputs, 1),
    )


def adds_loss(model: nn.Module) -> bool:
    """Whether a part of a network has a loss of its own, so that more is minimised than the loss of its logits."""
    return any(hasattr(module, "further_loss") for module in model.modules())


def further_losses(model: nn.Module, labels: torch.Tensor, loss: Loss) -> Iterator[torch.Tensor]:
    """What parts of a network add to the loss of the batch that it has just seen in training.

    Parameters
    ----------
    model
        Any module; a part that has something to add has a method `further_loss(labels, loss)`.
    labels : shape (N, n_outputs)
        1 present, 0 absent, NaN not annotated.
    loss
        Of logits and labels: a scalar.

    Yields
    ------
    scalar
    """
    for module in model.modules():
        further = getattr(module, "further_loss", None)
        value = None if further is None else further(labels, loss)
        if value is not None:
            yield value
