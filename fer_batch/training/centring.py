"""Mean and deviation of the channels of a training part (methods PP-PD)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fer_batch.models.card import Preprocessing, TrainPreprocessing
from fer_batch.models.preprocess import normalised
from fer_batch.models.spec import Channels
from fer_batch.training.batches import as_images
from fer_batch.training.data import Images

DIGITS = 6  # of what a card holds, so that a network is used with the very numbers that it was trained with


def channel_statistics(
    images: Images,
    rows: NDArray[np.int64],
    preprocessing: Preprocessing,
    device: torch.device | str = "cpu",
    batch_size: int = 128,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over all pixels of some crops, as the network gets them.

    Parameters
    ----------
    images : shape (N, H, W, 3), uint8
        RGB crops.
    rows : shape (n,), int64
        Which of them.
    preprocessing
        Size, colour, and a mean and deviation that are taken off before.
    device
        Where it is computed; sums are in float64 wherever that is.
    batch_size
        Crops in one pass.

    Returns
    -------
    mean, std : shape (3,), float64
        In the unit of the network's input; the deviation is that of the population.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not len(rows):
        raise ValueError("a mean of the training part needs at least one crop in it")
    first, second, n = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(rows), batch_size):
        x = normalised(as_images(images[rows[start : start + batch_size]], device), preprocessing)
        first += x.sum((0, 2, 3), dtype=torch.float64).cpu().numpy()
        second += x.double().square().sum((0, 2, 3)).cpu().numpy()
        n += x.shape[0] * x.shape[2] * x.shape[3]
    mean = first / n
    return mean, np.sqrt(np.maximum(second / n - mean**2, 0))


def measured(
    preprocessing: TrainPreprocessing, images: Images, rows: NDArray[np.int64], device: torch.device | str = "cpu"
) -> Preprocessing:
    """The preprocessing of a fold: numbers of its training part where the job says `train`.

    Parameters
    ----------
    preprocessing
        Of the job.
    images : shape (N, H, W, 3), uint8
        RGB crops.
    rows : shape (n,), int64
        The training part; nothing else is read.
    device
        Where it is computed.

    Raises
    ------
    ValueError
        If a deviation is asked for of crops that have none.
    """
    if not preprocessing.measured:
        return preprocessing.with_numbers()
    plain = Preprocessing(size=preprocessing.size, color=preprocessing.color)
    mean, std = (np.round(values, DIGITS) for values in channel_statistics(images, rows, plain, device))
    if "std" in preprocessing.measured and not std.all():
        raise ValueError("std: train: a channel of the training part is one colour everywhere and has no deviation")
    return preprocessing.with_numbers(_channels(mean), _channels(std))


def _channels(values: NDArray[np.float64]) -> Channels:
    red, green, blue = values.tolist()
    return red, green, blue
