"""Ids change with every option that changes a result, and with nothing else."""

import dataclasses

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.models.card import Preprocessing, ResolvedModel
from fer_batch.pipeline.analysis.key import analysis_key
from fer_batch.pipeline.explaining.units import PACK_SIZE, identity, joint_units, partition_of, units_to_do
from fer_batch.storage.parquet import Partition
from fer_batch.types import SequenceRef

MODEL = ResolvedModel(
    name="net",
    architecture="resnet18",
    factory=None,
    options={},
    key_map=None,
    head="multilabel",
    targets=("AU01", "AU12"),
    threshold=0.5,
    preprocessing=Preprocessing(),
    uri="/x/net.safetensors",
    weights_digest="1" * 64,
    digest="2" * 64,
)
BASE = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
REF = SequenceRef("a.mp4", "video", "/in/a.mp4", 10, "100", subject_id="P1", emotion="happiness", truth_version="7")
PARTITION = Partition("d", "m-1", "e-1")


def config(**sections):
    values = {**BASE}
    for key, value in sections.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    return build(values, "test")


def partition(model=MODEL, **sections):
    return partition_of(config(**sections), model)


PHASE_1 = [
    {"explain": {"method": "lrp_epsilon"}},
    {"explain": {"targets": "all"}},
    {"explain": {"targets": ["AU01"]}},
    {"explain": {"options": {"epsilon": 0.1}}},
    {"explain": {"options": {"backward": "bfloat16"}}},
    {"faces": {"detector": "none"}},
    {"faces": {"every": 2}},
    {"faces": {"align": "eyes"}},
    {"faces": {"size": 64}},
    {"faces": {"margin": 0.3}},
    {"faces": {"min_size": 40}},
    {"faces": {"store": "none"}},
    {"source": {"sampling": {"stride": 2}}},
    {"source": {"sampling": {"fps": 5}}},
    {"source": {"sampling": {"max_frames": 9}}},
    {"source": {"sampling": {"stop_s": 3}}},
    {"name": "other"},
]
PHASE_2 = [
    {"spray": {"rule": "eigengap"}},
    {"spray": {"tau": 0.2}},
    {"spray": {"n_neighbors": 3}},
    {"spray": {"symmetry": "max"}},
    {"spray": {"downsize": 14}},
    {"spray": {"max_clusters": 4}},
    {"spray": {"max_frames": 50}},
    {"spray": {"seed": 1}},
    {"regions": "none"},
    {"temporal_prototypes": {"min_run": 3}},
]
NEITHER = [
    {"output": "elsewhere"},
    {"source": {"uri": "moved"}},
    {"source": {"pattern": "*.mp4"}},
    {"explain": {"batch_size": 7}},
    {"explain": {"options": {"engine": "zennit", "memory_mib": 64}}},
    {"faces": {"size": 112}},  # the model's own
    {"keep_relevance": "exemplars"},
    {"labels": {"present_from": 1.0, "absent_to": 0.5}},  # evaluation, unless it says what is explained
    {"phases": ["explain"]},
    {"report": {"colours": "jet", "top_x": 40}},
    {
        "temporal_prototypes": {"max_pattern": 4, "relation": "subset"}
    },  # of table patterns, which knows what it was written from
    {"resources": {"num_cpus": 1, "window": 3, "shard_units": 2, "scheduler": "threads"}},
]


@pytest.mark.parametrize("change", PHASE_1, ids=str)
def test_what_phase_1_stores_names_the_partition(change):
    assert partition(**change) != partition()
    assert identity(REF, partition(**change)) != identity(REF, partition())


@pytest.mark.parametrize("change", PHASE_2, ids=str)
def test_what_phase_2_does_is_another_analysis_of_the_same_partition(change):
    assert partition(**change) == partition()
    assert analysis_key(config(**change)) != analysis_key(config())


@pytest.mark.parametrize("change", NEITHER, ids=str)
def test_what_changes_no_result_changes_no_id(change):
    assert partition(**change) == partition()
    assert analysis_key(config(**change)) == analysis_key(config())


def test_options_that_change_no_result_are_those_of_the_method():
    gradient = {"explain": {"method": "gradient", "options": {"batch_size": 2}}}
    assert partition(**gradient) == partition(explain={"method": "gradient"})


def test_what_counts_as_annotated_names_the_partition_where_it_says_what_is_explained():
    annotated = {"targets": "annotated"}
    assert partition(explain=annotated, labels={"present_from": 1.0}) != partition(explain=annotated)
    assert partition(explain=annotated, labels={"absent_to": 0.0}) == partition(explain=annotated)


def test_model_and_threshold_name_the_partition():
    assert partition(dataclasses.replace(MODEL, digest="3" * 64)).model != partition().model
    assert partition(dataclasses.replace(MODEL, threshold=0.6)) != partition()
    softmax = dataclasses.replace(MODEL, head="softmax")
    assert partition(dataclasses.replace(softmax, threshold=0.6)) == partition(softmax), "argmax knows no threshold"


