"""LRP on the architectures people bring; writes `results/lrp_architectures.md`.

Every network gets random weights with BatchNorm statistics that differ per channel, set so that activations keep their
size (`calibrated`), and is measured per composite:

identity
    Relative L2 distance of `z` from gradient times input, float64, by plain autograd on the network itself. Where an
    activation is not piecewise linear through zero or a gate is applied, autograd runs with secant slopes and held
    gates (`Secants`), because relevance passes activations and gates take none.
noise
    Correlation of the map with that of the same image under Gaussian pixel noise of 1e-4, the least over the pairs.
conservation
    Median of |sum R / logit|.
patch
    After a short training to tell images with a small patch from those without: share of |R| inside the patch.
    Gradient times input is the row to beat.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fer_batch.explain.canonizers import canonize
from fer_batch.explain.composites import COMPOSITES
from fer_batch.explain.propagate import Propagator
from fer_batch.models.backbone import build

NOISE = 1e-4
PATCH = 20  # pixels; the images are 64 to 224 wide
BOX = {"low": (-1.5,) * 3, "high": (1.5,) * 3}
OPTIONS: dict[str, dict[str, Any]] = {
    "preset_a_flat": {},
    "preset_b_flat": {},
    "epsilon_gamma_box": BOX,
    "epsilon": {},
    "z": {},
}
# the networks of the study of standardised heatmaps and ours, then torchvision's and timm's; name to image size
NETWORKS: dict[str, int] = {
    "resnet18": 64,
    "alexnet": 227,
    "weinet": 64,
    "songnet": 96,
    "silnet": 64,
    "vgg16": 64,
    "vgg19": 64,
    "resnet50": 64,
    "resnet101v2": 64,
    "inception_v3": 96,
    "xception": 64,
    "mobilenet_v3_large": 64,
    "efficientnet_v2_b0": 64,
    **{
        f"torchvision:{name}": 64
        for name in (
            "vgg11_bn",
            "squeezenet1_1",
            "resnext50_32x4d",
            "wide_resnet50_2",
            "densenet121",
            "googlenet",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "mnasnet0_5",
            "regnet_x_400mf",
            "regnet_y_400mf",
            "efficientnet_b0",
            "efficientnet_v2_s",
        )
    },
    **{
        f"timm:{name}": 64
        for name in (
            "resnet10t",
            "seresnet50",
            "ecaresnet26t",
            "resnetv2_50",
            "densenet121",
            "repvgg_a0",
            "mobileone_s0",
            "legacy_xception",
            "xception41",
            "mobilenetv3_small_050",
            "tf_efficientnet_b0",
            "efficientnet_lite0",
            "semnasnet_050",
            "dla34",
            "dpn68",
            "ese_vovnet19b_dw",
            "hardcorenas_a",
            "lcnet_050",
            "darknet53",
            "inception_v4",
            "nf_resnet50",
        )
    },
}


@dataclass
class Measured:
    """What one network gave; composites by name."""

    network: str
    size: int
    seed: int
    identity: float = float("nan")
    reference: str = ""
    affine: int = 0
    noise: dict[str, float] = field(default_factory=dict)
    conservation: dict[str, float] = field(default_factory=dict)
    patch: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    accuracy: float = float("nan")
    seconds: float = 0.0


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


def images(n: int, size: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Smooth random pictures [n, 3, size, size] in [-1, 1] with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=generator, dtype=dtype)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return 1.6 * smooth + 0.4 * torch.rand(n, 3, size, size, generator=generator, dtype=dtype) - 1


def calibrated(model: nn.Module, size: int, seed: int) -> nn.Module:
    """Random BatchNorms whose statistics fit the activations up to a fifth of their spread; logits of spread 3.

    Networks without BatchNorm get every layer scaled to unit spread, and random biases.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    x = images(4, size, seed, next(model.parameters()).dtype)
    model.eval()
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.normal_(0, 0.3, generator=generator)
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    hooks = [] if norms else [layer.register_forward_hook(_unit_spread(generator)) for layer in layers]
    with torch.no_grad():
        model(x)
        for hook in hooks:
            hook.remove()
        for norm in norms:
            noise = torch.randn(norm.running_mean.shape, generator=generator)
            norm.running_mean += 0.2 * norm.running_var.sqrt() * noise
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.5, generator=generator)
        model.eval()
        head = layers[-1]
        head.weight.data *= 3 / float(model(x).std())
        if head.bias is not None:
            head.bias.data.normal_(0, 0.3, generator=generator)
    return model


