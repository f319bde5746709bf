import json
from datetime import UTC, datetime

import numpy as np
import pytest

from fer_batch.pipeline.partition import heatmap_groups
from fer_batch.pipeline.partition.heatmap_difference import difference_text
from fer_batch.pipeline.partition.heatmap_groups import CANVAS, compare_groups
from fer_batch.regions import standard_face
from fer_batch.storage.manifest import SHARDS, dump
from fer_batch.storage.parquet import Partition, decode, encode, pack_maps, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

SIDE = 40
WHERE = Partition("d", "net-1", "lime-1")


def write(store, maps, landmarks=True, partition=WHERE):
    """Tables of stills: `maps` has (subject, emotion, predicted class, active, map)."""
    points, (height, width) = standard_face()
    points = (points * (SIDE / width, SIDE / height)).ravel().tolist()
    tables = {"sequences": [], "frames": [], "detections": [], "relevance": []}
    for number, (subject, emotion, target, active, values) in enumerate(maps):
        key = {"sequence_id": f"s{number:03d}", "frame_index": 0}
        who = {"subject_id": subject, "emotion": emotion, "kind": "still", "status": "done", "run_id": "r"}
        tables["sequences"].append({"sequence_id": key["sequence_id"], **who})
        tables["frames"].append({**key, "status": "ok", "landmarks": points if landmarks else None})
        tables["detections"].append({**key, "target": target, "active": active, "probability": 0.9})
        packed, scale = pack_maps(values[None])
        size = {"height": SIDE, "width": SIDE, "scale": float(scale[0]), "relevance": packed[0].ravel()}
        tables["relevance"].append({**key, "target": target, **size})
    for name, rows in tables.items():
        store.put(f"{partition.folder(name)}/s.parquet", encode(rows_of(name, rows)))


def made(n=12, seed=0, planted=True):
    """Everybody smiles twice: rightly recognised with the mouth, and taken for fear with the forehead."""
    rng = np.random.default_rng(seed)
    for person in range(n):
        for target, rows in (("happiness", slice(26, 32)), ("fear", slice(4, 10))):
            values = rng.random((SIDE, SIDE)).astype(np.float32) * 0.5
            if planted:
                values[rows, 12:28] += 1
            yield f"p{person}", "happiness", target, True, values


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path / "out"))
    write(found, made())
    return found


def test_people_in_both_groups_are_compared_with_themselves_and_the_difference_is_where_it_is(store):
    found = compare_groups(store, "correct", "NOT correct", n_arrangements=500)
    assert found.people[0] == found.people[1] and found.result.paired
    assert (found.a.n, found.b.n, found.result.n_a) == (12, 12, 12)
    for sign, rows in ((1, slice(26, 32)), (-1, slice(4, 10))):
        where = found.result.significant() & (sign * found.result.difference > 0)
        planted = np.zeros(CANVAS, bool)
        planted[round((rows.start - 1) / SIDE * CANVAS[0]) : round((rows.stop + 1) / SIDE * CANVAS[0])] = True
        assert where.mean() > 0.03 and where[planted].sum() > 0.95 * where.sum()


def test_groups_of_different_people_are_compared_as_such(store):
    split = "subject_id IN ('p0', 'p1', 'p2', 'p3', 'p4')"
    found = compare_groups(store, f"correct AND {split}", f"NOT correct AND NOT {split}", n_arrangements=300)
    assert not found.result.paired and (found.result.n_a, found.result.n_b) == (5, 7)
    assert found.result.significant().mean() > 0.03
    same = compare_groups(store, f"correct AND {split}", f"correct AND NOT {split}", n_arrangements=300)
    assert same.result.significant().mean() < 0.005


def test_who_is_in_both_where_few_are_is_in_neither(store):
    a, b = "correct AND subject_id < 'p6'", "target = 'fear' AND subject_id > 'p4'"  # p10 and p11 come before p2
    found = compare_groups(store, a, b, n_arrangements=50)
    assert not found.result.paired and not set(found.people[0]) & set(found.people[1])
    assert set(found.people[0]) == {"d:p0", "d:p1", "d:p10", "d:p11", "d:p2", "d:p3", "d:p4"}
    assert set(found.people[1]) == {"d:p6", "d:p7", "d:p8", "d:p9"}


def test_what_a_network_does_not_find_is_in_no_group(tmp_path):
    store = Store(str(tmp_path))
    write(store, [(*row[:3], row[2] == "happiness", row[4]) for row in made()])
    with pytest.raises(InputError, match="no map of a class that is found is in this group"):
        compare_groups(store, "target = 'happiness'", "target = 'fear'")


