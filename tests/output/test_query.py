"""Ready-made queries and single statements over tiny outputs."""

import re
from pathlib import Path

import pytest

from fer_batch.output.named_queries import QUERIES
from fer_batch.output.query import answer, connect, resolve_query, statements
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def publish(store, dataset, model="m-1", explain="e-1", texts=("(AU01_A)",), n_frames=4):
    """One partition with a sequence per story and an active detection each."""
    partition = Partition(dataset, model, explain)
    names = [f"{index}.mp4" for index in range(len(texts))]
    rows = {
        "sequences": [
            {"sequence_id": name, "kind": "video", "status": "done", "emotion": "surprise", "run_id": "r"}
            for name in names
        ],
        "temporal_prototypes": [
            {"sequence_id": name, "text": text, "n_frames": n_frames, "reduction": 0.5, "emotion": "joy"}
            for name, text in zip(names, texts, strict=True)
        ],
        "detections": [
            {"sequence_id": name, "frame_index": 0, "target": "AU01", "active": True, "mu": 0.5, "region_share": 0.1}
            for name in names
        ],
        "prototypes": [{"sequence_id": name, "target": "AU01", "cluster": "A", "n_clusters": 1} for name in names],
        "class_prototypes": [{"target": "AU01", "cluster": "A", "n_frames": 3, "exemplars": ["0.jpg#0"]}],
        "frames": [{"sequence_id": name, "frame_index": 0, "status": "ok"} for name in names],
        "stages": [
            {"sequence_id": name, "stage_index": 0, "text": "(AU01_A)", "first_frame": 0, "last_frame": 0}
            for name in names
        ],
        "episodes": [
            {
                "sequence_id": name,
                "episode_index": k,
                "emotion": "joy",
                "cooccurrence_text": "(AU01)",
                "duration_s": 2.0,
            }
            for name in names[:1]
            for k in range(2)
        ],
        "patterns": [{"group": "all", "pattern": "(NONE) -> (AU01_A)", "length": 2, "support": 2, "closed": True}],
        "runs": [{"run_id": "r"}],
        "drift": [{"run_id": "r", "figure": "active", "target": "AU01", "state": "above", "alarm": "change"}],
        "looks": [{"target": "AU01", "look": 1, "rare": True, "isolation": 0.5, "n_sequences": len(names)}],
        "cluster_looks": [
            {"sequence_id": name, "target": "AU01", "cluster": "A", "look": 1, "distance": 0.1} for name in names
        ],
    }
    for table, own in rows.items():
        name = f"{partition.folder(table)}/shard-{n_frames}.parquet"
        store.put(name, encode(rows_of(table, own)))


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


def ask(store, name):
    connection = connect(store)
    relation = answer(connection, resolve_query(connection, name))
    return relation.columns, relation.fetchall()


def test_one_partition_keeps_the_answers_short(store):
    publish(store, "d", texts=("(AU01_A)", "(AU01_A)", "(NONE)"))
    columns, rows = ask(store, "temporal_prototypes")
    assert columns == ["text", "sequences", "mean_frames", "mean_reduction"]
    assert rows == [("(AU01_A)", 2, 4.0, 0.5), ("(NONE)", 1, 4.0, 0.5)]


def test_models_and_methods_are_not_pooled(store):
    publish(store, "d", model="m-1")
    publish(store, "d", model="m-2")
    publish(store, "d", model="m-2", explain="e-2")
    columns, rows = ask(store, "temporal_prototypes")
    assert columns[:3] == ["model", "explain", "text"]
    assert [row[:4] for row in rows] == [
        ("m-1", "e-1", "(AU01_A)", 1),
        ("m-2", "e-1", "(AU01_A)", 1),
        ("m-2", "e-2", "(AU01_A)", 1),
    ]
    assert len(ask(store, "active")[1]) == len(ask(store, "localisation")[1]) == 3


def test_the_commonest_stories_are_counted_in_each_partition(store):
    publish(store, "large", texts=[f"(AU01_{index:02d})" for index in range(30)])
    publish(store, "small")
    rows = ask(store, "temporal_prototypes")[1]
    assert [row[0] for row in rows].count("large") == 20
    assert rows[-1][:2] == ("small", "(AU01_A)")