def _unit_spread(generator: torch.Generator) -> Callable[..., torch.Tensor]:
    def scale(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        module.weight.data /= output.std()
        if module.bias is not None:
            module.bias.data.normal_(0, 0.3, generator=generator)
        return module.forward(*inputs)

    return scale


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


def measure(name: str, model: nn.Module, size: int, seed: int) -> Measured:
    """Identity, noise and conservation of a calibrated network (float64)."""
    result = Measured(name, size, seed)
    clean = images(1, size, seed + 1000)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed), dtype=clean.dtype)
    x = torch.cat([clean, clean + NOISE * noise])
    n_outputs = int(model(x[:1]).shape[1])
    pairs = np.array([(i, k) for i in range(2) for k in range(n_outputs)])
    network = canonize(model, tuple(x.shape[1:]))
    result.affine = sum(type(module).__name__ == "Affine" for module in network.modules())
    frame, output = (torch.from_numpy(column.copy()) for column in pairs.T)
    for composite, options in OPTIONS.items():
        try:
            propagator = Propagator(network, COMPOSITES[composite](**options))
        except ValueError as error:
            result.refused[composite] = str(error)
            continue
        state = propagator.forward(x)
        r = propagator.backward(state, frame, output).numpy()
        maps, logits = r.sum(1), state.logits[frame, output].numpy()
        half = len(pairs) // 2
        result.noise[composite] = float(correlation(maps[:half], maps[half:]).min())
        result.conservation[composite] = float(np.median(np.abs(maps.sum((1, 2)) / logits)[:half]))
        if composite == "z":
            expected, result.reference = reference(model, clean, pairs[:half])
            result.identity = float(np.linalg.norm(r[:half] - expected) / np.linalg.norm(expected))
    return result