def test_an_output_that_kept_no_maps_says_so(tmp_path):
    store = Store(str(tmp_path))
    write(store, made(3))
    store.delete(f"{WHERE.folder('relevance')}/s.parquet")
    with pytest.raises(InputError, match=r"table relevance is empty, .* run with keep_relevance: all"):
        compare_groups(store, "correct", "NOT correct")


@pytest.mark.parametrize(
    ("a", "words"),
    [
        ("corect", "is no condition over the columns dataset, model, .*: Binder Error"),
        ("correct) OR (", "is no condition over the columns"),
        ("subject_id = 'p1'", "maps with landmarks of 1 people, 0 of them in this group alone; a test needs 3"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(store, a, words):
    with pytest.raises(InputError, match=words):
        compare_groups(store, a, "NOT correct")


def test_maps_without_landmarks_are_counted_and_left_out(tmp_path):
    store = Store(str(tmp_path))
    write(store, made())
    write(store, made(4, seed=5), landmarks=False, partition=Partition("d", "net-2", "lime-1"))
    found = compare_groups(store, "correct", "NOT correct", n_arrangements=20)
    assert (found.a.n, found.a.n_left_out) == (12, 4)
    alone = compare_groups(store, "correct AND model = 'net-1'", "NOT correct AND model = 'net-1'", n_arrangements=20)
    np.testing.assert_array_equal(found.result.difference, alone.result.difference)


def runs(store, **configs):
    """Table `runs`: the job of each run by its name, a day apart."""
    rows = [
        {"run_id": name, "started_at": datetime(2026, 5, day, 23, tzinfo=UTC), "config": json.dumps(config)}
        for day, (name, config) in enumerate(configs.items(), 1)
    ]
    store.put(f"{WHERE.folder('runs')}/r.parquet", encode(rows_of("runs", rows)))


PEOPLE = "path,subject_id,sex,age,x0,emotion\n" + "".join(
    f"{number}.png,p{person},{'fm'[person % 2]},{20 + person},{number},happiness\n"
    for number, person in enumerate(sorted([*range(12)] * 2))
)


def test_people_are_told_apart_by_what_the_manifest_of_the_run_says_of_them(tmp_path, store):
    (tmp_path / "people.csv").write_text(PEOPLE)
    runs(store, r={"source": {"format": "manifest", "uri": str(tmp_path / "people.csv")}})
    found = compare_groups(store, "sex = 'f' AND age > 21", "sex = 'm'", n_arrangements=20)
    assert [set(one) for one in found.people] == [{f"d:p{n}" for n in range(start, 12, 2)} for start in (2, 1)]
    with pytest.raises(InputError, match="collection, sex, age: Binder Error"):  # x0 is of stills, not of people
        compare_groups(store, "x0 = 1", "x0 = 2")


def test_people_of_a_study_are_known_without_the_name_of_their_collection(tmp_path):
    store = Store(str(tmp_path / "out"))
    write(store, [(f"ck_plus:{who}" if who < "p5" else who, *rest) for who, *rest in made()])
    (tmp_path / "people.csv").write_text(PEOPLE)
    found = compare_groups(store, "sex = 'f'", "sex = 'm'", n_arrangements=20, people=str(tmp_path / "people.csv"))
    assert len(found.people[0]) == len(found.people[1]) == 6
    apart = compare_groups(store, "collection = 'ck_plus'", "collection = 'd'", n_arrangements=20)
    assert {who.partition(":")[0] for who in apart.people[0]} == {"ck_plus"} and not apart.result.paired


def test_people_of_a_study_are_told_apart_by_the_manifest_of_its_training(tmp_path):
    """Two collections have a p1 each, of other sex: the manifest of one says nothing of the people of the other."""
    store = Store(str(tmp_path / "out"))
    write(store, [(f"{'ck' if int(who[1:]) < 6 else 'mmi'}:p{int(who[1:]) % 6}", *rest) for who, *rest in made()])
    sources = []
    for dataset, sexes in (("ck", "fm"), ("mmi", "mf")):
        rows = "".join(f"{n}.png,p{n},{sexes[n % 2]}\n" for n in range(6))
        (tmp_path / f"{dataset}.csv").write_text(f"path,subject_id,sex\n{rows}")
        sources.append({"format": "manifest", "uri": str(tmp_path / f"{dataset}.csv"), "dataset": dataset})
    runs(store, r={"source": {"format": "crops", "uri": "_crops/a"}}, t={"sources": sources})
    found = compare_groups(store, "sex = 'f'", "sex = 'm'", n_arrangements=20)
    women = {f"ck:p{n}" for n in (0, 2, 4)} | {f"mmi:p{n}" for n in (1, 3, 5)}
    assert set(found.people[0]) == women and len(found.people[1]) == 6


def test_who_is_not_in_the_table_is_nobody_of_it(tmp_path, store):
    (tmp_path / "people.csv").write_text(
        "subject_id,sex\n,m\n" + "".join(f"p{n},{'fm'[n % 2]}\n" for n in range(8)) + ",m\n"
    )
    found = compare_groups(store, "sex = 'f'", "sex = 'm'", n_arrangements=20, people=str(tmp_path / "people.csv"))
    assert [set(one) for one in found.people] == [{f"d:p{n}" for n in range(start, 8, 2)} for start in (0, 1)]


def test_people_of_two_collections_with_equal_names_are_not_compared_with_themselves(tmp_path):
    store = Store(str(tmp_path))
    for dataset in ("ckplus", "mmi"):
        write(store, made(6), partition=Partition(dataset, "net-1", "lime-1"))
    found = compare_groups(store, "dataset = 'ckplus'", "dataset = 'mmi'", n_arrangements=20)
    assert not found.result.paired and (found.result.n_a, found.result.n_b) == (6, 6)


def test_it_is_said_where_the_maps_of_a_shard_are_not_all_there(store):
    key = dump({"explain": {"targets": "annotated"}}).decode()
    relevance = f"{WHERE.folder('relevance')}/s.parquet"
    store.put(relevance, encode(decode(store.read_bytes(relevance)).replace_schema_metadata({"explain_key": key})))
    assert "not all maps" not in difference_text(compare_groups(store, "correct", "NOT correct", 20), "x.png")
    marker = {"shard": "s", "partition": WHERE.key, "analysis_id": "a", "units": [], "counts": {}}
    store.put(f"{SHARDS}/s.json", dump({**marker, "keep_relevance": "exemplars"}))
    found = compare_groups(store, "correct", "NOT correct", 20)
    assert found.thinned == ("s",)
    assert "not all maps were kept of 1 shard (keep_relevance): one frame stands" in difference_text(found, "x.png")


def test_nights_are_groups(tmp_path):
    store = Store(str(tmp_path / "out"))
    write(store, made(8))
    write(store, [(f"q{who}", *rest) for who, *rest in made(8)], partition=Partition("d", "net-1", "lime-2"))
    runs(store, r={})
    with pytest.raises(InputError, match=r"night = '2026-05-02'.: no map"):
        compare_groups(store, "night = '2026-05-01'", "night = '2026-05-02'")
    found = compare_groups(store, "night = '2026-05-01' AND correct", "run_id = 'r' AND NOT correct", n_arrangements=20)
    assert found.result.paired and found.result.n_a == 16


def test_of_very_many_people_the_same_draw_counts_in_both_groups(store, monkeypatch):
    monkeypatch.setattr(heatmap_groups, "MAX_PEOPLE", 5)
    found = compare_groups(store, "correct", "NOT correct", n_arrangements=20)
    assert found.people[0] == found.people[1] and len(found.people[0]) == 5
    assert (found.a.n_found, found.a.n) == (12, 5)
    monkeypatch.setattr("fer_batch.pipeline.partition.heatmap_difference.MAX_PEOPLE", 5)
    assert "correct: 5 maps of 5 people (drawn of 12)" in difference_text(found, "x.png")


def test_who_is_in_both_groups_is_drawn_first_where_most_are_and_last_where_few_are(store, monkeypatch):
    monkeypatch.setattr(heatmap_groups, "MAX_PEOPLE", 4)
    names = sorted((f"p{n}" for n in range(12)), key=lambda who: heatmap_groups._turn(f"d:{who}"), reverse=True)

    def among(people):
        return "subject_id IN (" + ", ".join(f"'{who}'" for who in people) + ")"

    most = compare_groups(store, f"correct AND {among(names[:8])}", f"NOT correct AND {among(names[:4])}", 20)
    assert most.people[0] == most.people[1] and set(most.people[0]) == {f"d:{who}" for who in names[:4]}
    few = compare_groups(store, f"correct AND {among(names[5:])}", f"NOT correct AND {among(names[:7])}", 20)
    assert [set(one) for one in few.people] == [{f"d:{who}" for who in own} for own in (names[8:], names[1:5])]
