"""An output to ask."""

import pytest

from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

JPEG = b"\xff\xd8\x00picture"


@pytest.fixture
def out(tmp_path):
    """An output with one temporal prototype and one picture."""
    folder = tmp_path / "my out"
    store, partition = Store(str(folder)), Partition("d", "m-1", "e-1")
    rows = {
        "sequences": {"sequence_id": "a.mp4", "kind": "video", "status": "done", "run_id": "r"},
        "temporal_prototypes": {"sequence_id": "a.mp4", "text": "(AU01_A)", "n_frames": 3, "reduction": 0.5},
        "prototypes": {"sequence_id": "a.mp4", "target": "AU01", "cluster": "A", "exemplar_jpeg": JPEG},
    }
    for table, row in rows.items():
        store.put(f"{partition.folder(table)}/s.parquet", encode(rows_of(table, [row])))
    return str(folder)
