"""The named queries: what they answer, and that every engine answers the same."""

import datetime as dt
import math
import re
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fer_batch.output.named_queries import QUERIES
from fer_batch.output.query import connect
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS

STARTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TARGETS = ("AU01", "AU02", "AU12")
ASKED = sorted(
    {table for query in QUERIES.values() for table in re.findall(r"(?:FROM|JOIN) (\w+)", query.sql)} & set(SCHEMAS)
)


def publish(root, tables, model="m-1"):
    partition = Partition("d", model, "e-1")
    for table, rows in tables.items():
        Store(str(root)).put(f"{partition.folder(table)}/a.parquet", encode(rows_of(table, rows)))


def sequences_of(rng, n):
    for k in range(n):
        status = rng.choice(["done", "partial", "failed"], p=[0.8, 0.1, 0.1])
        yield {
            "sequence_id": f"{k:02d}.mp4",
            "subject_id": f"S{k % 7}" if k % 5 else None,
            "emotion": rng.choice(["fear", "joy", "surprise"]) if k % 6 else None,
            "status": str(status),
            "reason": None if status == "done" else f"decode: {rng.choice(['truncated', 'empty'])}",
            "run_id": f"r{k % 3}",
        }


def generated(seed, n=30, n_frames=25):
    """Rows of every table that a query asks, with holes, ties and sequences without subject or emotion."""
    rng = np.random.default_rng(seed)
    tables = {name: [] for name in ASKED}
    tables["sequences"] = list(sequences_of(rng, n))
    tables["runs"] = [
        {"run_id": f"r{k}", "started_at": STARTED + dt.timedelta(days=k), "counts": "{}"} for k in range(3)
    ]
    for k in range(12):
        figures = {name: float(rng.random()) for name in ("value", "low", "high", "centre", "lower", "upper")}
        figures |= {"smoothed": None if k % 4 else float(rng.random()), "look": k if k % 2 else None}
        alarm = (None, "change", "looks_elsewhere")[k % 3]
        night = {"run_id": f"r{k % 3}", "started_at": STARTED + dt.timedelta(days=k % 3), "figure": "mu"}
        tables["drift"].append({**night, **figures, "target": f"AU{k:02d}", "state": "below", "alarm": alarm, "n": k})
    texts = ["(NONE)", "(AU01_A)", "(AU01_A, AU12_B)", "(AU12_A)"]
    for row in tables["sequences"]:
        who = {"sequence_id": row["sequence_id"]}
        kind = {key: row[key] for key in ("subject_id", "emotion")}
        clock = bool(rng.random() < 0.8)
        for frame in range(n_frames):
            stamp = {"timestamp_ns": frame * 40_000_000 if clock else None}
            tables["frames"].append(
                {**who, "frame_index": frame, "status": str(rng.choice(["ok", "no_face"])), **stamp}
            )
            for target in TARGETS:
                active = bool(rng.random() < 0.4)
                tables["detections"].append(
                    {
                        **{**who, "frame_index": frame, "target": target, "active": active},
                        "probability": float(rng.random()) if rng.random() < 0.95 else None,
                        "mu": float(rng.random()) if active and rng.random() < 0.9 else None,
                        "region_share": 0.3,
                    }
                )
        story = [str(text) for text in rng.choice(texts, rng.integers(1, 6))]
        for k, text in enumerate(story):
            span = {
                "first_frame": 4 * k,
                "last_frame": 4 * k + int(rng.integers(0, 4)),
                "n_frames": int(rng.integers(1, 5)),
                "n_missing_frames": int(rng.integers(0, 3)) if rng.random() < 0.9 else None,
            }
            tables["stages"].append({**who, "stage_index": k, "text": text, **span})
        joined = " -> ".join(story)
        counts = {"n_frames": 0 if row["status"] == "failed" else n_frames, "reduction": float(rng.random())}
        tables["temporal_prototypes"].append({**who, **kind, "text": joined, "cooccurrence_text": joined, **counts})
        for k in range(int(rng.integers(0, 4))):
            own = {"cooccurrence_text": str(rng.choice(texts)), "duration_s": float(rng.random()) if clock else None}
            tables["episodes"].append({**who, **kind, "episode_index": k, "n_frames": int(rng.integers(1, 9)), **own})
        for target in TARGETS:
            for cluster in "AB"[: rng.integers(0, 3)]:
                look = int(rng.integers(1, 4)) if rng.random() < 0.9 else None
                tables["prototypes"].append({**who, "target": target, "cluster": cluster, "n_clusters": 2})
                place = {"target": target, "cluster": cluster, "look": look, "distance": float(rng.random())}
                tables["cluster_looks"].append({**who, **place})
    for target in TARGETS:
        for look in (1, 2, 3):
            tables["looks"].append(
                {"target": target, "look": look, "rare": look == 3, "isolation": float(rng.random()), "place": "mouth",
                 "share": float(rng.random()), "n_sequences": look, "exemplars": ["00.mp4#1", "01.mp4#2"]}
            )  # fmt: skip
            stills = {"target": target, "cluster": "ABC"[look - 1], "n_frames": int(rng.integers(1, 50))}
            tables["class_prototypes"].append({**stills, "n_clusters": 3, "exemplars": ["a.jpg#0"], "eigengap": 0.25})
        for k in range(15):
            group = {"group": str(rng.choice(["all", "fear"])), "mined": "sequences", "labels": "letters"}
            tables["patterns"].append(
                {**group, "kind": "gapped", "pattern": f"(NONE) -> (AU{k:02d})", "length": 2, "support": int(k % 4),
                 "q_value": float(rng.choice([0.01, 0.2])) if k % 3 else None, "closed": True}
            )  # fmt: skip
    return tables


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("out")
    publish(root, generated(1))
    publish(root, generated(2, n=20), "m-2")
    return root


