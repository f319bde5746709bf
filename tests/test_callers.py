"""Every public definition of the package is used by it: called, registered, or shown by a template."""

import ast
import importlib
import re
from collections import Counter
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fer_batch"
REGISTERS = {"register", "dataset", "command", "group", "field_validator", "model_validator", "setter"}
SELF = 10  # more often than this no definition names itself


def module_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def definitions(trees):
    """Public functions and classes of modules, and public methods of those classes, by their full name."""
    for path, tree in trees.items():
        module = module_of(path)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node
                for member in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                        yield f"{module}.{node.name}.{member.name}", member


def is_registered(node):
    called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(ast.unparse(decorator).rpartition(".")[2] in REGISTERS for decorator in called)


def library_bases(tree, node):
    """Base classes of a class that come from a library."""
    known = {}
    for one in ast.walk(tree):
        if isinstance(one, ast.Import):
            known |= {alias.asname or alias.name: alias.name for alias in one.names}
        elif isinstance(one, ast.ImportFrom) and not one.level:
            known |= {alias.asname or alias.name: f"{one.module}.{alias.name}" for alias in one.names}
    for base in node.bases:
        first, *others = ast.unparse(base).split(".")
        module, _, name = ".".join((known.get(first, ""), *others)).rpartition(".")
        if module and module.partition(".")[0] != PACKAGE.name:
            yield getattr(importlib.import_module(module), name)


def is_override(trees, name):
    """Whether a method is one that a library calls, because it overrides that of a base class."""
    owner, _, method = name.rpartition(".")
    module, _, owner = owner.rpartition(".")
    for path, tree in trees.items():
        for node in tree.body if module_of(path) == module else ():
            if isinstance(node, ast.ClassDef) and node.name == owner:
                return any(hasattr(base, method) for base in library_bases(tree, node))
    return False


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
            if used[last] <= SELF and used[last] <= (own := words(node))[last] and not is_override(trees, name):
                new[name] = own
        if not new:
            return found
        found |= new.keys()
        for name, own in new.items():
            del pending[name]
            if name.rpartition(".")[0] not in found:  # a method is counted with its class
                used.subtract(own)


def test_every_public_definition_has_a_caller():
    unused = sorted(without_caller())
    assert not unused, f"wire to what a user can ask for, move to benchmarks or tests, or delete: {unused}"


def test_what_a_library_calls_is_told_from_what_nothing_calls():
    tree = ast.parse(
        "import click\nclass Own(click.Command):\n    def format_epilog(self): ...\n    def format_own(self): ..."
    )
    trees = {PACKAGE / "own.py": tree}
    assert [is_override(trees, f"own.Own.{name}") for name in ("format_epilog", "format_own")] == [True, False]
