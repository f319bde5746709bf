"""How far docstrings go: every public function on arrays says what the arrays are.

`python tests/test_docstrings.py [ROOM]` lists what is missing, by room.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fer_batch"

# Least share of the public functions on arrays that keep each rule. They may only rise.
LEAST = {"shape": 0.95, "dtype or unit": 0.95, "Parameters": 0.95, "Raises": 0.95}

ARRAYS = re.compile(r"\b(NDArray|ndarray|Tensor|ArrayLike)\b")
SHAPE = re.compile(r"\bshape\b|\bscalar\b|\((?:[A-Za-z0-9_.*'+\- ]+,)+[A-Za-z0-9_.*'+\- ]*\)")
UNIT = re.compile(
    r"\b(u?int(8|16|32|64)?|float(16|32|64)?|bool(ean)?s?|dtype|integers?|True|index|indices|labels?|pixels?|px|units?"
    r"|percent|shares?|probabilit(y|ies)|logits?|relevance|seconds?|frames|ns|Hz|degrees|radians|inches|bytes|counts?"
    r"|angles?|colours?|eigenvalues?|distances?)\b|\bin [\[(]|%"
)


@dataclass(frozen=True)
class Function:
    """A public function or method that takes or returns arrays."""

    module: str
    name: str
    text: str
    n_parameters: int
    raises: bool

    @property
    def room(self) -> str:
        """The folder it is in."""
        return self.module.split("/")[0]

    def missing(self) -> list[str]:
        """Rules that apply and are not kept."""
        return [rule for rule in rules_of(self) if not KEPT[rule](self.text)]


def section(name: str, text: str) -> bool:
    """Whether a docstring has a numpydoc section."""
    return re.search(rf"^\s*{name}\s*\n\s*-{{{len(name)}}}", text, re.MULTILINE) is not None


KEPT = {
    "shape": lambda text: SHAPE.search(text) is not None,
    "dtype or unit": lambda text: UNIT.search(text) is not None,
    "Parameters": lambda text: section("Parameters", text),
    "Raises": lambda text: section("Raises", text),
}


def rules_of(function: Function) -> list[str]:
    """Names of the rules that apply to a function."""
    applies = {"Parameters": function.n_parameters >= 3, "Raises": function.raises}
    return [rule for rule in KEPT if applies.get(rule, True)]


def functions(tree: ast.Module, module: str) -> Iterator[Function]:
    """Public functions on arrays of a module, and public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
            members = [(f"{node.name}.{method.name}", method) for method in methods]
        elif isinstance(node, ast.FunctionDef):
            members = [(node.name, node)]
        else:
            members = []
        for name, child in members:
            arguments = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]
            own = [a for a in arguments if a.arg not in ("self", "cls")]
            written = " ".join(ast.unparse(a.annotation) for a in own if a.annotation)
            written += f" {ast.unparse(child.returns)}" if child.returns else ""
            if not child.name.startswith("_") and ARRAYS.search(written):
                yield Function(module, name, ast.get_docstring(child) or "", len(own), raises(child))


def raises(function: ast.FunctionDef) -> bool:
    """Whether its own body raises something new: not in a function within, and not what it has caught."""
    open_nodes: list[ast.AST] = list(function.body)
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            open_nodes += ast.iter_child_nodes(node)
    return False


def package_functions() -> list[Function]:
    """All of the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return [
        function
        for path in paths
        for function in functions(ast.parse(path.read_text()), path.relative_to(PACKAGE).as_posix())
    ]


def share(found: list[Function], rule: str) -> float:
    """Of the functions to which a rule applies, those that keep it."""
    applies = [function for function in found if rule in rules_of(function)]
    return sum(rule not in function.missing() for function in applies) / max(len(applies), 1)


@pytest.mark.parametrize("rule", LEAST)
def test_public_functions_on_arrays_say_what_the_arrays_are(rule):
    found = package_functions()
    held = share(found, rule)
    offenders = [f"{f.module}: {f.name}" for f in found if rule in f.missing()]
    assert held >= LEAST[rule], f"{rule}: {held:.1%} < {LEAST[rule]:.1%}; missing in\n" + "\n".join(offenders)


@pytest.mark.parametrize("room", ["spray", "regions", "visualize", "prototypes", "evaluate", "posed"])
def test_finished_rooms_keep_every_rule(room):
    found = [f for f in package_functions() if f.room == room]
    assert [f"{f.module}: {f.name}: {f.missing()}" for f in found if f.missing()] == []


def test_the_rules_find_what_is_missing():
    source = '''
def bare(a: NDArray, b: int, c: int):
    """Something."""
    raise ValueError("no")

def whole(a: NDArray[np.float64], b: int, c: int) -> None:
    """Something.

    Parameters
    ----------
    a : shape (n, 2), pixels
    b, c
        Counts.

    Raises
    ------
    ValueError
        If there is none.
    """
    raise ValueError("no")

def _private(a: NDArray): ...
def without_arrays(a: int): ...
'''
    bare, whole = functions(ast.parse(source), "room/module.py")
    assert bare.missing() == ["shape", "dtype or unit", "Parameters", "Raises"]
    assert whole.missing() == []


def main() -> None:
    """Print the shares, and what is missing in which room."""
    found = package_functions()
    for rule in LEAST:
        print(f"{rule}: {share(found, rule):.1%}")
    for room, n in sorted(Counter(f.room for f in found if f.missing()).items()):
        if len(sys.argv) < 2 or room == sys.argv[1]:
            print(f"{room}: {n} of {sum(f.room == room for f in found)}")
            for function in found:
                if function.room == room and function.missing():
                    print(f"    {function.module}: {function.name}: {', '.join(function.missing())}")


if __name__ == "__main__":
    main()
