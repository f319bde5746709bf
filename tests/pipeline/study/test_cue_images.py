"""Which images of a test part have a map of where to look, and which map that is."""

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.pipeline.study.cue_images import Codebook, crop_landmarks, cue_samples
from fer_batch.regions import standard_face
from fer_batch.regions.au_maps import expression_maps


@pytest.fixture(scope="module")
def points():
    face, (height, width) = standard_face()
    return (face * (64 / width, 64 / height)).astype(np.float32)


def test_images_without_landmarks_or_of_classes_without_units_are_left_out_and_counted(study, points):
    network = study.network(n=70)
    landmarks = np.repeat(points[None], 70, 0)
    shown = network.labels.argmax(1)
    neutral = network.model.targets.index("neutral")
    lost = np.flatnonzero(shown != neutral)[:3]
    landmarks[lost] = np.nan
    found = cue_samples(network, Codebook(), landmarks)
    assert found.n_without == 3 and len(found.rows) == 70 - 3 - (shown == neutral).sum() > 0
    assert not {*lost.tolist()} & {*found.rows.tolist()}
    assert [*found.images.pairs[:, 1]] == shown[found.rows].tolist()
    assert [*found.pair_rows] == [*found.rows]
    few = cue_samples(network, Codebook(), landmarks, 10)
    assert len(few.rows) == 10 and {*few.rows.tolist()} < {*found.rows.tolist()} and few.images.landmarks.shape[0] == 10


def test_maps_are_of_the_codebook_at_the_size_of_the_network(study, points, monkeypatch, tmp_path):
    network = study.network(n=14)
    crops = study.crops(f"{tmp_path}/crops", network.samples, size=48)
    network = study.network(n=14, crops=crops)
    landmarks = np.repeat((points * 0.75)[None], 14, 0)
    images = cue_samples(network, Codebook(disgust_release=True), landmarks).images
    names = [network.model.targets[output] for output in images.pairs[:, 1]]
    scaled = (landmarks[: len(names)] + 0.5) * (images.size / 48) - 0.5
    expected = expression_maps(scaled, names, (images.size, images.size), disgust_release=True)
    np.testing.assert_array_equal(images.pair_maps(), expected)
    np.testing.assert_array_equal(images.image_maps(), expected)
    parts = list(images.parts(3))
    np.testing.assert_array_equal(np.concatenate([part.pair_maps() for part in parts]), expected)
    other = cue_samples(network, Codebook("emfacs_sh"), landmarks).images
    assert other.identity != images.identity and not np.array_equal(other.pair_maps(), expected)


def test_of_action_units_every_one_that_is_annotated_counts(study, points):
    network = study.network(n=12, head="multilabel")
    labels = network.labels
    labels[:, :2] = 1
    samples = network.samples.set_column(
        network.samples.column_names.index("labels"), "labels", pa.array(labels.tolist())
    )
    network = type(network)(**{**vars(network), "samples": samples})
    found = cue_samples(network, Codebook(), np.repeat(points[None], 12, 0))
    per_image = np.bincount(found.images.pairs[:, 0])
    np.testing.assert_array_equal(per_image, (labels[found.rows] == 1).sum(1))
    assert (per_image >= 2).all() and len(found.pair_rows) == per_image.sum()
    assert found.images.units[0] == (int(network.model.targets[0][2:]),)
    assert Codebook().units("pain", "softmax") == Codebook().units("neutral", "softmax") == ()


def test_landmarks_of_a_crop_set_are_missing_where_there_are_not_68(study, tmp_path):
    network = study.network(n=4)
    made = {0: list(range(136)), 2: list(range(98)), 3: [1.0] * 136}
    crops = study.crops(f"{tmp_path}/crops", network.samples, landmarks=made.get)
    found = crop_landmarks(crops)
    assert np.isfinite(found).all((1, 2)).tolist() == [True, False, False, True]
    assert found[0, 1].tolist() == [2, 3] and found.shape == (4, 68, 2)