@pytest.fixture(scope="module")
def expected(out):
    connection = connect(Store(str(out)))
    return {name: answered(connection.sql(query.sql).to_arrow_table()) for name, query in QUERIES.items()}


def answered(table):
    """Names of the columns, and rows in one order whatever the engine does with NULL."""
    rows = [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]
    return table.column_names, sorted(rows, key=lambda row: [str(cell) for cell in row if not isinstance(cell, float)])


def plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return None if isinstance(value, float) and math.isnan(value) else value


def units(rows):
    """One unit in the last decimal of each column: engines differ in where a half goes; Polars keeps float32."""
    for cells in zip(*rows, strict=True):
        decimals = max((len(repr(cell).partition(".")[2]) for cell in cells if isinstance(cell, float)), default=0)
        yield max(1e-6, 1.01 * 10.0**-decimals)


def same_cell(one, other, unit):
    both = isinstance(one, float) and isinstance(other, float)
    return abs(one - other) <= unit if both else one == other


def assert_same(answers, expected):
    """An engine's answers are those of DuckDB over the files."""
    for name, (columns, rows) in answers.items():
        assert [column.lower() for column in columns] == expected[name][0], name
        assert len(rows) == len(expected[name][1]), name
        unit = list(units(expected[name][1]))
        for row, other in zip(rows, expected[name][1], strict=True):
            assert all(map(same_cell, row, other, unit)), f"{name}: {row} and {other}"


def test_the_data_ask_every_query_for_rows(expected):
    assert [name for name, (_, rows) in expected.items() if not rows] == []
    assert all({row[1] for row in rows} == {"m-1", "m-2"} for _, rows in expected.values())


def test_a_key_in_the_where_reads_the_files_of_its_partition_alone(out):
    connection = connect(Store(str(out)))
    sql = "EXPLAIN ANALYZE SELECT count(timestamp_ns) FROM frames WHERE {} status = 'ok'"
    for where, n_files in (("", 2), ("model = 'm-1' AND", 1)):
        ((_, plan),) = connection.execute(sql.format(where)).fetchall()
        assert sum(map(int, re.findall(r"Total Files Read: (\d+)", plan))) == n_files


