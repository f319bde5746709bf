"""`runs.versions` names what computes results, no more and no less."""

import ast
import sys
from importlib import metadata
from pathlib import Path

from fer_batch.output.run_record import PACKAGES, versions

PACKAGE = Path(__file__).parents[2] / "fer_batch"
# Packages that are imported and change no published number: user interface, settings, transport, queries, pictures.
NO_RESULT = {
    "PyYAML", "boto3", "botocore", "click", "duckdb", "fsspec", "h5py", "jinja2", "markupsafe", "matplotlib", "psutil",
    "pydantic", "s3fs", "safetensors", "tensorboard", "threadpoolctl", "tqdm", "typing_extensions",
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
