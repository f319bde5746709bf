"""`runs.versions` names what computes results, no more and no less."""

import ast
import sys
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel

from fer_batch.output.run_record import PACKAGES, RunRecord, timed, versions
from fer_batch.storage.parquet import Partition, read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

PACKAGE = Path(__file__).parents[2] / "fer_batch"
# Packages that are imported and change no published number: user interface, settings, transport, queries, pictures.
NO_RESULT = {
    "PyYAML", "boto3", "botocore", "click", "duckdb", "fsspec", "h5py", "jinja2", "markupsafe", "matplotlib", "psutil",
    "pydantic", "pyiceberg", "s3fs", "safetensors", "tensorboard", "threadpoolctl", "tqdm", "typing_extensions",
}  # fmt: skip
OPTIONAL = {"dlib", "dlib_bin", "face_recognition_models"}  # not there on every machine


def imported_distributions():
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    names -= set(sys.stdlib_module_names) | {"fer_batch"}
    known = metadata.packages_distributions()
    return {distribution.lower() for name in names - OPTIONAL for distribution in known.get(name, ())}


def test_packages_are_those_that_are_imported():
    found = imported_distributions()
    assert found - {name.lower() for name in NO_RESULT} == set(PACKAGES)


def test_versions_are_those_that_are_installed():
    assert versions()["scikit-learn"] == metadata.version("scikit-learn")
    assert set(PACKAGES) <= versions().keys()


class Anything(BaseModel):
    """A job without keys."""


def test_a_run_says_what_it_did_itself_and_how_fast(tmp_path):
    store, where = Store(str(tmp_path)), Partition("d", "m", "e")
    record = RunRecord(store, where, Anything())
    names = ("a.mp4", "a.mp4#face2", "b.mp4", "old.mp4")
    rows = [
        {"sequence_id": name, "uri": f"/in/{name.partition('#')[0]}", "status": "done", "n_frames": 10}
        for name in names
    ]
    runs = [record.run_id] * 3 + ["earlier"]
    rows = [row | {"run_id": run} for row, run in zip(rows, runs, strict=True)]
    put_table(store, f"{where.folder('sequences')}/a.parquet", rows_of("sequences", rows))
    with timed([record], "explain"):
        pass
    record.count()
    record.write({"found": 4})
    (row,) = read(store, "runs").to_pylist()
    assert (row["n_inputs"], row["n_frames"]) == (2, 30)
    assert row["explain_seconds"] > 0 and row["frames_per_second"] == 30 / row["explain_seconds"]
    assert row["prototypes_seconds"] is None
