"""WILDCAT and peak stimulation: class maps by one 1x1 convolution, and how they become scores (methods 7.2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fer_batch.models.class_maps import ClassMaps, MapHead, plain
from fer_batch.registry import nearest
from fer_batch.types import InputError

STIMULATIONS = ("peaks", "max_pool")


def regions(chosen: float, n_positions: int) -> int:
    """How many positions are pooled: a whole number is a count, a fraction a share; at least one, at most all.

    Parameters
    ----------
    chosen
        Count, or share in (0, 1].
    n_positions
        Of a map.
    """
    wanted = chosen if isinstance(chosen, int) else round(chosen * n_positions)
    return min(max(int(wanted), 1), n_positions)


def wildcat_scores(
    maps: torch.Tensor, top: float = 0.5, bottom: float | None = None, alpha: float = 0.6, released: bool = False
) -> torch.Tensor:
    r"""Scores of maps, :math:`s = \frac{1}{k^+} \sum_{top} M + \frac{\alpha}{k^-} \sum_{bottom} M`.

    Parameters
    ----------
    maps : shape (N, K, h, w), floating
        The M.
    top, bottom
        The positions with the largest and the smallest values: see `regions`; `bottom` is as `top` where None.
    alpha
        Weight of the smallest values.
    released
        Only the mean of the largest values, as the released code of Belharbi et al. (2024) computes it, which drops
        its second term.

    Returns
    -------
    shape (N, K), in the units of the maps

    References
    ----------
    Durand et al. (2017), Eq. 2.
    """
    values = maps.flatten(2)
    n = values.shape[2]
    largest = values.topk(regions(top, n), dim=2).values.mean(2)
    if released or not alpha:
        return largest
    smallest = values.topk(regions(top if bottom is None else bottom, n), dim=2, largest=False).values.mean(2)
    return largest + alpha * smallest


def peaks(maps: torch.Tensor, window: int = 3) -> torch.Tensor:
    """Which positions are the largest of the window about them.

    Parameters
    ----------
    maps : shape (N, K, h, w), floating
    window
        Odd side of the window in positions; it ends at the border of the map.

    Returns
    -------
    shape (N, K, h, w), bool
        At least one a map; equal neighbours that are the largest are peaks alike.

    References
    ----------
    Zhou et al. (2018), section 3.1.
    """
    return maps == functional.max_pool2d(maps, window, stride=1, padding=window // 2)


def peak_scores(maps: torch.Tensor, window: int = 3) -> torch.Tensor:
    r"""Mean of a map over its peaks, :math:`s_c = \frac{1}{N_c} \sum_k M_{c,i_k,j_k}`; gradients reach peaks alone.

    Parameters
    ----------
    maps : shape (N, K, h, w), floating
    window
        See `peaks`.

    Returns
    -------
    shape (N, K), in the units of the maps

    References
    ----------
    Zhou et al. (2018), Eq. 1 and 2.
    """
    found = peaks(maps.detach(), window).to(maps.dtype)
    return (maps * found).sum((2, 3)) / found.sum((2, 3))


class Wildcat(MapHead):
    """WILDCAT: several maps (modalities) a class, their mean, and its largest and smallest values.

    Parameters
    ----------
    n_channels, n_outputs
        Of the feature maps, and of the logits.
    modalities
        Maps of each class.
    top, bottom, alpha, released
        See `wildcat_scores`.

    References
    ----------
    Durand et al. (2017), WILDCAT: weakly supervised learning of deep ConvNets. CVPR.
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        modalities: int = 5,
        top: float = 0.5,
        bottom: float | None = None,
        alpha: float = 0.6,
        released: bool = False,
    ) -> None:
        super().__init__()
        self.modalities = whole("modalities", modalities)
        for name, value in (("top", top), ("bottom", top if bottom is None else bottom)):
            count = isinstance(value, int) and value >= 1
            if isinstance(value, bool) or not (count or (isinstance(value, float) and 0 < value <= 1)):
                raise InputError(f"options.{name} is a number of positions or a share in (0, 1], got {value!r}")
        if not isinstance(released, bool):
            raise InputError(f"options.released is true or false, got {released!r}")
        self.top, self.bottom, self.alpha, self.released = top, bottom, not_negative("alpha", alpha), released
        self.maps = nn.Conv2d(n_channels, n_outputs * self.modalities, 1)

    def class_maps(self, features: torch.Tensor) -> ClassMaps:
        """Maps that are the mean over the modalities, of feature maps (N, C, h, w) in the dtype of the weights."""
        maps = self.maps(features).unflatten(1, (-1, self.modalities)).mean(2)
        return plain(wildcat_scores(maps, self.top, self.bottom, self.alpha, self.released), maps)


class PeakStimulation(MapHead):
    """The training of peak response maps: a class scores by the peaks of its map.

    Parameters
    ----------
    n_channels, n_outputs
        Of the feature maps, and of the logits.
    window
        Odd side of the window in which a peak is the largest.
    stimulation
        `peaks`: the mean over the peaks, as published. `max_pool`: the mean of the largest values of all windows that
        lie within the map, as Belharbi et al. (2024) use it.

    References
    ----------
    Zhou et al. (2018), Weakly supervised instance segmentation using class peak response. CVPR.
    """

    def __init__(self, n_channels: int, n_outputs: int, window: int = 3, stimulation: str = "peaks") -> None:
        super().__init__()
        self.window = whole("window", window)
        if not self.window % 2:
            raise InputError(f"options.window must be odd, so that it has a centre; got {window}")
        if stimulation not in STIMULATIONS:
            raise InputError(
                f"options.stimulation {stimulation!r} is unknown; {nearest(str(stimulation), STIMULATIONS)}"
            )
        self.stimulation = stimulation
        self.maps = nn.Conv2d(n_channels, n_outputs, 1)

    def class_maps(self, features: torch.Tensor) -> ClassMaps:
        """Maps before pooling, of feature maps (N, C, h, w) in the dtype of the weights."""
        maps = self.maps(features)
        if self.stimulation == "peaks":
            return plain(peak_scores(maps, self.window), maps)
        return plain(functional.max_pool2d(maps, self.window, stride=1).mean((2, 3)), maps)


def whole(name: str, value: object) -> int:
    """The value of an option that counts something.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"options.{name} must be a positive integer, got {value!r}")
    return value


def not_negative(name: str, value: object, most: float = float("inf")) -> float:
    """The value of an option that is a number from 0 to `most`.

    Raises
    ------
    InputError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        limit = "0 or more" if most == float("inf") else f"between 0 and {most:g}"
        raise InputError(f"options.{name} must be a number {limit}, got {value!r}")
    return float(value)