# One sequence, done, with one active target, one stage and evidence in its region.
NO_ROWS = {"failed", "failures", "cooccurrence", "transitions", "subjects", "review"}


@pytest.mark.parametrize("datasets", [("one",), ("one", "two")])
def test_every_query_can_be_asked(store, datasets):
    for dataset in datasets:
        publish(store, dataset)
    for name in QUERIES:
        columns, rows = ask(store, name)
        assert ("dataset" in columns) == (len(datasets) > 1), name
        assert len(rows) == (0 if name in NO_ROWS else len(datasets)), name


def test_episodes_of_an_emotion_have_the_share_of_its_sequences(store):
    publish(store, "d", texts=("(AU01_A)",) * 4)
    assert ask(store, "episodes_by_emotion")[1] == [("joy", "(AU01)", 1, 0.25, 2, 2.0)]
    assert ask(store, "episodes")[1] == [("(AU01)", 1, 2, None, 2.0)]


def test_stories_leave_out_sequences_without_a_face(store):
    publish(store, "d")
    publish(store, "d", texts=("",), n_frames=0)
    assert [row[0] for row in ask(store, "temporal_prototypes")[1]] == ["(AU01_A)"]


def test_a_table_is_answered_with_a_statement(store):
    publish(store, "d")
    with pytest.raises(InputError, match=r"is a table: SELECT \* FROM detections LIMIT 10"):
        ask(store, "detections")
    with pytest.raises(InputError, match="did you mean 'temporal_prototypes'"):
        ask(store, "temporal_prototype")
    with pytest.raises(InputError, match="'stories' is called 'temporal_prototypes' now"):
        ask(store, "stories")


def test_statements_are_told_apart(store):
    publish(store, "d")
    connection = connect(store)
    found = statements(connection, "SELECT 1; SELECT ';' -- ; a comment\n;")
    assert [answer(connection, sql).fetchall() for sql in found] == [[(1,)], [(";",)]]
    with pytest.raises(InputError, match="syntax error"):
        statements(connection, "SELEC 1; SELECT 2")


def test_classes_say_what_share_each_cluster_has(store):
    publish(store, "d")
    rows = [
        {
            "target": target,
            "cluster": cluster,
            "n_frames": n,
            "n_clusters": 2,
            "silhouette": 0.4,
            "exemplars": [cluster],
        }
        for target, cluster, n in (("fear", "B", 1), ("fear", "A", 3), ("anger", "A", 5))
    ]
    path = f"{Partition('d', 'm-1', 'e-1').folder('class_prototypes')}/shard-4.parquet"
    store.put(path, encode(rows_of("class_prototypes", rows)))
    columns, found = ask(store, "classes")
    assert columns == ["target", "cluster", "stills", "share", "n_clusters", "eigengap", "silhouette", "nearest_stills"]
    assert [row[:4] for row in found] == [("anger", "A", 5, 1.0), ("fear", "A", 3, 0.75), ("fear", "B", 1, 0.25)]


def test_an_output_of_an_earlier_version_has_null_in_columns_that_came_later(store):
    publish(store, "d")
    old = rows_of("class_prototypes", [{"target": "fear", "cluster": "A", "n_frames": 2, "exemplars": ["a"]}])
    old = old.select(["target", "cluster", "n_frames", "exemplars"])
    store.put(f"{Partition('d', 'm-1', 'e-1').folder('class_prototypes')}/shard-4.parquet", encode(old))
    assert ask(store, "classes")[1] == [("fear", "A", 2, 1.0, None, None, None, ["a"])]


