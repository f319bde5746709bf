"""The tables open in DuckDB, Polars, pandas and PySpark with the same content."""

import shutil
import subprocess

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

pytestmark = pytest.mark.slow
TABLES = (
    "sequences",
    "frames",
    "annotations",
    "detections",
    "relevance",
    "prototypes",
    "stages",
    "temporal_prototypes",
)


@pytest.fixture(scope="module")
def expected(reference):
    """Rows of each table, and the sum over all maps, by pyarrow."""
    from fer_batch.storage.parquet import read
    from fer_batch.storage.store import Store

    counts = {table: read(Store(str(reference)), table).num_rows for table in TABLES}
    assert min(counts.values()) > 0
    maps = read(Store(str(reference)), "relevance", columns=["relevance"])["relevance"]
    return counts, float(np.sum([np.abs(np.asarray(value.values)).sum(dtype=np.float64) for value in maps]))


def test_duckdb(reference, expected):
    counts, mass = expected
    for table, count in counts.items():
        found = duckdb.sql(
            f"SELECT count(*), min(dataset) FROM read_parquet('{reference}/tables/{table}/**/*.parquet')"
        )
        assert found.fetchall() == [(count, "posed")]
    total = "sum(list_sum(list_transform(relevance, lambda v: abs(v::DOUBLE))))"
    sql = f"SELECT {total} FROM '{reference}/tables/relevance/**/*.parquet'"
    assert duckdb.sql(sql).fetchall()[0][0] == pytest.approx(mass, rel=1e-6)


def test_polars(reference, expected):
    counts, mass = expected
    for table, count in counts.items():
        frame = pl.scan_parquet(f"{reference}/tables/{table}/**/*.parquet", hive_partitioning=True).collect()
        assert (frame.height, frame["dataset"].unique().to_list()) == (count, ["posed"])
    maps = pl.read_parquet(f"{reference}/tables/relevance/**/*.parquet", columns=["relevance"])
    assert maps["relevance"].explode().cast(pl.Float64).abs().sum() == pytest.approx(mass, rel=1e-6)


def test_pandas(reference, expected):
    counts, mass = expected
    for table, count in counts.items():
        frame = pd.read_parquet(f"{reference}/tables/{table}")
        assert (len(frame), list(frame["dataset"].unique())) == (count, ["posed"])
    maps = pd.read_parquet(f"{reference}/tables/relevance")["relevance"]
    assert sum(np.abs(value).sum(dtype=np.float64) for value in maps) == pytest.approx(mass, rel=1e-6)


@pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java, which is not installed")
@pytest.mark.filterwarnings("ignore")
def test_pyspark(reference, expected):
    script = f"""
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config(
    "spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").config(
    "spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC").getOrCreate()
for table in {TABLES!r}:
    frame = spark.read.parquet("{reference}/tables/" + table)
    print("ROWS", table, frame.count(), frame.select("dataset").distinct().collect()[0][0])
maps = spark.read.parquet("{reference}/tables/relevance")
mass = maps.select(F.aggregate("relevance", F.lit(0.0), lambda a, v: a + F.abs(v.cast("double"))).alias("m"))
print("MASS", mass.agg(F.sum("m")).collect()[0][0])
"""
    import sys

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("ROWS", "MASS"))]
    counts, mass = expected
    assert {line[1]: int(line[2]) for line in lines if line[0] == "ROWS"} == counts
    assert float(next(line[1] for line in lines if line[0] == "MASS")) == pytest.approx(mass, rel=1e-6)
