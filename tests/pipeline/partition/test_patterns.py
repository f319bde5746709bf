"""Table `patterns`: written from the stories, whole, and again only when they change."""

import json
import time

import numpy as np
import pytest

from fer_batch.output.query import answer, connect, resolve_query
from fer_batch.pipeline.partition.patterns import (
    FILE,
    PatternSearch,
    looked_for,
    pattern_rows,
    publish_patterns,
)
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.report.patterns import _group
from fer_batch.pipeline.stages import refresh_patterns, stage_named
from fer_batch.prototypes.temporal import cooccurrence, parse, prototype_text
from fer_batch.report.patterns import PatternGroup
from fer_batch.storage.manifest import SHARDS
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition, encode, read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

HERE = Partition("clips", "net-01234567", "lrp-89abcdef")
STORIES = (
    *[("(NONE) -> (AU02_A) -> (AU01_A, AU02_A)", "surprise")] * 3,
    ("(NONE) -> (AU12_A)", "happiness"),
    ("(AU12_A) -> (AU06_A, AU12_A) -> (NONE)", "happiness"),
    ("(NONE) -> (AU12_A) -> (NONE)", None),
)


def publish(store: Store, stories, shard: str = "a-00000", n_frames: int = 9) -> None:
    rows = [
        {
            "sequence_id": f"{shard}/{i}",
            "text": text,
            "cooccurrence_text": prototype_text(cooccurrence(parse(text))),
            "emotion": emotion,
            "n_frames": n_frames if text else 0,
        }
        for i, (text, emotion) in enumerate(stories)
    ]
    store.put(f"{HERE.folder('temporal_prototypes')}/{shard}.parquet", encode(rows_of("temporal_prototypes", rows)))


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(str(tmp_path / "out"))
    store.put(f"{HERE.folder('sequences')}/a-00000.parquet", encode(rows_of("sequences", [])))
    publish(store, [*STORIES, ("", None)])
    marker(store, "a-00000")
    return store


def marker(store: Store, shard: str) -> None:
    marker = ShardMarker(shard=shard, partition=HERE, analysis_id="a", units=(), counts={})
    store.put(f"{SHARDS}/{shard}.json", marker.to_json())


def mark(store: Store, options: dict) -> None:
    PublishedStages(store, HERE).mark(stage_named("patterns"), options)


def table(store: Store) -> list[dict]:
    return read(store, "patterns", columns=SCHEMAS["patterns"].names).to_pylist()


def one(rows: list[dict], **wanted) -> dict:
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_the_table_says_how_common_and_how_typical_a_pattern_is(store):
    assert publish_patterns(store, HERE) == 6, "a sequence without a face tells no story"
    rows = table(store)
    rise = "(NONE) -> (AU02_A) -> (AU01_A, AU02_A)"
    assert one(rows, group="all", pattern=rise, kind="contiguous") == {
        "group": "all",
        "letters": True,
        "mined": "sequences",
        "pattern": rise,
        "length": 3,
        "kind": "contiguous",
        "support": 3,
        "lift": None,
        "p_value": None,
        "q_value": None,
        "maximal": True,
        "closed": True,
        "longest": 6,
    }
    mine = one(rows, group="surprise", pattern=rise, kind="gapped")
    assert mine["support"] == 3
    assert mine["lift"] == pytest.approx(5 / 3)  # all of surprise, three of the five with an emotion
    assert mine["p_value"] == pytest.approx(1 / 10)  # one of the 10 ways to choose 3 of 5 stories
    assert mine["p_value"] <= mine["q_value"] <= 1
    start = one(rows, group="surprise", pattern="(NONE)", kind="gapped", letters=True)
    assert not start["maximal"]
    assert not start["closed"]
    assert one(rows, group="happiness", pattern="(AU12_A)", kind="gapped")["support"] == 2
    assert {row["group"] for row in rows} == {"all", "surprise", "happiness"}
    assert all(row["support"] >= 2 for row in rows)


