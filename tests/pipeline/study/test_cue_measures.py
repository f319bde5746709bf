"""What workers leave of a test part is what its images give one by one."""

import numpy as np
import pytest
import torch

from fer_batch import explain
from fer_batch.evaluate.alignment import attention_cosines, cam_cosines
from fer_batch.models.checkpoint import load
from fer_batch.models.preprocess import preprocess
from fer_batch.pipeline.study import cue_measures
from fer_batch.pipeline.study.cue_images import Codebook, crop_landmarks, cue_samples
from fer_batch.pipeline.study.cue_measures import (
    CLASS_MAP,
    CONSTANT,
    FACE,
    UNITS,
    attention_tasks,
    class_map_tasks,
    read_parts,
)
from fer_batch.storage.crop_set import open_crops


@pytest.fixture
def images(cue_study, monkeypatch):
    monkeypatch.setattr(cue_measures, "BATCH", 5)
    monkeypatch.setattr(cue_measures, "PART", 8)
    work = cue_study(folds=(0,), lost=3)
    (network,) = work.shown()
    return work, cue_samples(network, Codebook(), crop_landmarks(network.crops)).images


def run(work, tasks):
    return read_parts(work.store, [task.function(*task.arguments)["path"] for task in tasks])


def test_cosines_and_sums_of_attention_are_those_of_the_images(images):
    work, own = images
    tasks = attention_tasks(work.store.uri, own, ("layer3", "layer1"))
    assert len(tasks) > 1 and len({task.path for task in tasks}) == len(tasks)
    found = run(work, tasks)
    assert set(found.cosines) == {CONSTANT, "layer layer1", "layer layer3"}
    network = load(own.model).eval()
    seen = []
    handle = network.layer3.register_forward_hook(lambda _m, _i, output: seen.append(output.mean(1)))
    with torch.no_grad():
        network(preprocess(open_crops(own.crops).images(own.numbers), own.model.preprocessing))
    handle.remove()
    attention, maps = seen[0].numpy(), own.image_maps()
    np.testing.assert_allclose(found.cosines["layer layer3"], attention_cosines(attention, maps), atol=1e-5)
    for output in set(own.pairs[:, 1].tolist()):
        rows = own.pairs[:, 1] == output
        sums = found.sums["layer layer3", output]
        assert sums.n == rows.sum() and sums.mean.shape == attention.shape[1:]
        np.testing.assert_allclose(sums.mean, attention[rows].mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(sums.first, attention[rows][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.sums[UNITS, output].mean, maps[rows].mean(0), atol=1e-6)
        assert 0.3 < found.sums[FACE, output].mean.mean() < 0.7


@pytest.mark.parametrize(("method", "signed"), [("cam", True), ("class_map", True), ("z", False)])
def test_class_maps_are_of_the_true_class_and_count_as_the_method_says(images, method, signed):
    work, own = images
    found = run(work, class_map_tasks(work.store.uri, own, method, {}))
    inputs = preprocess(open_crops(own.crops).images(own.numbers), own.model.preprocessing)
    values = explain.method(method)(load(own.model).eval(), inputs, own.pairs).values
    assert (values < 0).any()
    expected = cam_cosines(values if signed else values.clip(min=0), own.pair_maps())
    np.testing.assert_allclose(found.cosines[CLASS_MAP], expected, atol=1e-4)
    total = sum(own.n for (column, _), own in found.sums.items() if column == CLASS_MAP)
    assert total == len(own.pairs) and all(one.mean.min() >= 0 and one.mean.max() <= 1 for one in found.sums.values())


def test_layers_without_places_are_refused_by_name(images):
    work, own = images
    (task, *_) = attention_tasks(work.store.uri, own, ("fc",))
    with pytest.raises(ValueError, match=r"layer 'fc': attention is of features \(N, n, h, w\), got"):
        task.function(*task.arguments)
    (task, *_) = attention_tasks(work.store.uri, own, ("layer5",))
    with pytest.raises(ValueError, match="no module 'layer5'; did you mean 'layer"):
        task.function(*task.arguments)
