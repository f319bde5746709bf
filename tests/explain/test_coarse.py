"""Maps on a layer's grid: resizing, and the loop over frames and targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fer_batch.explain.coarse import CoarseMaps, upsampled


@dataclass
class Passed:
    logits: torch.Tensor


class Numbered(CoarseMaps[Passed]):
    """A map says which image and output it is of."""

    def _run(self, model, images):
        self.passes = [*getattr(self, "passes", []), len(images)]
        return Passed(images[:, 0, :1, :3].flatten(1))

    def _maps(self, passed, frame, output):
        assert len(set(frame.tolist())) == len(frame), "no frame twice"
        return passed.logits[frame, output][:, None, None] + torch.tensor([[0.0, 0.25], [0.5, 0.75]])


def test_every_pair_gets_its_own_map_and_every_frame_one_pass():
    images = torch.arange(4 * 16.0).reshape(4, 1, 4, 4)
    pairs = np.array([[0, 0], [0, 2], [2, 1], [3, 0], [3, 1], [3, 2]])
    explainer = Numbered(upsample=False, batch_size=2)
    found = explainer(nn.Identity().eval(), images, pairs)
    scores = np.array([0, 2, 33, 48, 49, 50.0])
    np.testing.assert_array_equal(found.score, scores)
    np.testing.assert_array_equal(found.values, scores[:, None, None] + [[0, 0.25], [0.5, 0.75]])
    assert explainer.passes == [2, 1], "frame 1 is not asked for"
    assert np.isnan(found.conservation).all()
    assert Numbered(upsample=True, batch_size=2)(nn.Identity().eval(), images, pairs).values.shape == (6, 4, 4)


def test_upsampling_aligns_pixel_areas():
    found = upsampled(torch.tensor([[[0.0, 4.0]]]), (1, 4))
    np.testing.assert_allclose(found[0], [[0, 1, 3, 4]])
