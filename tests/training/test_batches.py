"""Batches: every row once, whole batches only, crops and maps moved alike."""

import numpy as np
import torch

from fer_batch.training.augment import flip
from fer_batch.training.batches import as_images, batches, order_of


def test_an_epoch_has_every_row_at_most_once_and_whole_batches_only():
    order = order_of(23, 5, torch.Generator().manual_seed(3))
    assert [len(rows) for rows in order] == [5, 5, 5, 5]
    assert len(set(np.concatenate(order).tolist())) == 20


def test_bytes_become_images_in_unit_range_and_maps_follow_them():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    maps = images[..., 0].astype(np.float32)
    rows = [np.array([4, 1]), np.array([0, 5])]
    found = list(batches(images, torch.arange(6.0)[:, None], maps, rows, flip(1.0), torch.Generator().manual_seed(0)))
    for batch, chosen in zip(found, rows, strict=True):
        torch.testing.assert_close(batch.images, as_images(images[chosen]).flip(-1))
        torch.testing.assert_close(batch.images[:, 0] * 255, batch.maps)
        assert batch.labels[:, 0].tolist() == chosen.tolist()
