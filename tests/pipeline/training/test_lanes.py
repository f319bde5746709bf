"""How folds share a machine or cluster."""

import pytest

from fer_batch.pipeline.devices import Offer
from fer_batch.pipeline.training.lanes import layout
from fer_batch.types import InputError


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "expected"),
    [
        ({}, 2, 0, (2, 1, 1, 0)),
        ({"folds_at_once": 1}, 4, 0, (1, 1, 4, 0)),
        ({"workers": 2}, 4, 0, (2, 2, 1, 0)),
        ({"workers": 4}, 4, 0, (1, 4, 1, 0)),
        ({}, 16, 4, (4, 1, 4, 1)),
        ({"num_gpus": 0.5}, 16, 1, (2, 1, 8, 0.5)),
        ({"workers": 2}, 32, 8, (4, 2, 4, 1)),
        ({}, 64, 0, (20, 1, 3, 0)),
    ],
)
def test_folds_run_beside_each_other_as_far_as_there_is_room(job, resources, cpus, gpus, expected):
    offer = Offer(gpus, gpus, 1, cpus, cpus)
    found = layout(job(resources=resources), 20, offer, offer.gpus_each("auto", resources.get("num_gpus")))
    assert (found.at_once, found.workers, found.cpus, found.gpus) == expected


def test_more_than_there_is_is_refused(job):
    with pytest.raises(InputError, match=r"resources\.workers is 4, Ray has 2 CPUs"):
        layout(job(resources={"workers": 4}), 5, Offer(0, 0, 0, 2, 2), 0)
