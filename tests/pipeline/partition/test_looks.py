"""Looks over real tables in a folder: the same place is the same look in every sequence and every night."""

import numpy as np
import pytest

from fer_batch.pipeline.analysis.shard import compute_with
from fer_batch.pipeline.partition.episodes import publish_episodes
from fer_batch.pipeline.partition.looks import publish_looks, published_looks
from fer_batch.regions import standard_face

POINTS, (HEIGHT, WIDTH) = standard_face()
TABLES = ("looks", "cluster_looks", "look_prototypes")


def face(side=28):
    """The standard face as it lies in a square crop, as table `frames` has landmarks."""
    return (POINTS * side / HEIGHT).ravel().tolist()


def shown(world, golden, name, sides, seed=0, landmarks=True, **more):
    """A sequence in which AU02 is seen on the left (L), on the right (R), at the brow (B) or not at all (.)."""
    rng = np.random.default_rng([seed, *name.encode()])
    place = {"L": golden.blobs["left"], "R": golden.blobs["right"], "B": golden.blobs["AU01"]}
    active = np.zeros((len(sides), 3), bool)
    maps = {}
    for i, side in enumerate(sides):
        if side != ".":
            active[i, 1] = True
            maps[i, 1] = (place[side] + 0.02 * rng.standard_normal((28, 28))).astype(np.float32)
    world.stage(name, active, maps, landmarks=face() if landmarks else None, **more)


FIRST = {"a": "..LLLLLLRRRRRR", "b": "RRRRRRLLLLLL..", "c": "LLLLLL......LL", "d": "RRRRRR"}


def collection(world, golden, names=FIRST, size=2):
    for name, sides in names.items():
        shown(world, golden, name, sides)
    world.publish(size=size)
    publish_looks(world.work())


def looks_of(world):
    return {(row["sequence_id"], row["cluster"]): row["look"] for row in world.rows("cluster_looks")}


def test_the_same_place_is_the_same_look_whatever_letter_it_has(world, golden):
    collection(world, golden)
    left, right = (looks_of(world)[key] for key in (("a", "A"), ("a", "B")))
    assert {left, right} == {1, 2}
    assert looks_of(world) == {
        ("a", "A"): left, ("a", "B"): right, ("b", "A"): right, ("b", "B"): left, ("c", "A"): left, ("d", "A"): right,
    }  # fmt: skip
    texts = {row["sequence_id"]: row["text"] for row in world.rows("look_prototypes")}
    assert texts["a"] == f"(NONE) -> (AU02@{left}) -> (AU02@{right})"
    assert texts["b"] == f"(AU02@{right}) -> (AU02@{left}) -> (NONE)"
    for row in world.rows("looks"):
        assert (row["target"], row["n_clusters"], row["n_sequences"], row["n_subjects"]) == ("AU02", 3, 3, 3)
        assert (row["generation"], row["opened"], row["previous"], row["rare"]) == (1, 0, None, False)
        assert row["share"] == 0.75
        assert row["face"] == "standard"
        assert row["n_frames"] == {left: 20, right: 18}[row["look"]]
        assert {name.split("#")[0] for name in row["exemplars"]} == set({left: "abc", right: "abd"}[row["look"]])
        assert 0.5 < row["isolation"] < 1.5


@pytest.mark.parametrize("compute", [None, "threads"])
def test_sharding_and_order_of_arrival_change_no_generation(tmp_path, golden, compute):
    found = []
    for i, (size, names) in enumerate([(2, list(FIRST)), (1, list(FIRST)[::-1]), (4, ["c", "a", "d", "b"])]):
        world = golden.world(golden.store(str(tmp_path / str(i))))
        for name in names:
            shown(world, golden, name, FIRST[name])
            if size == 1:
                world.publish(size=1)
        world.publish(size=size)
        publish_looks(world.work(compute and compute_with(compute, 2)))
        looks = [{k: v for k, v in row.items() if k not in ("mu", "relevance", "scale")} for row in world.rows("looks")]
        found.append((looks, world.rows("cluster_looks"), world.rows("look_prototypes")))
    assert found[0] == found[1] == found[2]


def test_the_looks_of_a_single_recording_are_no_outliers(world, golden):
    shown(world, golden, "a", "LLLLLLRRRRRR", seed=1)
    world.publish()
    publish_looks(world.work())
    assert [(row["n_sequences"], row["n_subjects"], row["rare"]) for row in world.rows("looks")] == [(1, 1, False)] * 2


def test_later_clusters_join_the_looks_there_are_or_open_further_ones(world, golden):
    collection(world, golden)
    before, names = world.rows("looks"), looks_of(world)
    files = {table: world.store.files(world.partition.folder(table)) for table in TABLES[1:]}
    for name, sides in {"e": "LLLLLL", "f": "RRRRRRBBBBBB"}.items():
        shown(world, golden, name, sides, seed=1)
    world.publish()
    publish_looks(world.work())
    after = world.rows("looks")
    assert [row["look"] for row in after] == [1, 2, 3]
    assert [row["centre"] for row in after[:2]] == [row["centre"] for row in before]
    assert [(row["opened"], row["generation"]) for row in after] == [(0, 1), (0, 1), (1, 1)]
    assert [row["rare"] for row in after] == [False, False, True]
    now = looks_of(world)
    assert {key: now[key] for key in names} == names
    assert (now["e", "A"], now["f", "A"], now["f", "B"]) == (names["a", "A"], names["a", "B"], 3)
    for table, older in files.items():
        newer = world.store.files(world.partition.folder(table))
        assert {name: newer[name] for name in older} == older, "files of older shards stay as they are"


