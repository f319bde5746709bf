"""Ready-made queries and single statements over tiny outputs."""

import pytest

from fer_batch.output.query import QUERIES, answer, connect, resolve_query, statements
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def publish(store, dataset, model="m-1", explain="e-1", texts=("(AU01_A)",), n_frames=4):
    """One partition with a sequence per story and an active detection each."""
    partition = Partition(dataset, model, explain)
    names = [f"{index}.mp4" for index in range(len(texts))]
    rows = {
        "sequences": [{"sequence_id": name, "kind": "video", "status": "done", "run_id": "r"} for name in names],
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


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("datasets", [("one",), ("one", "two")])
def test_every_query_can_be_asked(store, name, datasets):
    for dataset in datasets:
        publish(store, dataset)
    columns, rows = ask(store, name)
    assert ("dataset" in columns) == (len(datasets) > 1)
    assert len(rows) == (0 if name == "failed" else len(datasets))


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
    assert columns == ["target", "cluster", "stills", "share", "n_clusters", "eigengap", "silhouette", "nearest_still"]
    assert [row[:4] for row in found] == [("anger", "A", 5, 1.0), ("fear", "A", 3, 0.75), ("fear", "B", 1, 0.25)]


def test_an_output_of_an_earlier_version_has_null_in_columns_that_came_later(store):
    publish(store, "d")
    old = rows_of("class_prototypes", [{"target": "fear", "cluster": "A", "n_frames": 2, "exemplars": ["a"]}])
    old = old.select(["target", "cluster", "n_frames", "exemplars"])
    store.put(f"{Partition('d', 'm-1', 'e-1').folder('class_prototypes')}/shard-4.parquet", encode(old))
    assert ask(store, "classes")[1] == [("fear", "A", 2, 1.0, None, None, None, "a")]