def planted(n: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_]]:
    """Pictures [n, 3, size, size], half of them with a striped patch somewhere; which, and where [n, size, size]."""
    rng = np.random.default_rng(seed)
    x, inside = images(n, size, seed, torch.float32), np.zeros((n, size, size), bool)
    has = torch.arange(n) % 2 == 0
    stripes = (torch.arange(PATCH) // 2 % 2 * 1.0 - 0.5).expand(3, PATCH, PATCH)
    for i in range(0, n, 2):
        row, column = rng.integers(4, size - PATCH - 4, 2)
        x[i, :, row : row + PATCH, column : column + PATCH] = stripes
        inside[i, row : row + PATCH, column : column + PATCH] = True
    return x, has, inside


def see_patch(model: nn.Module, size: int, seed: int, steps: int = 40) -> tuple[nn.Module, float]:
    """Train the network, in place, on patch or no patch; the accuracy on pictures it has not seen."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for step in range(steps):
        x, has, _ = planted(16, size, 10_000 * (seed + 1) + step)
        loss = functional.cross_entropy(model(x), has.long())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    _settle_norms(model, size, seed)
    return model.eval(), accuracy(model, size, seed)


def _settle_norms(model: nn.Module, size: int, seed: int) -> None:
    """Statistics of the trained weights; a running mean would lag behind so short a training."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for k in range(4):
            model(planted(16, size, 55_000 + 10 * seed + k)[0])


def accuracy(model: nn.Module, size: int, seed: int) -> float:
    x, has, _ = planted(32, size, 77_000 + seed)
    with torch.no_grad():
        return float((model(x).argmax(1) == has).float().mean())


def patch_shares(model: nn.Module, size: int, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median share of |R| inside the patch, by composite and for gradient times input; median |sum R / logit|."""
    x, has, inside = planted(12, size, 99_000 + seed)
    x, inside = x[has], inside[has.numpy()]
    maps, conservation = {"gradient_times_input": _gradient(model, x)}, {}
    network = canonize(model, tuple(x.shape[1:]))
    frame, output = torch.arange(len(x)), torch.ones(len(x), dtype=torch.int64)
    for composite, options in OPTIONS.items():
        try:
            propagator = Propagator(network, COMPOSITES[composite](**options))
        except ValueError:
            continue
        state = propagator.forward(x)
        r = propagator.backward(state, frame, output).sum(1).numpy()
        maps[composite] = r
        conservation[composite] = float(np.median(np.abs(r.sum((1, 2)) / state.logits[:, 1].numpy())))
    shares = {}
    for name, r in maps.items():
        size_of_r = np.abs(r.astype(np.float64))
        shares[name] = float(np.median((size_of_r * inside).sum((1, 2)) / size_of_r.sum((1, 2))))
    return shares, conservation


def _gradient(model: nn.Module, x: torch.Tensor) -> NDArray[np.floating]:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    return (gradient * x).detach().sum(1).numpy()


def run(name: str, size: int, seed: int, with_patch: bool, steps: int) -> Measured:
    """Everything about one network."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    result = measure(name, calibrated(build(name, 3).double(), size, seed), size, seed)
    if with_patch:
        torch.manual_seed(seed)
        model, result.accuracy = see_patch(build(name, 2), size, seed, steps)
        result.patch, result.trained = patch_shares(model, size, seed)
    result.seconds = time.perf_counter() - start
    return result


def markdown(results: list[Measured], command: str) -> str:
    """Tables of what was measured."""
    names = list(OPTIONS)
    lines = [
        "| network | size | affine | `z` against gradient x input | " + " | ".join(names) + " |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for r in results:
        cells = [
            f"refused: {r.refused[n]}" if n in r.refused else f"{r.noise[n]:.3f}, {r.conservation[n]:.2g}"
            for n in names
        ]
        lines.append(
            f"| `{r.network}` | {r.size} | {r.affine} | {r.identity:.0e} ({r.reference}) | {' | '.join(cells)} |"
        )
    trained = [r for r in results if r.patch]
    if trained:
        columns = ["gradient_times_input", *names]
        lines += ["", "| network | accuracy | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
        for r in trained:
            cells = [_share(r, n) for n in columns]
            lines.append(f"| `{r.network}` | {r.accuracy:.2f} | {' | '.join(cells)} |")
    return "\n".join([f"`{command}`", "", *lines, ""])


def _share(r: Measured, name: str) -> str:
    if name not in r.patch:
        return ""
    return f"{r.patch[name]:.2f}" + (f", {r.trained[name]:.2g}" if name in r.trained else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="of the list; all without")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patch", action="store_true", help="also train each network to see a patch")
    parser.add_argument("--steps", type=int, default=40, help="of that training, 16 pictures each")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "lrp_architectures")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    warnings.filterwarnings("ignore", category=UserWarning)
    results = []
    for name in arguments.networks or list(NETWORKS):
        try:
            results.append(run(name, NETWORKS.get(name, 64), arguments.seed, arguments.patch, arguments.steps))
        except ValueError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{name}: {results[-1].seconds:.0f} s", file=sys.stderr, flush=True)
        # after every network, so that a run that is stopped leaves what it has
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.with_suffix(".json").write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
        table = markdown(results, f"python benchmarks/lrp_architectures.py --seed {arguments.seed}")
        arguments.output.with_suffix(".md").write_text(table)
    print(markdown(results, ""))


if __name__ == "__main__":
    main()
