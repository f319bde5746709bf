"""Every explanation method has one record, and what the record states is so."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.composites import COMPOSITES
from fer_batch.explain.explainer import Explainer
from fer_batch.explain.methods import METHODS, Given, holds
from fer_batch.models.class_maps import ClassMaps, plain

ROOM = Path(explain.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "explanations.md"
QUICK = {"lime": {"n_samples": 8, "n_segments": 4}, "smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 2}}
LAYERED = ("cam", "grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam", "attention")


def factories() -> set[str]:
    """`module:function` of every public function of the room that returns an explainer."""
    found = set()
    for path in ROOM.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            returns = ast.unparse(node.returns) if isinstance(node, ast.FunctionDef) and node.returns else ""
            if returns == Explainer.__name__ and node.name != "method" and not node.name.startswith("_"):
                found.add(f"{path.stem}:{node.name}")
    return found


def test_every_factory_and_every_composite_has_its_record_and_no_other():
    records = [METHODS[name] for name in METHODS]
    assert {record.factory for record in records if record.composite is None} == factories()
    assert {record.composite for record in records if record.composite} == set(COMPOSITES)


@pytest.mark.parametrize("name", METHODS)
def test_a_record_names_options_that_its_factory_takes(name):
    record = METHODS[name]
    taken = set(inspect.signature(record.load()).parameters)
    given = {c.option for c in (record.conserves, record.target_free) if isinstance(c, Given)}
    assert {*record.resources, *given} <= taken
    assert taken & {"batch_size", "engine", "memory_mib"} == set(record.resources)


def test_records_are_read_without_torch():
    script = "import sys; from fer_batch.explain import METHODS; list(METHODS); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_documentation_has_a_row_with_the_needs_of_every_method():
    table = PAGE.read_text().partition("| method | map |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    shown = {name: row[3].strip() for row in rows for name in re.findall(r"`(\w+)`", row[0]) if name in METHODS}
    assert shown == {name: ", ".join(METHODS[name].needs) or "nothing" for name in METHODS}


def test_a_condition_holds_where_its_option_has_the_value():
    assert holds(True, {})
    assert not holds(False, {})
    assert not holds(Given("bias", "all"), {})
    assert holds(Given("bias", "all", default=True), {})
    assert holds(Given("bias", "all"), {"bias": "all"})
    assert not holds(Given("bias", "all", default=True), {"bias": "positive"})


class Network(nn.Module):
    """Convolution, activation, last feature maps, global average pooling and one linear layer."""

    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.activation, self.last = nn.Conv2d(3, 4, 3, 2, 1), activation or nn.ReLU(), nn.Identity()
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.activation(self.conv(x))).mean((2, 3)))

    def class_maps(self, x: torch.Tensor) -> ClassMaps:
        features = self.last(self.activation(self.conv(x)))
        return plain(self(x), torch.einsum("ck,nkhw->nchw", self.head.weight[:, :4], features))


class WithoutGradients(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.detach()).detach()

    def class_maps(self, x: torch.Tensor) -> ClassMaps:
        return plain(self(x), super().class_maps(x).responses.detach())


class WithoutClassMaps(Network):
    class_maps = None


class WithoutMaps(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 5, 16), nn.ReLU(), nn.Flatten(), nn.Linear(5, 2))


class WithoutPooling(Network):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4 * 64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.activation(self.conv(x))).flatten(1))


class WithoutRules(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.activation(self.conv(x)).cumsum(1)).mean((2, 3)))


NETWORKS = {
    "whole": (Network, set()),
    "without gradients": (WithoutGradients, {"gradients", "relevance rules"}),
    "without feature maps": (WithoutMaps, {"feature maps", "linear head", "class maps", "class maps or linear head"}),
    "without class maps": (WithoutClassMaps, {"class maps"}),
    "with GELU": (lambda: Network(nn.GELU()), {"ReLU"}),
    "without pooling": (WithoutPooling, {"linear head"}),
    "without rules": (WithoutRules, {"relevance rules"}),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_method_refuses_exactly_the_networks_that_lack_what_it_needs(kind):
    build, lacks = NETWORKS[kind]
    model, x = build().eval(), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    refused = set()
    for name in METHODS:
        layer = {"layer": "last"} if name in LAYERED and kind != "without feature maps" else {}
        try:
            explain.method(name, **QUICK.get(name, {}), **layer)(model, x, [[0, 1]])
        except (ValueError, RuntimeError):
            refused.add(name)
    assert refused == {name for name in METHODS if lacks & set(METHODS[name].needs)}


@pytest.mark.parametrize("name", METHODS)
def test_only_methods_without_target_take_a_pair_without(name):
    record, model, x = METHODS[name], Network().eval(), torch.rand(1, 3, 16, 16)
    options = dict(QUICK.get(name, {}))
    if isinstance(record.target_free, Given):
        options[record.target_free.option] = record.target_free.value
    explainer = explain.method(name, **options)
    if holds(record.target_free, options):
        assert np.isnan(explainer(model, x, [[0, -1]]).score).all()
    else:
        with pytest.raises(ValueError, match="output -1"):
            explainer(model, x, [[0, -1]])