def test_episodes_are_mined_beside_them_and_a_sequence_counts_once(store):
    """Surprise has the rise twice in each sequence, happiness has its two stages in different episodes."""
    rise, parted = ["(AU02_A) -> (AU01_A, AU02_A)"] * 2, ["(AU02_A)", "(AU01_A, AU02_A)"]
    rows = [
        {"sequence_id": f"a-00000/{i}", "episode_index": k, "text": text, "cooccurrence_text": text.replace("_A", "")}
        for i, (_, emotion) in enumerate(STORIES)
        for k, text in enumerate(rise if emotion == "surprise" else parted)
    ]
    rows.append({"sequence_id": "replaced.mp4", "episode_index": 0, "text": rise[0], "cooccurrence_text": "(AU02)"})
    store.put(f"{HERE.folder('episodes')}/a-00000.parquet", encode(rows_of("episodes", rows)))
    publish_patterns(store, HERE)
    found = [row for row in table(store) if row["mined"] == "episodes"]
    assert one(found, group="all", pattern=rise[0], kind="gapped", letters=True)["support"] == 3
    own = one(found, group="surprise", pattern=rise[0], kind="contiguous", letters=True)
    assert (own["support"], own["lift"]) == (3, pytest.approx(5 / 3))
    assert own["p_value"] == pytest.approx(1 / 10), "three sequences of five, not six episodes"
    assert one(found, group="all", pattern="(AU02)", kind="gapped", letters=False)["support"] == 6
    assert not [row for row in found if row["group"] == "happiness" and row["length"] > 1]


def test_temporal_prototypes_are_mined_with_letters_and_without(store):
    publish(store, [("(AU12_A) -> (AU12_B) -> (AU06_A, AU12_B)", None), ("(AU12_A) -> (AU06_A, AU12_A)", None)])
    publish_patterns(store, HERE)
    rows = table(store)
    shared = one(rows, group="all", kind="contiguous", pattern="(AU12) -> (AU06, AU12)")
    assert (shared["support"], shared["letters"], shared["maximal"]) == (2, False, True)
    assert {row["pattern"] for row in rows if row["letters"]} == {"(AU12_A)"}, "letters are each story's own"


def test_the_greatest_length_is_the_jobs_and_a_report_keeps_it(store):
    publish_patterns(store, HERE, search=PatternSearch(1))
    mark(store, {"max_length": 1, "relation": "equal"})
    assert looked_for(store, HERE) == PatternSearch(1)
    rows = table(store)
    assert {row["longest"] for row in rows} == {1}
    assert max(row["length"] for row in rows if row["kind"] == "gapped") == 1
    assert max(row["length"] for row in rows if row["kind"] == "contiguous") == 3, "runs are followed to the longest"
    publish(store, STORIES[:3])
    marker(store, "b-00001")
    refresh_patterns(store, HERE)
    rows = table(store)
    assert {row["longest"] for row in rows} == {1}, "whoever does not say keeps what the job said"
    assert max(row["support"] for row in rows if row["group"] == "all") == 3, "of the stories that there are now"


def test_stages_may_be_included_where_the_job_says_so(tmp_path):
    store = Store(str(tmp_path))
    publish(store, [("(a) -> (b)", "joy"), ("(a, c) -> (b)", "joy"), ("(c) -> (b)", "fear"), ("(NONE) -> (b)", "fear")])
    publish_patterns(store, HERE)
    equal = {row["pattern"]: row["support"] for row in table(store) if row["group"] == "all" and row["letters"]}
    assert equal == {"(b)": 4}
    assert publish_patterns(store, HERE, search=PatternSearch(6, "subset")) == 4
    rows = [row for row in table(store) if row["letters"] and row["kind"] == "gapped"]
    found = {row["pattern"]: row["support"] for row in rows if row["group"] == "all"}
    assert found == {"(b)": 4, "(a)": 2, "(c)": 2, "(a) -> (b)": 2, "(c) -> (b)": 2}
    assert one(rows, group="joy", pattern="(a) -> (b)")["maximal"]


def test_a_table_of_an_earlier_version_is_written_anew(store):
    path = f"{HERE.folder('patterns')}/{FILE}"
    columns = ["group", "pattern", "length", "kind", "support", "lift", "p_value", "q_value", "maximal"]
    old = rows_of("patterns", [{"group": "all", "pattern": "(a)", "length": 1, "kind": "gapped", "support": 9}])
    store.put(path, encode(old.select(columns), {"stories": "an older key"}))
    refresh_patterns(store, HERE)
    assert None not in {row["letters"] for row in table(store)}


def test_nothing_is_written_where_nothing_changed(store):
    refresh_patterns(store, HERE)
    assert store.names(HERE.folder("patterns")) == [FILE], "readers with a glob see one whole table"
    before = store.read_bytes(f"{HERE.folder('patterns')}/{FILE}")
    versions = {entry.path: entry.version for entry in store.walk()}
    refresh_patterns(store, HERE)
    assert {entry.path: entry.version for entry in store.walk()} == versions
    # The same stories in other shards are the same table.
    publish(store, STORIES[4:], "b-00001")
    publish(store, STORIES[:4])
    marker(store, "b-00001")
    refresh_patterns(store, HERE)
    assert store.read_bytes(f"{HERE.folder('patterns')}/{FILE}") == before
    assert {entry.path: entry.version for entry in store.walk()} != versions


