"""Which GPUs a job takes, what it is refused, and how long it waits for a node."""

import pytest

from fer_batch.config import RunConfig
from fer_batch.pipeline.devices import NodeKind, Offer, actors_of, node_kinds, said_of
from fer_batch.types import InputError

NONE, FOUR = Offer(0, 0, 0), Offer(4, 4)
SCALING, UNKNOWN = Offer(0, 2, where="this cluster"), Offer(0, None, 0, where="this cluster")


@pytest.mark.parametrize(
    ("offer", "device", "asked", "expected"),
    [
        (NONE, "auto", None, 0),
        (FOUR, "auto", None, 1),
        (FOUR, "auto", 0.25, 0.25),
        (FOUR, "auto", 0, 0),
        (FOUR, "cpu", None, 0),
        (FOUR, "cpu", 2, 0),
        (SCALING, "auto", None, 1),  # no GPU yet, but the autoscaler can start a node with one
        (SCALING, "cuda", None, 1),
        (UNKNOWN, "auto", None, 0),  # nothing says that there will be any
        (UNKNOWN, "cuda", None, 1),
        (UNKNOWN, "cuda", 0.5, 0.5),
    ],
)
def test_gpus_of_one_process(offer, device, asked, expected):
    assert offer.gpus_each(device, asked) == expected


@pytest.mark.parametrize(
    ("offer", "device", "asked", "n", "words"),
    [
        (NONE, "cuda", None, 1, "ask for 1 GPUs, but this machine offers Ray 0"),
        (NONE, "auto", 1, 1, "ask for 1 GPUs"),
        (FOUR, "auto", 1, 5, r"ask for 5 \(5 x 1\) GPUs, but this machine offers Ray 4"),
        (FOUR, "cuda", 2, 1, "num_gpus is 2, but no node of this machine has more than 1"),
        (SCALING, "cuda", None, 3, r"ask for 3 \(3 x 1\) GPUs, but this cluster offers Ray 2"),
    ],
)
def test_what_nothing_can_offer_is_refused(offer, device, asked, n, words):
    with pytest.raises(InputError, match=words):
        offer.gpus_each(device, asked, n)


def test_copies_of_the_network():
    assert actors_of(None, 0, FOUR) == (1, 1)
    assert actors_of(None, 1, FOUR) == (1, 4)
    assert actors_of(None, 0.5, SCALING) == (1, 4)
    assert actors_of(None, 1, UNKNOWN) == (1, 1)
    assert actors_of(3, 1, FOUR) == (3, 3)
    assert actors_of((2, 8), 1, FOUR) == (2, 8)
    assert said_of((1, 4), 1) == "1 to 4 copies of the network on 1 GPU each"
    assert said_of((2, 2), 0) == "2 copies of the network on CPUs"


def test_gpus_that_a_cluster_may_start():
    types = {
        "head": {"resources": {"CPU": 0}},
        "decode": {"resources": {"CPU": 16}, "max_workers": 4},
        "explain": {"resources": {"CPU": 4, "GPU": 1}, "min_workers": 0, "max_workers": 3},
        "large": {"resources": {"GPU": 8}},  # as many as the cluster may have
    }
    types["nothing"] = None
    found = node_kinds({"head_node_type": "head", "max_workers": 5, "available_node_types": types})
    assert found == [NodeKind(1, 0, 0), NodeKind(4, 0, 16), NodeKind(3, 1, 4), NodeKind(5, 8, 0), NodeKind(5, 0, 0)]
    assert (
        node_kinds({"head_node_type": "explain", "available_node_types": {"explain": types["explain"]}})[0].nodes == 1
    )
    assert node_kinds({}) == []


def test_a_range_of_actors_is_the_fewest_and_the_most():
    def job(**resources):
        return {
            "name": "n",
            "source": {"uri": "media"},
            "output": "out",
            "model": {"known": "demo"},
            "resources": resources,
        }

    assert RunConfig.model_validate(job(actors=[1, 8], device="cuda")).resources.actors == (1, 8)
    with pytest.raises(ValueError, match="the fewest come first"):
        RunConfig.model_validate(job(actors=[8, 1]))
    for wrong, words in (({"num_gpus": 1.5}, "a whole number"), ({"num_gpus": 0, "device": "cuda"}, "is device: cpu")):
        with pytest.raises(ValueError, match=words):
            RunConfig.model_validate(job(**wrong))
    with pytest.raises(ValueError, match="cpu"):
        RunConfig.model_validate(job(device="gpu"))
