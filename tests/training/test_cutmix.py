"""CutMix: pixels, maps and labels are mixed alike."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from fer_batch.training.alignment import has_map
from fer_batch.training.augment import AUGMENTATIONS
from fer_batch.training.auxiliary import Auxiliary
from fer_batch.training.batches import Batch, batches
from fer_batch.training.cutmix import CutMix, cut_box
from fer_batch.training.loop import train_epoch
from fer_batch.training.losses import class_loss


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n=6, size=24):
    images = torch.rand(n, 3, size, size, generator=generator(9))
    return images, images[:, 0].clone(), torch.eye(n)


def test_maps_go_where_pixels_go_and_labels_by_their_share():
    for seed in range(8):
        images, maps, labels = drawn()
        for name, n in zip(labels.argmax(1).tolist(), range(6), strict=True):
            images[n, 1] = name  # whose pixel it is
        mixed = AUGMENTATIONS["cutmix"](first="none").mixed(images, maps, labels, generator(seed))
        torch.testing.assert_close(mixed.maps, mixed.images[:, 0])
        for n in range(6):
            own = (mixed.images[n, 1] == mixed.labels[n].argmax()).double().mean().item()
            assert 0.5 <= mixed.share <= 1
            same = torch.equal(mixed.labels[n], mixed.others[n])
            assert own == pytest.approx(1.0 if same else mixed.share, abs=1e-6)


def test_the_part_that_is_cut_is_that_of_a_beta_distribution():
    rng = np.random.default_rng(0)
    boxes = [cut_box(rng, 1.0, (60, 40)) for _ in range(4000)]
    shares = np.array([(d.stop - d.start) * (r.stop - r.start) / 2400 for d, r in boxes])
    assert (shares >= 0).all() and shares.max() <= 1
    # a uniform part about a uniform centre, cut off at the border: E = integral of (s - s^2/4)^2 over s^2 uniform
    side = np.sqrt(np.random.default_rng(1).random(200_000))
    expected = ((side - side**2 / 4) ** 2).mean()
    assert shares.mean() == pytest.approx(expected, abs=0.02)


def test_a_sample_without_a_map_spoils_those_that_get_a_part_of_it():
    images, maps, labels = drawn()
    maps[2] = float("inf")
    mixed = AUGMENTATIONS["cutmix"](first="none").mixed(images, maps, labels, generator(1))
    assert 0 < mixed.share < 1
    bad = [n for n in range(6) if 2 in (int(mixed.labels[n].argmax()), int(mixed.others[n].argmax()))]
    assert has_map(mixed.maps).tolist() == [n not in bad for n in range(6)]


def test_the_loss_is_the_cross_entropy_of_the_mixed_label():
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    labels = torch.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]
    mix = AUGMENTATIONS["cutmix"]()
    (batch,) = batches(images, labels, None, [np.arange(8)], mix, generator(2))
    (again,) = batches(images, labels, None, [np.arange(8)], mix, generator(2))
    assert torch.equal(batch.images, again.images) and batch.share == again.share < 1
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4))
    soft = batch.share * batch.labels + (1 - batch.share) * batch.others
    expected = functional.cross_entropy(net(batch.images), soft).item()
    optimizer = torch.optim.SGD(net.parameters(), 1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    assert train_epoch(net, [batch], class_loss, optimizer, schedule) == pytest.approx(expected, rel=1e-5)


def test_a_map_of_two_faces_explains_both_labels():
    labels, others = torch.eye(3)[[0, 1]], torch.eye(3)[[2, 1]]
    batch = Batch(torch.rand(2, 3, 8, 8), labels, torch.rand(2, 8, 8), others, 0.7)
    seen = []
    auxiliary = Auxiliary(
        ("0",), lambda found, maps: found["0"].sum(), see=lambda own: seen.append(own) or own.features
    )
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    train_epoch(net, [batch], class_loss, optimizer, schedule, auxiliary=auxiliary)
    assert seen[0].labels.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_no_batch_is_mixed_where_the_share_is_0_and_what_is_judged_never_is():
    images, maps, labels = drawn()
    first = AUGMENTATIONS["flip"](0.5)
    expected, _ = first(images, maps, generator(4))
    still = CutMix(first, share=0.0).mixed(images, maps, labels, generator(4))
    assert torch.equal(still.images, expected) and still.share == 1 and torch.equal(still.labels, labels)
    assert torch.equal(CutMix(first)(images, maps, generator(4))[0], expected)


def test_what_is_no_mixture_is_refused():
    for options in ({"share": 1.5}, {"alpha": 0}):
        with pytest.raises(ValueError, match="share is from 0 to 1 and alpha above 0"):
            AUGMENTATIONS["cutmix"](**options)
    with pytest.raises(ValueError, match="first is another augmentation"):
        AUGMENTATIONS["cutmix"]("cutmix")
    with pytest.raises(ValueError, match="did you mean 'flip'"):
        AUGMENTATIONS["cutmix"]("flp")


def test_further_options_are_those_of_what_is_done_before():
    images, maps, labels = drawn()
    found = AUGMENTATIONS["cutmix"](first="faces", share=0.0, rotation=40).mixed(images, maps, labels, generator(4))
    expected, _ = AUGMENTATIONS["faces"](rotation=40)(images, maps, generator(4))
    assert torch.equal(found.images, expected)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rotatoin'"):
        AUGMENTATIONS["cutmix"](first="faces", rotatoin=40)