def test_polars_agrees(out, expected):
    def scan(table):
        keys = dict.fromkeys(PARTITIONS[table], pl.String)
        return pl.scan_parquet(f"{out}/tables/{table}/**/*.parquet", hive_schema=keys)

    context = pl.SQLContext({table: scan(table) for table in ASKED})
    found = {name: answered(context.execute(query.sql, eager=True).to_arrow()) for name, query in QUERIES.items()}
    assert_same(found, expected)


def test_pandas_through_duckdb_agrees(out, expected):
    import duckdb

    connection = duckdb.connect()
    for table in ASKED:
        connection.register(table, pd.read_parquet(f"{out}/tables/{table}", dtype_backend="pyarrow"))
    found = {name: answered(connection.sql(query.sql).to_arrow_table()) for name, query in QUERIES.items()}
    assert_same(found, expected)


def test_datafusion_agrees(out, expected):
    import datafusion
    import pyarrow as pa

    context = datafusion.SessionContext()
    for table in ASKED:
        keys = [(key, pa.string()) for key in PARTITIONS[table]]
        context.register_parquet(table, f"{out}/tables/{table}", table_partition_cols=keys)
    found = {name: answered(context.sql(query.sql).to_arrow_table()) for name, query in QUERIES.items()}
    assert_same(found, expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java, which is not installed")
@pytest.mark.filterwarnings("ignore")
def test_pyspark_agrees(out, expected):
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    quiet = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    quiet |= {"spark.sql.shuffle.partitions": "1", "spark.sql.session.timeZone": "UTC"}
    # These few rows are read before the JVM has optimised what reads them.
    quiet |= {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    spark = SparkSession.builder.master("local[1]").config(map=quiet).getOrCreate()
    try:
        for table in ASKED:
            spark.read.parquet(f"{out}/tables/{table}").createOrReplaceTempView(table)
        quoted = {name: query.sql.replace('"', "`") for name, query in QUERIES.items()}
        found = {name: answered(spark.sql(sql).toArrow()) for name, sql in quoted.items()}
    finally:
        gateway = spark.sparkContext._gateway
        spark.stop()
        gateway.shutdown()  # else the JVM stays until this process ends
        gateway.proc.stdin.close()
        SparkContext._gateway = SparkContext._jvm = None
    assert_same(found, expected)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_keeps_to_what_engines_have_in_common(name):
    sql = QUERIES[name].sql
    body = sql.partition("\n")[2]
    assert sql.startswith("-- ") and sql.endswith("\n") and ";" not in sql and "--" not in body
    assert not re.search(r"QUALIFY|FILTER|EXCLUDE|GROUP BY ALL|ORDER BY ALL|USING|NATURAL|::|\[|\bDOUBLE\b", body)
    assert re.search(r"^SELECT (\w\.)?dataset, (\w\.)?model, (\w\.)?explain, ", body, re.MULTILINE), "keys first"


def test_names_that_engines_quote_differently_are_those_of_one_column():
    assert {name for query in QUERIES.values() for name in re.findall('"(.*?)"', query.sql)} == {"group"}


def ask(root, tables, name):
    """Rows of a query over one small partition, without its keys."""
    if "sequences" in tables:
        tables["sequences"] = [{"status": "done", "run_id": "r"} | row for row in tables["sequences"]]
    publish(root, tables)
    table = connect(Store(str(root))).sql(QUERIES[name].sql).to_arrow_table()
    return [tuple(row.values())[3:] for row in table.to_pylist()]


def test_transitions_are_counted_within_a_sequence(tmp_path):
    stories = {"a": ("(NONE)", "(AU01_A)", "(NONE)"), "b": ("(NONE)", "(AU01_A)"), "c": ("(NONE)", "(AU12_A)")}
    stages = [
        {"sequence_id": name, "stage_index": k, "text": text, "n_missing_frames": 3 * (name == "b")}
        for name, own in stories.items()
        for k, text in enumerate(own)
    ]
    assert ask(tmp_path, {"stages": stages}, "transitions") == [
        ("(NONE)", "(AU01_A)", 2, 2, 0.667, 1),
        ("(AU01_A)", "(NONE)", 1, 1, 1.0, 0),
        ("(NONE)", "(AU12_A)", 1, 1, 0.333, 0),
    ]


def cells(rows):
    """Rows of `detections` from (sequence, frame, target, active, probability, mu), chance 0.25."""
    keys = ("sequence_id", "frame_index", "target", "active", "probability", "mu")
    return [dict(zip(keys, row, strict=True)) | {"region_share": 0.25} for row in rows]


def test_cooccurrence_beside_independence(tmp_path):
    on = {"AU01": {0, 1, 2, 3}, "AU02": {2, 3}, "AU12": {7}}
    rows = cells([("a", k, target, k in frames, 0.5, None) for target, frames in on.items() for k in range(8)])
    # AU01 in half of 8 frames, AU02 in a quarter, both in a quarter: twice 1/8.
    assert ask(tmp_path, {"detections": rows}, "cooccurrence") == [("AU01", "AU02", 2, 1, 0.5, 2.0)]


def test_subjects_are_compared_with_the_mean_of_the_others(tmp_path):
    sequences = [
        {"sequence_id": name, "subject_id": who} for name, who in zip("abcd", ("S1", "S1", "S2", None), strict=True)
    ]
    rows = [("a", 0, 1.0), ("a", 1, 0.9), ("b", 0, 0.5), ("c", 0, 0.3), ("d", 0, 0.4), ("d", 1, None)]
    detections = cells([(name, frame, "AU01", True, 0.5, mu) for name, frame, mu in rows])
    found = ask(tmp_path, {"sequences": sequences, "detections": detections}, "subjects")
    assert found == [
        ("AU01", "S1", 3, 0.8, 0.35, 0.45, 3),
        ("AU01", "S2", 1, 0.3, 0.6, -0.3, 3),
        ("AU01", "d", 1, 0.4, 0.55, -0.15, 3),
    ]


def test_frames_to_review_are_sure_and_looked_at_elsewhere(tmp_path):
    rows = [("a", 0, "AU01", True, 0.9, 0.1), ("a", 1, "AU01", True, 0.95, 0.2), ("a", 2, "AU01", True, 0.99, 0.3),
            ("a", 3, "AU01", False, 0.4, 0.1), ("a", 4, "AU01", True, 0.8, None)]  # fmt: skip
    found = ask(tmp_path, {"detections": cells(rows)}, "review")
    assert found == [("AU01", "a", 1, 0.95, 0.2, 0.25), ("AU01", "a", 0, 0.9, 0.1, 0.25)]


def test_stages_last_frames_and_seconds_where_there_is_a_clock(tmp_path):
    frames = [{"sequence_id": "a", "frame_index": k, "status": "ok", "timestamp_ns": k * 500_000_000} for k in range(9)]
    frames += [{"sequence_id": "stills", "frame_index": k, "status": "ok"} for k in range(3)]
    spans = [("a", 0, "(NONE)", 0, 4, 5, 0), ("a", 1, "(AU01_A)", 5, 8, 4, None), ("stills", 0, "(NONE)", 0, 1, 2, 0),
             ("b", 0, "(NONE)", 0, 8, 1, 8), ("b", 1, "(AU12_A)", 9, 12, 1, 3)]  # fmt: skip
    keys = ("sequence_id", "stage_index", "text", "first_frame", "last_frame", "n_frames", "n_missing_frames")
    stages = [dict(zip(keys, span, strict=True)) for span in spans]
    assert ask(tmp_path, {"frames": frames, "stages": stages}, "stage_durations") == [
        ("(NONE)", 3, 1, 3, 3.5, 2, 5, 2.0),
        ("(AU01_A)", 1, 0, 1, 4.0, 4, 4, 1.5),
        ("(AU12_A)", 1, 1, 1, None, None, None, None),
    ]


def test_nights_are_compared_with_the_run_before(tmp_path):
    runs = [{"run_id": name, "started_at": STARTED + dt.timedelta(days=day)} for name, day in (("z", 0), ("a", 1))]
    sequences = [{"sequence_id": name, "run_id": run} for name, run in (("1", "z"), ("2", "a"), ("3", "a"))]
    rows = [("1", 0, True, 0.6, 0.8), ("1", 1, False, 0.2, None), ("2", 0, True, 0.9, 0.4), ("3", 0, True, 0.7, None)]
    detections = cells([(name, frame, "AU01", active, p, mu) for name, frame, active, p, mu in rows])
    found = ask(tmp_path, {"runs": runs, "sequences": sequences, "detections": detections}, "nights")
    assert [(row[0], *row[2:]) for row in found] == [
        ("AU01", "z", 1, 2, 0.5, None, 0.4, 0.8, None),
        ("AU01", "a", 2, 2, 1.0, 0.5, 0.8, 0.4, -0.4),
    ]


def test_failures_are_counted_by_input_and_reason(tmp_path):
    """Those of one input's people once, and reasons that differ in numbers together."""
    states = [("b", "failed", "empty"), ("a", "failed", "empty"), ("c", "partial", "ended after 12 frames"),
              ("c#face2", "partial", "ended after 12 frames"), ("e", "partial", "ended after 7 frames"),
              ("d", "done", None)]  # fmt: skip
    sequences = [dict(zip(("sequence_id", "status", "reason"), state, strict=True)) for state in states]
    sequences = [{**row, "uri": f"/data/{row['sequence_id'].partition('#')[0]}"} for row in sequences]
    found = ask(tmp_path, {"sequences": sequences}, "failures")
    assert found == [("failed", "empty", 2, "a"), ("partial", "ended after 12 frames", 2, "c")]


def test_chance_is_of_the_frames_that_have_a_mu(tmp_path):
    rows = cells([("a", 0, "AU01", True, 0.9, 0.5), ("a", 1, "AU01", True, 0.9, None)])
    rows[1]["region_share"] = 0.75
    assert ask(tmp_path, {"detections": rows}, "localisation") == [("AU01", 1, 0.5, 0.25)]


def test_patterns_of_older_outputs_are_apart_by_letters(tmp_path):
    """Ten at most are shown of each kind; `labels` is NULL in rows older than that column."""
    common = {"group": "all", "mined": "sequences", "kind": "gapped", "length": 2, "support": 3, "closed": True}
    rows = [{**common, "letters": letters, "pattern": f"(A{k}) -> (B)"} for letters in (True, False) for k in range(9)]
    found = ask(tmp_path, {"patterns": rows}, "patterns")
    assert [row[2] for row in found] == ["letters"] * 9 + ["targets"] * 9


def test_what_a_query_answers_is_said_without_another():
    assert not [name for name, query in QUERIES.items() if query.about.startswith("the same ")]


def test_prototypes_of_an_emotion_have_their_share_of_its_sequences(tmp_path):
    rows = [("a", "joy", "(AU12)", 4), ("b", "joy", "(AU12)", 2), ("c", "joy", "(NONE)", 3), ("d", "joy", "", 0),
            ("e", None, "(AU12)", 3), ("f", "fear", "(AU01)", 3)]  # fmt: skip
    keys = ("sequence_id", "emotion", "cooccurrence_text", "n_frames")
    prototypes = [dict(zip(keys, row, strict=True)) | {"subject_id": "S1"} for row in rows]
    assert ask(tmp_path, {"temporal_prototypes": prototypes}, "temporal_prototypes_by_emotion") == [
        ("fear", "(AU01)", 1, 1.0, 1, 3.0),
        ("joy", "(AU12)", 2, 0.667, 1, 3.0),
        ("joy", "(NONE)", 1, 0.333, 1, 3.0),
    ]