def test_stills_have_no_temporal_prototypes_and_leave_no_table(store):
    publish_patterns(store, HERE)
    publish(store, [("", None)])
    assert publish_patterns(store, HERE) == 0
    assert not store.exists(f"{HERE.folder('patterns')}/{FILE}")
    assert table(store) == []


def test_names_of_targets_that_end_like_letters_are_written_as_they_were_read():
    rows = pattern_rows(["(MOUTH_B, MOUTH) -> (pain_AB)"] * 2, ["x", None])
    assert one(rows, group="all", kind="contiguous", length=2)["pattern"] == "(MOUTH_B, MOUTH) -> (pain_AB)"


def test_the_ready_made_query_lists_the_most_typical_first(store):
    publish_patterns(store, HERE)
    connection = connect(store)
    rows = answer(connection, resolve_query(connection, "patterns")).fetchall()
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert {row[1:3] for row in rows} == {("sequences", False), ("sequences", True)}
    assert any(row[0] == "surprise" and row[4] == "(NONE) -> (AU02_A) -> (AU01_A, AU02_A)" for row in rows)
    assert json.dumps(rows)


def shown(stories: list[str], name: str | None = None, emotions: list[str | None] | None = None) -> PatternGroup:
    rows = pattern_rows(stories, emotions or [None] * len(stories))
    return _group(name, len(stories), [row for row in rows if row["group"] == (name or "all")], None)


def test_the_commonest_of_a_long_common_prototype_is_the_whole_not_its_fragments():
    whole = " -> ".join(f"(AU{n:02d}_A)" for n in range(1, 16))
    group = shown([whole] * 30 + [" -> ".join(reversed(whole.split(" -> ")))] * 20)
    assert [(row.text == whole, row.support, row.at_once) for row in group.commonest[:1]] == [(True, None, 30)]
    assert len(group.commonest) == 2


def test_a_pattern_in_which_nothing_is_active_is_not_shown():
    group = shown(["(NONE) -> (AU01_A) -> (NONE)", "(NONE) -> (AU12_A) -> (NONE)"] * 3)
    assert {row.text for row in group.commonest} == {"(NONE) -> (AU01_A) -> (NONE)", "(NONE) -> (AU12_A) -> (NONE)"}


def test_what_chance_gives_is_not_called_typical():
    stories = ["(NONE) -> (AU01_A)", "(NONE) -> (AU12_A)"] * 4
    apart = ["a", "b"] * 4
    assert {row.text for row in shown(stories * 3, "a", apart * 3).typical} == {"(NONE) -> (AU01_A)"}
    mixed = shown(stories, "a", ["a", "a", "b", "b"] * 2)
    assert mixed.commonest
    assert mixed.typical == ()


def test_20_000_temporal_prototypes_take_seconds():
    rng = np.random.default_rng(0)
    texts = [" -> ".join(f"(AU{n:02d}_A)" for n in rng.integers(1, 20, rng.integers(2, 12))) for _ in range(20_000)]
    emotions = [("fear", "joy", None)[n] for n in rng.integers(0, 3, len(texts))]
    began = time.process_time()
    rows = pattern_rows(texts, emotions)
    assert time.process_time() - began < 20  # about 2 s on one core of a laptop
    assert max(row["support"] for row in rows) > 5_000
    q_values = [row["q_value"] for row in rows if row["q_value"] is not None]
    assert min(q_values) > 1e-4, "emotions that are dealt out at random are not typical of anything"


def test_a_table_of_an_earlier_version_can_be_asked(store):
    columns = ["group", "pattern", "length", "kind", "support", "lift", "p_value", "q_value", "maximal"]
    old = rows_of("patterns", [{"group": "all", "pattern": "(a)", "length": 1, "kind": "gapped", "support": 9}])
    store.put(f"{HERE.folder('patterns')}/{FILE}", encode(old.select(columns)))
    connection = connect(store)
    assert answer(connection, resolve_query(connection, "patterns")).fetchall() == []
    assert answer(connection, "SELECT support, letters, closed FROM patterns").fetchall() == [(9, True, None)]
