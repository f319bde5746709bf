"""The house: which room may import what. Reads the imports, names the module that strays."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fer_batch"
SHARED = {"facs", "types", "registry", "lean_torchvision"}
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")}
CORE = ("explain", "spray", "prototypes", "regions", "evaluate", "models", "media")  # arrays in, arrays out
# The rooms of `pipeline`; `base` is what they stand on, `pipeline` itself the modules that wire them together.
BASE = {"devices", "embedded", "engine", "failures", "keeper", "metrics", "progress", "ray_processes"}
INNER = {path.name for path in (PACKAGE / "pipeline").iterdir() if path.is_dir() and not path.name.startswith("__")}
# A room may import itself and what is shared; these arrows are allowed besides.
ALLOWED = {
    "sources": {"storage"},  # both stand on the same store
    "training": {"models", "evaluate"},  # says how well it trained
    "posed": {"regions", "models", "training", "evaluate"},  # the demo's faces, and the networks trained on them
    "visualize": {"regions"},  # the standard face
    # whose settings are sections of a job; of `explain` the names of the methods
    "config": {"explain", "media", "models", "prototypes", "training"},
    "output": {"config", "evaluate", "models", "prototypes", "storage"},
    "pipeline.base": {"storage"},
    "pipeline.explaining": {"pipeline.base", "config", "explain", "media", "models", "sources", "storage"},
    "pipeline.analysis": {
        *("config", "output", "storage"),
        *("evaluate", "models", "prototypes", "regions", "sources", "spray"),
    },
    "pipeline.partition": {
        *("pipeline.base", "pipeline.analysis", "config", "output", "storage"),
        *("evaluate", "explain", "prototypes", "regions", "sources", "spray", "visualize"),
    },
    "pipeline.training": {
        *("pipeline.base", "pipeline.explaining", "pipeline.partition", "config", "output", "sources", "storage"),
        *("media", "models", "posed", "training", "evaluate", "regions", "visualize"),
    },
    "pipeline.report": {
        *("pipeline.base", "pipeline.partition", "output", "storage"),
        *("evaluate", "models", "prototypes", "regions", "report", "sources", "visualize"),
    },
    "pipeline.export": {"pipeline.base", "export", "output", "sources", "spray", "storage", "visualize"},
    "pipeline.study": {
        *("posed", "pipeline", "pipeline.base", "pipeline.explaining", "pipeline.analysis", "pipeline.partition"),
        *("pipeline.training", "config", "evaluate", "explain", "media", "models", "output", "regions", "report"),
        *("sources", "storage", "training", "visualize"),
    },
    "pipeline.inspect": {"models", "output", "regions", "sources", "storage", "visualize"},
    # a study runs jobs: what wires one job knows nothing of it
    "pipeline": ROOMS - {"cli"} | {"pipeline.base"} | {f"pipeline.{room}" for room in INNER - {"study"}},
    "cli": {"pipeline", "pipeline.base", "config", "output", "storage", "sources"}
    | {f"pipeline.{room}" for room in INNER},
}
ENGINES = {"ray": {"pipeline"}, "dask": {"pipeline"}}
LIMITED = {
    **ENGINES,
    "matplotlib": {"visualize"},
    "fsspec": {"sources", "storage", "models", "output"},
    "torch": {"models", "explain", "training", "posed", "pipeline", "lean_torchvision"},
    "click": {"cli"},
    "h5py": {"export"},
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def place(parts):
    """The room of a module, given its names below the package."""
    if parts[0] != "pipeline" or len(parts) == 1:
        return parts[0]
    if parts[1] in INNER:
        return f"pipeline.{parts[1]}"
    return "pipeline.base" if parts[1] in BASE else "pipeline"


def room_of(path):
    return place(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """Every module a file imports, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "fer_batch":
                yield from ((f"fer_batch.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_arrow_points_back(path):
    room = room_of(path)
    allowed = SHARED | {room, "__version__", "__init__"} | ALLOWED.get(room, set())
    for name, line in imports(path):
        top, _, rest = name.partition(".")
        if top == "fer_batch" and rest:
            target = place(rest.split("."))
            assert target in allowed, f"{path.relative_to(PACKAGE)}:{line} imports the room {target!r} from {room!r}"


def test_the_rooms_have_no_circle():
    waiting = {room: set(to) - SHARED - {room} for room, to in ALLOWED.items()}
    waiting |= {room: set() for room in ROOMS | {"pipeline.base"} if room not in waiting}
    waiting["pipeline.base"] -= {"pipeline"}
    while waiting:
        free = {room for room, to in waiting.items() if not to & waiting.keys()}
        assert free, f"these import each other in a circle: {sorted(waiting)}"
        waiting = {room: to for room, to in waiting.items() if room not in free}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_rooms(path):
    room = room_of(path).partition(".")[0]
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
    assert loaded("import fer_batch.cli, fer_batch.pipeline.plan, fer_batch.pipeline.run", "torch", "ray", "dask") == []


def test_decode_and_sink_workers_never_import_torch_and_start_without_scipy():
    code = "import fer_batch.pipeline.explaining.decode, fer_batch.pipeline.explaining.sink"
    assert loaded(code, "torch", "zennit", "scipy") == []


def test_networks_and_their_explanations_load_no_compiler():
    """It costs every process as much as PyTorch does."""
    code = "import fer_batch.models.backbone, fer_batch.explain.lrp"
    assert loaded(code, "torch", "torchvision.ops", "zennit", "torch._dynamo", "torch._dynamo.utils") == [
        *("torch", "torchvision.ops", "zennit")
    ]


def test_phase_2_tasks_import_no_torch():
    assert (
        loaded("import fer_batch.pipeline.analysis.shard, fer_batch.pipeline.partition.class_prototypes", "torch") == []
    )


def test_the_core_imports_without_ray():
    code = "import sys\nsys.modules['ray'] = sys.modules['dask'] = None\n"
    code += "\n".join(f"import fer_batch.{room}" for room in CORE)
    assert loaded(code, "ray.data", "dask.delayed") == []
