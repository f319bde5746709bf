"""LRP on the architectures people bring: `results/lrp_architectures.md`, which docs/lrp.md repeats between its markers.

Every network gets random weights with BatchNorm statistics that differ per channel, set so that activations keep their
size (`calibrated`), and is measured in float64 on two images and two outputs:

identity
    Relative L2 distance of `z` from gradient times input, by plain autograd on the network itself. Where an activation
    is not piecewise linear through zero or a gate is applied, autograd runs with secant slopes and held gates
    (`Secants`), because relevance passes activations and gates take none.
noise
    Correlation of the map with that of the same image under Gaussian pixel noise of 1e-4, the least of the four maps.
conservation
    Median of |sum R / logit|; for `preset_a_flat` also without the biases of convolutions and BatchNorms.

`--part patch` trains small networks to tell images with a small patch from those without (`lrp_patch.py`): share of
|R| inside the patch seed by seed, and the median of |sum R / logit|. `--part gamma` varies the gamma of BatchNorms that
cannot be merged. `--insert` puts the stored tables into docs/lrp.md.

Rules and refusals were chosen on the seeds of `TUNING`; the tables are of `REPORTING`, which has other weights,
statistics, calibration images, images, noise, and another pattern in the patch. Each network is written as it is done;
a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lrp_families import FAMILIES, NETWORKS, calibrated, images, network
from lrp_patch import patch_shares, see_patch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fer_batch.explain.canonizers import canonize
from fer_batch.explain.composites import COMPOSITES, Preset
from fer_batch.explain.modules import Affine
from fer_batch.explain.propagate import Propagator
from fer_batch.explain.rules import AlphaBeta, Branch, Epsilon, Gamma


@dataclass(frozen=True)
class Split:
    """Seeds and the pattern of the planted patch."""

    seeds: tuple[int, ...]
    pattern: str


TUNING, REPORTING = Split((0, 1, 2, 3), "stripes"), Split((101, 102, 103), "checkers")
SPLITS = {"tuning": TUNING, "reporting": REPORTING}
NOISE = 1e-4
LEARNT = 0.9  # accuracy; chance is 0.5
BOX = {"low": (-1.5,) * 3, "high": (1.5,) * 3}
PRESETS: dict[str, Callable[[], Preset]] = {
    "preset_a_flat": COMPOSITES["preset_a_flat"],
    "preset_b_flat": COMPOSITES["preset_b_flat"],
    "epsilon_gamma_box": lambda: COMPOSITES["epsilon_gamma_box"](**BOX),
    "epsilon": COMPOSITES["epsilon"],
    "z": COMPOSITES["z"],
}
WITHOUT_BIAS = "preset_a_flat without biases"
PATCHED = [*FAMILIES, "resnet18:full"]


@dataclass(frozen=True)
class _NoBias(AlphaBeta):
    def branches(self, weight: torch.Tensor, bias: torch.Tensor | None) -> list[Branch]:
        return super().branches(weight, None)


class _WithoutBias(Preset):
    """`preset_a_flat` whose convolutions and BatchNorms leave nothing with their biases."""

    def affine_rule(self, module: Affine, of_pixels: bool) -> Epsilon | Gamma | None:
        return None


@dataclass(frozen=True)
class _AffineGamma(Preset):
    """`preset_a_flat` with another gamma where a BatchNorm could not be merged."""

    gamma: float = 0.25

    def affine_rule(self, module: Affine, of_pixels: bool) -> Epsilon | Gamma | None:
        rule = super().affine_rule(module, of_pixels)
        return Gamma(self.gamma) if isinstance(rule, Gamma) else rule


def _without_bias() -> Preset:
    a = COMPOSITES["preset_a_flat"]()
    return _WithoutBias(a.dense, _NoBias(), a.first)


def _affine_gamma(gamma: float) -> Preset:
    a = COMPOSITES["preset_a_flat"]()
    return _AffineGamma(a.dense, a.conv, a.first, gamma=gamma)


GAMMAS = {f"gamma {gamma}": partial(_affine_gamma, gamma) for gamma in (0.0, 0.1, 0.25, 0.5, 1.0)}
UNMERGED = ("densenet", "resnet_v2")  # of the small networks, those with BatchNorms that cannot be merged


@dataclass
class Measured:
    """What one network gave with one seed; composites by name."""

    network: str
    size: int
    seed: int
    identity: float = float("nan")
    reference: str = ""
    affine: int = 0
    noise: dict[str, float] = field(default_factory=dict)
    conservation: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Patched:
    """Share of |R| in the patch, and conservation, of one trained network; composites by name."""

    network: str
    seed: int
    accuracy: float
    share: dict[str, float]
    conservation: dict[str, float]


_SMOOTH = {
    functional.silu,
    functional.hardswish,
    functional.gelu,
    functional.mish,
    functional.elu,
    functional.celu,
    functional.selu,
    functional.relu6,
    functional.hardtanh,
}
_PRODUCTS = {torch.mul, torch.Tensor.mul, torch.Tensor.mul_, torch.Tensor.__mul__, torch.Tensor.__imul__}


class Secants(TorchFunctionMode):
    """Lets autograd take f(x) / x for the slope of an activation, and hold the smaller factor of a product.

    Attributes
    ----------
    used
        Whether there was such an activation or product: without one, autograd is plain.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SMOOTH:
            x = args[0]
            y = func(*args, **{**kwargs, "inplace": False} if "inplace" in kwargs else kwargs)
            self.used = True
            return x * torch.where(x == 0, torch.zeros_like(x), y / x).detach()
        if func in _PRODUCTS and all(isinstance(a, torch.Tensor) and a.requires_grad for a in args[:2]):
            a, b = args[:2]
            if a.numel() != b.numel():
                self.used = True
                a, b = (a.detach(), b) if a.numel() < b.numel() else (a, b.detach())
                return torch.mul(a, b)
        return func(*args, **kwargs)


