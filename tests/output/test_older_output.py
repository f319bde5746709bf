"""What reads an output reads one of the first schema version, whose job had other keys."""

import datetime as dt
import json

import numpy as np
import pytest
from click.testing import CliRunner

from fer_batch.cli import cli
from fer_batch.output.named_queries import QUERIES
from fer_batch.pipeline.partition import heatmaps, patterns
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

HERE = Partition("d", "m-1", "e-1")
STARTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIRST = {"fer_batch_version": "0.1.0", "schema_version": "1", "head": "multilabel"}
JOB = {  # neither `labels` nor `report`, and `stories` for what is `temporal_prototypes` now
    "name": "d",
    "explain": {"method": "preset_a_flat", "options": {}, "targets": "active"},
    "stories": {"min_run": 1, "max_pattern": 6},
    "model": {"checkpoint": "gone.safetensors", "threshold": 0.5},
    "faces": {"size": 8, "store": "jpeg"},
}
FILES = {"heatmaps": heatmaps.FILE, "patterns": patterns.FILE}  # of a partition: replaced as a whole
MAP = {"height": 8, "width": 8, "scale": 1.0, "relevance": np.ones(64, np.float16)}


@pytest.fixture
def out(tmp_path):
    """Two people, three frames each, with the columns that the first version had."""
    tables = {name: [] for name in ("sequences", "frames", "detections", "annotations", "prototypes", "stages")}
    tables["temporal_prototypes"] = []
    for who in ("P1", "P2"):
        clip = {"sequence_id": f"{who}.mp4"}
        counts = {"n_frames": 3, "n_decoded": 3}
        tables["sequences"].append(
            {**clip, "subject_id": who, "kind": "video", "status": "done", "run_id": "r", **counts}
        )
        for frame in range(3):
            here = {**clip, "frame_index": frame}
            tables["frames"].append({**here, "status": "ok"})
            tables["annotations"].append({**here, "target": "AU12", "occurrence": True})
            figures = {"active": True, "logit": 1.0, "mu": 0.3, "region_share": 0.1, "conservation": 0.6}
            tables["detections"].append({**here, "target": "AU12", **figures})
        tables["prototypes"].append(
            {**clip, "target": "AU12", "cluster": "A", "n_frames": 3, "exemplar_frame": 0, "n_clusters": 1, **MAP}
        )
        span = {"first_frame": 0, "last_frame": 2, "n_frames": 3}
        tables["stages"].append({**clip, "stage_index": 0, "text": "(AU12_A)", "labels": ["AU12_A"], **span})
        tables["temporal_prototypes"].append({**clip, "text": "(AU12_A)", "n_frames": 3, "n_stages": 1})
    tables["patterns"] = [{"group": "all", "pattern": "(AU12_A)", "kind": "gapped", "support": 2, "length": 1}]
    tables["heatmaps"] = [{"group": "AU12", "method": "preset_a_flat", "n": 6, **MAP}]
    tables["runs"] = [{"run_id": "r", "config": json.dumps(JOB), "counts": json.dumps({"found": 2, "done": 2})}]
    tables["runs"][0] |= {"started_at": STARTED, "finished_at": STARTED}
    store = Store(str(tmp_path))
    for name, rows in tables.items():
        table = rows_of(name, rows)
        first = [field.name for field in table.schema if b"since" not in (field.metadata or {})]
        path = f"{HERE.folder(name)}/{FILES.get(name, 'a.parquet')}"
        store.put(path, encode(table.select(first), FIRST))
    return str(tmp_path)


def answered(*arguments):
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_that_reads_an_output_reads_it(out):
    assert "2 done, 0 partial, 0 failed, 0 skipped" in answered("status", out)
    for name in QUERIES:
        answered("query", out, name)
    rows = json.loads(answered("query", out, "SELECT normalisation, complete FROM heatmaps", "--format", "json"))
    assert rows == [{"normalisation": "max", "complete": None}]
    assert "AU12    1.000" in answered("evaluate", out)
    page = answered("report", out).split()[-1]
    assert "index.html" in page
    assert "P1.mp4 / P2.mp4" in answered("compare", out, "P1.mp4", "P2.mp4")