def test_refit_makes_a_new_generation_that_knows_the_old_names(world, golden, capsys):
    collection(world, golden, {"a": "LLLLLLRRRRRR", "b": "LLLLLL"})
    (left, right) = (looks_of(world)["a", letter] for letter in "AB")
    for name in "cdef":
        shown(world, golden, name, "RRRRRRBBBBBB")
    world.publish()
    publish_looks(world.work())
    kept = looks_of(world)
    assert (left, right, kept["c", "B"]) == (1, 2, 3)
    publish_looks(world.work(looks="refit"))
    found, rows = looks_of(world), world.rows("looks")
    assert [(row["generation"], row["opened"]) for row in rows] == [(2, 0)] * 3
    assert (found["a", "A"], found["a", "B"], found["c", "B"]) == (3, 1, 2), "in the order of their clusters"
    assert {row["look"]: row["previous"] for row in rows} == {3: left, 1: right, 2: 3}
    assert "generation 2" in capsys.readouterr().err
    publish_looks(world.work(looks="refit"))
    assert world.rows("looks") == rows, "nothing has changed, so nothing is renamed"
    publish_looks(world.work())
    assert (world.rows("looks"), looks_of(world)) == (rows, found)


def test_sequences_without_landmarks_are_compared_in_the_crop(world, golden):
    for name, sides in FIRST.items():
        shown(world, golden, name, sides, landmarks=False)
    world.publish()
    publish_looks(world.work())
    assert {row["face"] for row in world.rows("looks")} == {"crop"}
    assert [row["place"] for row in world.rows("looks")] == [None, None]
    named = looks_of(world)
    assert named["a", "A"] == named["b", "B"] == named["c", "A"] != named["a", "B"] == named["d", "A"]


@pytest.mark.parametrize("size", [1, 2])
def test_a_cluster_that_cannot_be_compared_has_no_look(world, golden, size):
    shown(world, golden, "a", "LLLLLL")
    shown(world, golden, "b", "LLLLLLRRRRRR", landmarks=False)
    world.publish(size=size)
    publish_looks(world.work())
    publish_looks(world.work())
    assert looks_of(world) == {("a", "A"): 1, ("b", "A"): None, ("b", "B"): None}
    assert [row["text"] for row in world.rows("look_prototypes")] == ["(AU02@1)", "(AU02)"]


def test_no_more_looks_than_the_job_allows(world, golden, capsys):
    for name, sides in {"a": "LLLLLLRRRRRR", "b": "LLLLLL", "c": "BBBBBB"}.items():
        shown(world, golden, name, sides)
    world.publish()
    publish_looks(world.work(looks={"max_looks": 2}))
    assert sorted(looks_of(world).items(), key=str) == [
        (("a", "A"), 1), (("a", "B"), 2), (("b", "A"), 1), (("c", "A"), None)
    ]  # fmt: skip
    assert "looks.max_looks: AU02 has 2 looks" in capsys.readouterr().err


def test_where_nothing_is_active_there_are_no_looks(world, golden):
    shown(world, golden, "a", "......")
    world.publish()
    publish_looks(world.work())
    assert published_looks(world.store, world.partition) is None
    assert [world.rows(table) for table in TABLES] == [[], [], []]


def test_episodes_have_a_text_with_looks(world, golden):
    rule = {"enter": 0.0, "leave": 0.0, "min_run": 1, "min_stage": 1, "smooth": 1}
    collection(world, golden, {"a": "..LLLLLLRRRRRR..", "b": ".RRRRRRLLLLLL..."})
    publish_episodes(world.work(episodes=rule))
    left, right = (looks_of(world)["a", letter] for letter in "AB")
    assert [(row["text"], row["looks_text"]) for row in world.rows("episodes")] == [
        ("(AU02_A) -> (AU02_B)", f"(AU02@{left}) -> (AU02@{right})"),
        ("(AU02_A) -> (AU02_B)", f"(AU02@{right}) -> (AU02@{left})"),
    ]


def test_names_wait_while_a_night_has_no_clusters(world, golden):
    shown(world, golden, "a", "LLLLLLRRRRRR", identity="old")
    world.publish()
    publish_looks(world.work())
    centres = [row["centre"] for row in world.rows("looks")]
    shown(world, golden, "a", "............", identity="new")
    world.publish(listed={"new"})
    for fit in ("keep", "refit"):
        publish_looks(world.work(looks=fit))
        assert [(row["centre"], row["n_clusters"], row["generation"]) for row in world.rows("looks")] == [
            (centre, 0, 1) for centre in centres
        ]
    assert looks_of(world) == {}
