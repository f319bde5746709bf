"""What recurs in looks: of sequences, and of the episodes of several of them."""

from fer_batch.pipeline.partition.patterns import EPISODES, SEQUENCES
from fer_batch.pipeline.report.patterns import _looks_parts
from fer_batch.storage.parquet import Partition, encode, read, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m", "e")
SMILE, MOUTH = "(AU12@1) -> (AU12@1, AU06@1)", "(AU25@1) -> (AU25@2)"


def put(store, table, rows):
    store.put(f"{HERE.folder(table)}/{table}.parquet", encode(rows_of(table, rows)))


def test_episodes_in_looks_are_counted_by_the_sequences_that_have_them(tmp_path):
    store = Store(str(tmp_path))
    whole = {"one": ("happiness", SMILE), "two": ("happiness", f"{SMILE} -> (NONE)"), "three": ("surprise", MOUTH)}
    put(
        store,
        "look_prototypes",
        [{"sequence_id": k, "emotion": e, "text": t, "n_frames": 9} for k, (e, t) in whole.items()],
    )
    own = [("one", SMILE), ("two", SMILE), ("two", SMILE), ("three", MOUTH), ("three", None), ("replaced", SMILE)]
    put(
        store,
        "episodes",
        [{"sequence_id": name, "episode_index": i, "looks_text": text} for i, (name, text) in enumerate(own)],
    )
    pattern = {"group": "all", "pattern": SMILE, "length": 2, "kind": "gapped", "support": 2, "closed": True}
    put(store, "patterns", [pattern | {"labels": "looks", "mined": EPISODES, "longest": 6}])
    sequences, episodes = _looks_parts(store, HERE, read(store, "patterns", **HERE.key), ["happiness"])
    assert (sequences.mined, sequences.n_distinct, sequences.n_recurring) == (SEQUENCES, 3, 0)
    assert (episodes.title, episodes.anchor) == ("Episodes: with looks", "episodes-looks")
    assert (episodes.n_sequences, episodes.n_distinct, episodes.n_recurring) == (3, 2, 1)
    (recurring,) = episodes.prototypes
    assert (recurring.text, recurring.n_sequences, recurring.emotions) == (SMILE, 2, (("happiness", 2),))
    assert [(group.name, group.n_sequences) for group in episodes.groups] == [(None, 3), ("happiness", 2)]
    (row,) = episodes.groups[0].commonest
    assert (row.text, row.share) == (SMILE, 2 / 3)


def test_without_looks_there_is_no_part(tmp_path):
    store = Store(str(tmp_path))
    put(store, "patterns", [])
    assert not list(_looks_parts(store, HERE, read(store, "patterns", **HERE.key), []))