@pytest.mark.parametrize(
    "change",
    [
        {"sequence_id": "b.mp4"},
        {"kind": "still"},
        {"size": 11},
        {"version": "101"},
        {"truth_version": "8"},
        {"subject_id": "P2"},
        {"emotion": "fear"},
        {"skip_reason": "consent withdrawn"},
    ],
    ids=str,
)
def test_a_changed_input_is_another_unit(change):
    assert identity(dataclasses.replace(REF, **change), PARTITION) != identity(REF, PARTITION)


def test_a_moved_input_is_the_same_unit():
    moved = dataclasses.replace(REF, uri="s3://bucket/a.mp4", annotation_uris=("s3://bucket/a.annotations.csv",))
    assert identity(moved, PARTITION) == identity(REF, PARTITION)


def stills(n):
    return [SequenceRef(f"{index:04d}.jpg", "still", f"/in/{index:04d}.jpg", 1, "1") for index in range(n)]


def test_stills_travel_in_packs_and_videos_alone():
    units = units_to_do([REF, *stills(150)], PARTITION, set(), set())
    assert [len(unit.members) for unit in units] == [1, PACK_SIZE, PACK_SIZE, 150 - 2 * PACK_SIZE]
    assert units[0].unit_id == identity(REF, PARTITION)
    assert len({unit.unit_id for unit in units}) == 4
    for unit in units:
        assert unit.identities == tuple(identity(ref, PARTITION) for ref in unit.members)


@pytest.mark.parametrize("seed", range(5))
def test_packs_are_the_same_after_a_partial_run(seed):
    refs = stills(400)
    units = units_to_do(refs, PARTITION, set(), set())
    chosen = np.random.default_rng(seed).random(len(units)) < 0.5
    done = [unit for unit, yes in zip(units, chosen, strict=True) if yes]
    members = {one for unit in done for one in unit.identities}
    left = units_to_do(refs, PARTITION, {unit.unit_id for unit in done}, members)
    assert left == [unit for unit in units if unit not in done]


def test_what_is_committed_is_not_done_again():
    refs = [REF, *stills(3)]
    (video, pack) = units_to_do(refs, PARTITION, set(), set())
    assert units_to_do(refs, PARTITION, {video.unit_id, pack.unit_id}, set(pack.identities)) == []
    changed = dataclasses.replace(refs[1], version="2")
    (again,) = units_to_do([REF, changed, *refs[2:]], PARTITION, {video.unit_id}, set(pack.identities))
    assert [ref.sequence_id for ref in again.members] == ["0000.jpg"]


def listing(n_stills, n_videos=2):
    stills = [SequenceRef(f"s{i:03d}.jpg", "still", f"/in/s{i:03d}.jpg", 1, "1") for i in range(n_stills)]
    return [*(dataclasses.replace(REF, sequence_id=f"v{i}.mp4") for i in range(n_videos)), *stills]


def test_several_explanations_have_the_units_that_each_has_alone():
    refs = listing(PACK_SIZE + 6)
    alone = [units_to_do(refs, Partition("d", "m-1", f"e-{k}"), set(), set()) for k in range(3)]
    joint, own = joint_units(refs, alone)
    assert own == alone
    assert [unit.members for unit in joint] == [unit.members for unit in alone[0]]
    for place, unit in enumerate(joint):
        assert unit.wanted_by == tuple((k, alone[k][place].unit_id) for k in range(3))


def test_each_input_is_decoded_once_for_exactly_those_that_lack_it():
    refs, partitions = listing(PACK_SIZE + 6), [Partition("d", "m-1", f"e-{k}") for k in range(3)]
    first, second, third = ([identity(ref, partition) for ref in refs] for partition in partitions)
    waiting = [
        units_to_do(refs, partitions[0], set(first[:1]), set(first[10:20])),  # ten stills and a video are done
        units_to_do(refs, partitions[1], set(second), set(second)),
        units_to_do(refs, partitions[2], set(), set()),
    ]
    joint, own = joint_units(refs, waiting)
    decoded = [ref.sequence_id for unit in joint for ref in unit.members]
    assert sorted(decoded) == sorted(ref.sequence_id for ref in refs)
    assert own[1] == []
    for k, identities in ((0, first[1:10] + first[20:]), (2, third)):
        assert sorted(i for unit in own[k] for i in unit.identities) == sorted(identities)
        assert sorted(unit.unit_id for unit in own[k]) == sorted(
            want.unit_id for unit in joint for want in unit.wanted_by if want.explanation == k
        )
    assert {tuple(want.explanation for want in unit.wanted_by) for unit in joint} == {(0, 2), (2,)}


def test_another_choice_of_crops_is_another_partition():
    """So a partition of a study holds its choice alone, and sums over its shards are sums of the choice."""

    def of(chosen):
        return partition(source={"format": "crops", "uri": "crops", "options": {"chosen": chosen}})

    assert of("x/a.parquet") == of("y/a.parquet") != of("x/b.parquet")  # files are named by what they hold