def looks_of(store, rows):
    """Sequences with an emotion and the looks of their clusters of AU01, by letter."""
    where = Partition("d", "m-1", "e-1")
    sequences = [
        {"sequence_id": name, "status": "done", "emotion": emotion, "run_id": "r"}
        for name, (emotion, _) in rows.items()
    ]
    looks = [
        {"sequence_id": name, "target": "AU01", "cluster": cluster, "look": look, "distance": 0.25}
        for name, (_, own) in rows.items()
        for cluster, look in own.items()
    ]
    clusters = [{key: row[key] for key in ("sequence_id", "target", "cluster")} for row in looks]
    cells = [row | {"frame_index": 0, "active": True} for row in clusters] + [
        {"sequence_id": name, "target": "AU01", "frame_index": 1, "active": False} for name in rows
    ]
    stages = [
        {"sequence_id": name, "stage_index": 0, "labels": [*(f"AU01_{cluster}" for cluster in own), "AU04"]}
        for name, (_, own) in rows.items()
    ]
    known = [
        {"target": "AU01", "look": k, "place": place, "rare": k == 3, "isolation": 0.7, "n_sequences": 1}
        for k, place in enumerate(("mouth", "eyes", "jaw"), 1)
    ]
    tables = {"sequences": sequences, "cluster_looks": looks, "prototypes": clusters, "detections": cells}
    tables |= {"stages": stages, "looks": known}
    for table, own in tables.items():
        store.put(f"{where.folder(table)}/s.parquet", encode(rows_of(table, own)))


LOOKED = {
    "a": ("surprise", {"A": 1, "B": 2}),
    "b": ("surprise", {"A": 2, "B": 2}),
    "c": ("fear", {"A": 2}),
    "d": ("fear", {"A": 3, "B": None}),
    "e": (None, {"A": 1}),
}


def test_looks_by_emotion_counts_a_sequence_once_and_compares_with_all_that_have_an_emotion(store):
    looks_of(store, LOOKED)
    columns, rows = ask(store, "looks_by_emotion")
    assert columns == ["target", "look", "emotion", "seen_in", "sequences", "share", "lift"]
    assert rows == [
        ("AU01", 1, "surprise", 1, 2, 0.5, 2.0),
        ("AU01", 2, "surprise", 2, 2, 1.0, 1.33),
        ("AU01", 2, "fear", 1, 2, 0.5, 0.67),
        ("AU01", 3, "fear", 1, 2, 0.5, 2.0),
    ]


def test_the_question_of_the_readme_over_a_collection_has_its_answer(store):
    looks_of(store, LOOKED)
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (question,) = [sql for sql in re.findall(r"```sql\n(.*?)```", readme, re.DOTALL) if "place = 'mouth'" in sql]
    asked = question.replace("'surprise'", "'{}'").replace("'mouth'", "'{}'")
    connection = connect(store)
    for place, emotion, share in (("mouth", "surprise", 0.5), ("eyes", "surprise", 1.0), ("mouth", "fear", 0.0)):
        assert connection.execute(asked.format(place, emotion)).fetchone() == (share,)


def test_outliers_have_a_rare_look_or_none(store):
    looks_of(store, LOOKED)
    assert ask(store, "outliers")[1] == [("d", "AU01", "A", 3, 1, 0.7), ("d", "AU01", "B", None, None, 0.25)]


def test_looks_are_columns_of_tables_that_shards_wrote(store):
    looks_of(store, LOOKED)
    connection = connect(store)

    def rows(sql):
        return connection.execute(sql).fetchall()

    clusters = "SELECT sequence_id, cluster, look, look_distance FROM prototypes WHERE sequence_id IN ('a', 'd')"
    assert rows(f"{clusters} ORDER BY ALL") == [("a", "A", 1, 0.25), ("a", "B", 2, 0.25), ("d", "A", 3, 0.25),
                                                ("d", "B", None, 0.25)]  # fmt: skip
    assert rows("SELECT look, count(*) FROM detections GROUP BY ALL ORDER BY ALL") == [
        (1, 2),
        (2, 4),
        (3, 1),
        (None, 6),
    ]
    assert rows("SELECT looks FROM stages ORDER BY sequence_id") == [
        (["AU01@1", "AU01@2", "AU04"],),
        (["AU01@2", "AU01@2", "AU04"],),
        (["AU01@2", "AU04"],),
        (["AU01@3", "AU01", "AU04"],),
        (["AU01@1", "AU04"],),
    ]


def test_an_output_without_looks_has_the_columns_all_the_same(store):
    looks_of(store, {"a": ("fear", {"A": 1})})
    for table in ("looks", "cluster_looks"):
        store.delete(f"tables/{table}")
    row = connect(store).execute(
        "SELECT (SELECT any_value(look) FROM detections), (SELECT any_value(looks) FROM stages), "
        "(SELECT count(look_distance) FROM prototypes), (SELECT any_value(look_text) FROM temporal_prototypes)"
    )
    assert row.fetchall() == [(None, None, 0, None)]
