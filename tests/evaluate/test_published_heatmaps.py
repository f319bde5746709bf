"""Printed figures of standardised heatmaps."""

import numpy as np
import pytest

from fer_batch.evaluate.published_heatmaps import EXPRESSIONS, HEIGHTS, IOU, MEAN_IOU, published_iou


@pytest.mark.parametrize(
    ("network", "row"),
    [
        ("resnet50", "ResNet50"),
        ("MobileNetV3Large", "MobileNetV3"),
        ("vgg_16", "VGG16"),
        ("VGG", None),
        ("AlexNet_CV1", None),
        ("VGG16 fold 3", None),
    ],
)
def test_printed_rows_are_found_by_the_networks_name(network, row):
    assert published_iou(network) == (IOU[row] if row else None)


def test_printed_means_are_those_of_the_printed_rows():
    means = [round(float(np.mean([IOU[name][e] for name in IOU])), 4) for e in EXPRESSIONS]
    assert means == [0.2337, 0.4820, 0.2037, 0.1963, 0.2458, 0.2600]


def test_the_printed_means_are_those_of_the_printed_rows():
    assert list(MEAN_IOU) == list(IOU)
    for name, mean in MEAN_IOU.items():
        row = IOU[name].values()
        assert abs(sum(row) / len(row) - mean) < 0.0001, name
    assert np.mean(list(MEAN_IOU.values())) == pytest.approx(0.2702, abs=6e-5)
    assert set(HEIGHTS) == set(EXPRESSIONS) - {"anger", "fear"}
