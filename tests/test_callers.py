"""Every public definition of the package is used by it: called, registered, or shown by a template."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fer_batch"
REGISTERS = {"register", "dataset", "command", "group", "field_validator", "model_validator", "setter"}
# What is not used by the package itself, and why it is there.
WITHOUT_CALLER = {
    "cli.group.Command.format_epilog": "click calls it",
    "evaluate.localisation.localisation_summary": "figures of frames as arrays; the pipeline has DuckDB sum them up",
    "evaluate.stage_sequences.stage_f1": "benchmarks/ground_truth.py",
    "evaluate.summary.boundary_error": "benchmarks/ground_truth.py",
    "explain.lrp.LRP.per_channel": "maps before channels are summed, for comparisons with other implementations",
    "media.align.invert_affine": "benchmarks/decode.py",
    "posed.crops.with_confound": "benchmarks/cheat.py",
    "prototypes.stages.cluster_letters": "letters of clusters in any order; the pipeline's are in theirs already",
    "training.fold.train_fold": "one fold in one process; a job trains it on workers",
}
SELF = 10  # more often than this no definition names itself


def definitions(trees):
    """Public functions and classes of modules, and public methods of those classes, by their full name."""
    for path, tree in trees.items():
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node
                for member in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                        yield f"{module}.{node.name}.{member.name}", member


def is_registered(node):
    called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(ast.unparse(decorator).rpartition(".")[2] in REGISTERS for decorator in called)


def words(node):
    """How often a part of a module uses each name: as a name, an attribute, or a text that names it."""
    found = Counter()
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            found[one.id] += 1
        elif isinstance(one, ast.Attribute):
            found[one.attr] += 1
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and re.fullmatch(r"[\w.:]+", one.value):
            found.update(re.split(r"[.:]", one.value))
    return found


def uses(trees):
    """How often the package and its templates use each name."""
    used = Counter()
    for path, tree in trees.items():
        for node in tree.body:  # names that a room passes on are used by none yet
            if path.name != "__init__.py" or not ast.unparse(node).startswith("__all__"):
                used.update(words(node))
    for template in PACKAGE.rglob("*.html"):
        used.update(re.findall(r"\w+", " ".join(re.findall(r"{[{%].*?[}%]}", template.read_text("utf-8"), re.DOTALL))))
    return used


@cache
def without_caller():
    """Full names of public definitions whose own name is used nowhere outside of them, nor of others of the kind."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    used = uses(trees)
    pending = {name: node for name, node in definitions(trees) if not is_registered(node)}
    found = set()
    while True:
        new = {}
        for name, node in pending.items():
            last = name.rpartition(".")[2]
            if used[last] <= SELF and used[last] <= (own := words(node))[last]:
                new[name] = own
        if not new:
            return found
        found |= new.keys()
        for name, own in new.items():
            del pending[name]
            if name.rpartition(".")[0] not in found:  # a method is counted with its class
                used.subtract(own)


def test_every_public_definition_has_a_caller():
    unknown = sorted(without_caller() - set(WITHOUT_CALLER))
    assert not unknown, f"wire to what a user can ask for, or delete: {unknown}"


def test_exceptions_are_still_without_a_caller():
    assert sorted(set(WITHOUT_CALLER) - without_caller()) == []