def reference(model: nn.Module, x: torch.Tensor, pairs: NDArray[np.int64]) -> tuple[NDArray[np.float64], str]:
    """Gradient times input [M, C, H, W] by autograd on the network itself, and how."""
    x = x.clone().requires_grad_()
    with Secants() as mode:
        logits = model(x)
    found = []
    for image, output in pairs:
        (gradient,) = torch.autograd.grad(logits[image, output], x, retain_graph=True)
        found.append((gradient[image] * x[image]).detach().numpy())
    return np.stack(found), "secants" if mode.used else "plain"


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of maps [M, h, w], pair by pair."""
    a, b = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(1, keepdims=True) for v in (a, b))
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def measure(
    name: str, model: nn.Module, size: int, seed: int, presets: Mapping[str, Callable[[], Preset]] = PRESETS
) -> Measured:
    """Identity, noise and conservation of a calibrated network (float64)."""
    result = Measured(name, size, seed)
    clean = images(2, size, 1000 * seed + 2)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1000 * seed + 3), dtype=clean.dtype)
    x = torch.cat([clean, clean + NOISE * noise])
    pairs = np.array([(i, k) for i in range(len(x)) for k in range(2)])
    frame, output = (torch.from_numpy(column.copy()) for column in pairs.T)
    canonical = canonize(model, tuple(x.shape[1:]))
    result.affine = sum(isinstance(module, Affine) for module in canonical.modules())
    half = len(pairs) // 2
    for composite, preset in presets.items():
        try:
            propagator = Propagator(canonical, preset())
        except ValueError as error:
            result.refused[composite] = str(error)
            continue
        state = propagator.forward(x)
        r = propagator.backward(state, frame, output).numpy()
        maps, logits = r.sum(1), state.logits[frame, output].numpy()
        result.noise[composite] = float(correlation(maps[:half], maps[half:]).min())
        result.conservation[composite] = float(np.median(np.abs(maps.sum((1, 2)) / logits)[:half]))
        if composite == "z":
            expected, result.reference = reference(model, clean, pairs[:half])
            result.identity = float(np.linalg.norm(r[:half] - expected) / np.linalg.norm(expected))
    return result


def run(name: str, seed: int) -> Measured:
    """Identity, noise and conservation of one network with one seed."""
    start, size = time.process_time(), NETWORKS.get(name, 64)
    torch.manual_seed(seed)
    model = calibrated(network(name, 2).double(), size, seed, pictures=1000 * seed + 1)
    try:
        result = measure(name, model, size, seed, {**PRESETS, WITHOUT_BIAS: _without_bias})
    except ValueError as error:  # the network holds what has no rule
        result = Measured(name, size, seed, refused={"network": str(error)})
    result.seconds = time.process_time() - start
    return result


def run_gamma(name: str, seed: int) -> Measured:
    """Noise and conservation of one small network with one seed, by the gamma of its affine layers."""
    torch.manual_seed(seed)
    model = calibrated(FAMILIES[name](2).double(), 64, seed, pictures=1000 * seed + 1)
    return measure(name, model, 64, seed, GAMMAS)


def run_patch(name: str, seed: int, pattern: str) -> Patched:
    """The planted patch on one network with one seed."""
    torch.manual_seed(seed)
    model = network("resnet18", 2) if name == "resnet18:full" else FAMILIES[name](2)
    model, accuracy = see_patch(model, seed, pattern)
    share, conservation = patch_shares(model, seed, pattern, PRESETS)
    return Patched(name, seed, accuracy, share, conservation)


Row = TypeVar("Row", Measured, Patched)
HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "lrp.md"
BEGIN, END = "<!-- benchmarks/lrp_architectures.py -->", "<!-- end of benchmarks/lrp_architectures.py -->"
PARTS = {"networks": Measured, "patch": Patched, "gamma": Measured}
Stored = dict[str, list[Any]]


def markdown(stored: Stored) -> str:
    """The tables: the worst identity and noise over the seeds, the median of conservation."""
    found = [_full(stored["networks"]), _patches(stored["patch"]), _gammas(stored["gamma"])]
    return "\n".join("\n".join([*lines, ""]) for lines in found if len(lines) > 2)


def _header(columns: list[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def _by_network(rows: list[Row]) -> dict[str, list[Row]]:
    return {name: [r for r in rows if r.network == name] for name in dict.fromkeys(r.network for r in rows)}


def _full(results: list[Measured]) -> list[str]:
    names = [f"`{name}`" for name in PRESETS]
    lines = _header(["network", "affine", "`z` against gradient x input", *names, "A without biases"])
    by_name = _by_network(results)
    for name in sorted(by_name, key=list(NETWORKS).index):
        rows = by_name[name]
        if "network" in rows[0].refused:
            lines.append(f"| `{name}` | not accepted: {rows[0].refused['network'].partition(';')[0]} |{' |' * 7}")
            continue
        identity = f"{max(r.identity for r in rows):.0e} ({rows[0].reference})"
        cells = [_stable(rows, composite) for composite in PRESETS]
        bare = np.median([r.conservation[WITHOUT_BIAS] for r in rows])
        lines.append(f"| `{name}` | {rows[0].affine} | {identity} | {' | '.join(cells)} | {bare:.2g} |")
    return lines


def _patches(trained: list[Patched]) -> list[str]:
    columns = ["gradient_times_input", *PRESETS]
    lines = _header(["network", "accuracy", *(f"`{name}`" for name in columns)])
    for name, rows in _by_network(trained).items():
        accuracy = " ".join(f"{r.accuracy:.2f}" for r in rows)
        lines.append(f"| {name} | {accuracy} | {' | '.join(_shares(rows, c) for c in columns)} |")
    return lines


def _gammas(results: list[Measured]) -> list[str]:
    lines = _header(["network", *GAMMAS])
    for name, rows in _by_network(results).items():
        lines.append(f"| {name} | {' | '.join(_stable(rows, composite) for composite in GAMMAS)} |")
    return lines


def _stable(rows: list[Measured], composite: str) -> str:
    measured = [r for r in rows if composite in r.noise]
    if not measured:
        return "refused"
    noise = min(r.noise[composite] for r in measured)
    return f"{noise:.3f}, {np.median([r.conservation[composite] for r in measured]):.2g}"


def _shares(rows: list[Patched], composite: str) -> str:
    measured = [r for r in rows if composite in r.share]
    if not measured:
        return "refused"
    # a network that did not learn to see the patch has no evidence to find
    shares = " ".join(f"{r.share[composite]:.2f}" if r.accuracy > LEARNT else "-" for r in measured)
    measured = [r for r in measured if r.accuracy > LEARNT] or measured
    if composite not in measured[0].conservation:
        return shares
    return f"{shares}; {np.median([r.conservation[composite] for r in measured]):.2g}"


def _write(path: Path, stored: Stored) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {part: [asdict(r) for r in found] for part, found in stored.items()}
    path.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(stored))


def read(path: Path) -> Stored:
    """What earlier runs have stored, part by part."""
    file = path.with_suffix(".json")
    rows = json.loads(file.read_text()) if file.exists() else {}
    return {part: [kind(**r) for r in rows.get(part, [])] for part, kind in PARTS.items()}


def insert(table: str) -> None:
    """Put the tables between the markers of docs/lrp.md."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of the part's networks; all without")
    parser.add_argument("--part", choices=PARTS, default="networks")
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--seeds", type=int, help="of the split (default: 1 of the full networks, else all)")
    parser.add_argument("--insert", action="store_true", help="only put the stored tables into docs/lrp.md")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    warnings.filterwarnings("ignore", category=UserWarning)
    path = HERE / "results" / ("lrp_architectures" + ("" if arguments.split == "reporting" else "_tuning"))
    stored = read(path)
    if arguments.insert:
        insert(markdown(stored))
        return
    split = SPLITS[arguments.split]
    names, measure_one = {
        "networks": (NETWORKS, run),
        "patch": (PATCHED, partial(run_patch, pattern=split.pattern)),
        "gamma": (UNMERGED, run_gamma),
    }[arguments.part]
    done = {(r.network, r.seed) for r in stored[arguments.part]}
    for seed in split.seeds[: arguments.seeds or (1 if arguments.part == "networks" else None)]:
        for name in arguments.names or names:
            if (name, seed) in done:
                continue
            start = time.process_time()
            stored[arguments.part].append(measure_one(name, seed))
            print(f"{name}, seed {seed}: {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
            _write(path, stored)


if __name__ == "__main__":
    main()
