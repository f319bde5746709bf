"""The house: which room may import what. Reads the imports, names the module that strays."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fer_batch"
SHARED = {"facs", "types", "registry"}
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")}
# A room may import itself and what is shared; these arrows are allowed besides.
ALLOWED = {
    "sources": {"storage"},  # both stand on the same store
    "training": {"models", "sources", "evaluate"},  # trains the one on the other, and says how well
    "explain": set(),
    "pipeline": ROOMS | {"config"},
    "config": {"models"},  # the model section of a job is the model room's own
    "cli": {"pipeline", "config", "storage"},
}
ENGINES = {"ray": {"pipeline"}, "dask": {"pipeline"}}
LIMITED = {
    **ENGINES,
    "matplotlib": {"visualize"},
    "fsspec": {"sources", "storage", "models", "pipeline"},
    "torch": {"models", "explain", "training", "pipeline"},
    "click": {"cli"},
    "h5py": {"export"},
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def place(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path):
    """Every module a file imports, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "fer_batch":
                yield from ((f"fer_batch.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_arrow_points_back(path):
    room = place(path)
    allowed = SHARED | {room, "__version__", "__init__"} | ALLOWED.get(room, set())
    for name, line in imports(path):
        top, _, rest = name.partition(".")
        if top == "fer_batch" and rest:
            target = rest.split(".")[0]
            assert target in allowed, f"{path.relative_to(PACKAGE)}:{line} imports the room {target!r} from {room!r}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_rooms(path):
    room = place(path)
    for name, line in imports(path):
        top = name.split(".")[0]
        if top in LIMITED:
            assert room in LIMITED[top], f"{path.relative_to(PACKAGE)}:{line} imports {top} in {room!r}"


def loaded(code, *names):
    """Which of some modules a fresh interpreter has loaded after running code."""
    script = f"{code}\nimport sys\nprint([n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


def test_planning_imports_neither_torch_nor_ray():
    assert loaded("import fer_batch.cli, fer_batch.config, fer_batch.pipeline.run", "torch", "ray", "dask") == []


def test_decode_and_sink_workers_never_import_torch():
    assert (
        loaded("import fer_batch.pipeline.explaining.decode, fer_batch.pipeline.explaining.sink", "torch", "zennit")
        == []
    )


def test_phase_2_tasks_import_no_torch():
    assert (
        loaded("import fer_batch.pipeline.analysis.shard, fer_batch.pipeline.partition.class_prototypes", "torch") == []
    )


def test_the_core_imports_without_ray():
    rooms = ["explain", "spray", "prototypes", "regions", "evaluate", "models", "media"]
    code = "import sys\nsys.modules['ray'] = sys.modules['dask'] = None\n"
    code += "\n".join(f"import fer_batch.{room}" for room in rooms)
    assert loaded(code, "ray.data", "dask.delayed") == []
