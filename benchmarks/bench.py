"""Every explanation method against the packages people use for it, in one run: `make bench`.

ResNet-18 (methods MD-1), 16 outputs, 112x112, batches of 16, float32. Every round runs all ways of a case once, in
turn, so that the machine's other work weighs on all of them alike; ratios are those of the medians and of the minima.
Packages that are not installed are left out and named. Peak memory is what one way takes over what it started with, in
a process of its own. Results go to `benchmarks/results/latest.md` and `latest.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from zennit.composites import EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer

from fer_batch import explain
from fer_batch.models.backbone import build

N_OUTPUTS = 16
PACKAGES = ("torch", "zennit", "captum", "grad-cam", "lime")

Way = Callable[[], "np.ndarray | None"]
Case = tuple[str, str, dict[str, Way]]
Maps = dict[str, "np.ndarray | None"]


def trained_looking(device: str, width: float = 1.0) -> torch.nn.Module:
    """ResNet-18 with BatchNorm statistics as training leaves them."""
    torch.manual_seed(0)
    model = build("resnet18", N_OUTPUTS, {"width": width})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval().to(device)


def dense_pairs(n_frames: int, n_targets: int) -> np.ndarray:
    return np.array([(frame, output) for frame in range(n_frames) for output in range(n_targets)])


def active_pairs(n_frames: int, n_active: int = 3) -> np.ndarray:
    """Some outputs of every frame, as active Action Units are."""
    rng = np.random.default_rng(0)
    return np.array([(i, k) for i in range(n_frames) for k in sorted(rng.choice(N_OUTPUTS, n_active, replace=False))])


def zennit_by_output(model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    """zennit's composite, canonizer and hooks, once per output over the frames that need it."""
    maps = np.empty((len(pairs), *images.shape[2:]), np.float32)
    with EpsilonPlusFlat(epsilon=0.1, canonizers=[ResNetCanonizer()]).context(model) as modified:
        for output in np.unique(pairs[:, 1]):
            rows = np.flatnonzero(pairs[:, 1] == output)
            x = images[pairs[rows, 0]].clone().requires_grad_()
            logit = modified(x)[:, output]
            (r,) = torch.autograd.grad(logit, x, logit.detach())
            maps[rows] = r.sum(1).cpu().numpy()
    return maps


def zennit_repeated(model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    """The same, once over the frames repeated per pair."""
    with EpsilonPlusFlat(epsilon=0.1, canonizers=[ResNetCanonizer()]).context(model) as modified:
        x = images[pairs[:, 0]].clone().requires_grad_()
        logit = modified(x).gather(1, torch.from_numpy(pairs[:, 1:]).to(x.device))[:, 0]
        (r,) = torch.autograd.grad(logit, x, logit.detach())
    return r.sum(1).cpu().numpy()


def plain_vjp(model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> None:
    """No rule at all: one forward pass and a plain gradient per rank of a frame's targets, what autograd must do."""
    x = images.clone().requires_grad_()
    logits = model(x)
    rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
    for k in range(rank.max() + 1):
        mine = pairs[rank == k]
        torch.autograd.grad(logits[mine[:, 0], mine[:, 1]].sum(), x, retain_graph=True)[0].sum(1).cpu().numpy()


def lrp_case(name: str, model: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray) -> Case:
    full, lower = (explain.method("preset_a_flat", backward=precision) for precision in ("full", "bfloat16"))
    return (
        "LRP, preset A flat",
        name,
        {
            "fer_batch": lambda: full(model, images, pairs).values,
            "fer_batch, bfloat16 backward": lambda: lower(model, images, pairs).values,
            "zennit, by output": lambda: zennit_by_output(model, images, pairs),
            "zennit, frames repeated": lambda: zennit_repeated(model, images, pairs),
            "1 plain forward + K plain vjp": lambda: plain_vjp(model, images, pairs),
        },
    )


def captum_cases(model: torch.nn.Module, images: torch.Tensor, steps: int) -> list[Case]:
    """One target per frame. captum and grad-cam get their own model: they leave hooks or need ReLUs out of place."""
    pairs = np.array([(i, i % N_OUTPUTS) for i in range(len(images))])
    integrated = explain.method("integrated_gradients", steps=steps)
    guided, cam, cam_pp = (explain.method(name) for name in ("guided_backprop", "grad_cam", "grad_cam_pp"))
    cases: list[Case] = [
        ("integrated gradients", f"{steps} steps", {"fer_batch": lambda: integrated(model, images, pairs).values}),
        ("guided backpropagation", "1 target", {"fer_batch": lambda: guided(model, images, pairs).values}),
        ("Grad-CAM", "1 target", {"fer_batch": lambda: cam(model, images, pairs).values}),
        ("Grad-CAM++", "1 target", {"fer_batch": lambda: cam_pp(model, images, pairs).values}),
    ]
    other = build("resnet18", N_OUTPUTS, {"width": model.conv1.out_channels / 64}).to(images.device)  # type: ignore[operator, union-attr]
    other.load_state_dict(model.state_dict())
    for module in other.eval().modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    target = torch.from_numpy(pairs[:, 1]).to(images.device)
    if find_spec("captum"):
        from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam

        def summed(found: torch.Tensor) -> np.ndarray:
            return found.detach().sum(1).cpu().numpy()

        cases[0][2]["captum"] = lambda: summed(
            IntegratedGradients(other).attribute(
                images, torch.zeros_like(images), target, n_steps=steps, internal_batch_size=len(images)
            )
        )
        cases[1][2]["captum"] = lambda: summed(GuidedBackprop(other).attribute(images.clone(), target))
        cases[2][2]["captum"] = lambda: summed(
            LayerGradCam(other, other.layer4).attribute(images, target, relu_attributions=True)
        )
    if find_spec("pytorch_grad_cam"):
        from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        targets = [ClassifierOutputTarget(int(k)) for k in pairs[:, 1]]

        def theirs(kind: Any) -> Way:
            def run() -> None:  # its maps are scaled to [0, 1] and enlarged, so there is nothing to compare
                with kind(model=other, target_layers=[other.layer4]) as found:
                    found(input_tensor=images, targets=targets)

            return run

        cases[2][2]["grad-cam"] = theirs(GradCAM)
        cases[3][2]["grad-cam"] = theirs(GradCAMPlusPlus)
    return cases


def lime_case(model: torch.nn.Module, image: torch.Tensor, n_samples: int, batch_size: int) -> Case:
    ours = explain.method("lime", n_samples=n_samples, batch_size=batch_size)
    sizes = [min(batch_size, n_samples - start) for start in range(0, n_samples, batch_size)]
    batch = image.expand(batch_size, -1, -1, -1).contiguous()

    @torch.inference_mode()
    def forwards() -> None:
        for n in sizes:
            model(batch[:n]).cpu()

    ways: dict[str, Way] = {
        "fer_batch": lambda: ours(model, image[None], [(0, 0)]).values,
        "bare forward passes": forwards,
    }
    if find_spec("lime"):
        from lime.lime_image import LimeImageExplainer

        from fer_batch.explain.segments import slic_segments

        @torch.inference_mode()
        def probabilities(pictures: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2).float().to(image.device)
            return model(x).cpu().numpy()

        def theirs() -> None:
            picture = image.permute(1, 2, 0).double().cpu().numpy()
            LimeImageExplainer(random_state=0).explain_instance(
                picture,
                probabilities,
                labels=(0,),
                top_labels=None,
                hide_color=0,
                num_features=100,
                num_samples=n_samples,
                batch_size=batch_size,
                segmentation_fn=slic_segments,
            )

        ways["lime"] = theirs
    return "LIME", f"{n_samples} samples", ways


def all_cases(arguments: argparse.Namespace) -> list[Case]:
    device, size, n_frames = arguments.device, arguments.size, arguments.frames
    model = trained_looking(device, arguments.width)
    images = torch.rand(n_frames, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)
    return [
        *(lrp_case(f"K={k}", model, images, dense_pairs(n_frames, k)) for k in arguments.targets),
        lrp_case("3 active of 16", model, images, active_pairs(n_frames)),
        *captum_cases(model, images, arguments.steps),
        lime_case(model, images[0], arguments.samples, arguments.lime_batch),
    ]


def status_mib(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def probe(arguments: argparse.Namespace) -> None:
    """Print the memory one way takes over what it started with; a small call before loads what is loaded once."""
    index, way = int(arguments.probe[0]), arguments.probe[1]
    small = {"frames": 1, "samples": 10, "steps": 2, "lime_batch": 2}
    all_cases(argparse.Namespace(**{**vars(arguments), **small}))[index][2][way]()
    run = all_cases(arguments)[index][2][way]
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = status_mib("VmRSS")
    run()
    print(status_mib("VmHWM") - before)


def peak_mib(index: int, way: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--probe", str(index), way, *settings_as_options(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the memory of {way} could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def settings_as_options(arguments: argparse.Namespace) -> list[str]:
    names = ("frames", "size", "width", "steps", "samples", "lime_batch", "threads", "device")
    options = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in names]
    return [*options, "--targets", *map(str, arguments.targets)]


def timed(ways: dict[str, Way], rounds: int, device: str) -> tuple[dict[str, list[float]], Maps]:
    """Milliseconds of every round, and what each way found."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    maps: Maps = {}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            maps[name] = way()
            if device != "cpu":
                torch.cuda.synchronize()
            if round_:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - start))
    return times, maps


def distance(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    """Relative L2 distance of maps that are meant to be equal."""
    if a is None or b is None:
        return None
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def rows_of(index: int, case: Case, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    method, name, ways = case
    times, maps = timed(ways, arguments.rounds, arguments.device)
    ours = times["fer_batch"]
    return [
        {
            "method": method,
            "case": name,
            "way": way,
            "median_ms": statistics.median(taken),
            "min_ms": min(taken),
            "ratio_median": statistics.median(taken) / statistics.median(ours),
            "ratio_min": min(taken) / min(ours),
            "peak_mib": peak_mib(index, way, arguments) if arguments.memory else None,
            "relative_l2": None if way == "fer_batch" else distance(maps[way], maps["fer_batch"]),
        }
        for way, taken in times.items()
    ]


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def markdown(result: dict[str, Any]) -> str:
    """The table, with all that is needed to run it again."""
    versions = ", ".join(f"{name} {v}" if v else f"{name} not installed" for name, v in result["versions"].items())
    settings = result["settings"]
    lines = [
        "# Explanation methods against other packages",
        "",
        f"{result['date']}, `{result['command']}`",
        "",
        f"{result['machine']}, {settings['device']}, {settings['threads']} threads of {result['cpus']} CPUs, load "
        f"{result['load_before']:.1f} before and {result['load_after']:.1f} after; {versions}.",
        "",
        f"ResNet-18, width {settings['width']:g}, {N_OUTPUTS} outputs, {settings['size']}x{settings['size']}, "
        f"{settings['frames']} frames, float32, {settings['rounds']} rounds, all ways of a case in turn. Ratio: time "
        "over that of fer_batch. Difference: relative L2 from fer_batch's maps, where "
        "they are meant to be equal.",
        "",
        "| method | case | way | median ms | min ms | ratio of medians | of minima | peak MiB | difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        far = "" if row["relative_l2"] is None else f"{row['relative_l2']:.0e}"
        lines.append(
            f"| {row['method']} | {row['case']} | {row['way']} | {row['median_ms']:.1f} | {row['min_ms']:.1f} | "
            f"{row['ratio_median']:.2f} | {row['ratio_min']:.2f} | {peak} | {far} |"
        )
    return "\n".join([*lines, ""])


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of tiny sizes: its figures mean nothing")
    parser.add_argument("--output", type=Path, help="folder of the tables; benchmarks/results, with --quick none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="height and width of the images")
    parser.add_argument("--width", type=float, default=1.0, help="of the network, 1 being ResNet-18")
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 4, 8, 16], help="K, the targets per frame")
    parser.add_argument("--steps", type=int, default=50, help="of integrated gradients")
    parser.add_argument("--samples", type=int, default=1000, help="of LIME")
    parser.add_argument("--lime-batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also measure peak memory on the CPU; on by default on Linux",
    )
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    quick = {"rounds": 1, "frames": 3, "size": 64, "width": 0.125, "targets": [1, 2], "steps": 4, "samples": 40}
    if "--quick" in (sys.argv[1:] if argv is None else argv):
        parser.set_defaults(**quick, lime_batch=20, threads=1, memory=False)
    arguments = parser.parse_args(argv)
    if arguments.output is None and not arguments.quick:
        arguments.output = Path(__file__).parent / "results"
    if arguments.memory is None:
        arguments.memory = arguments.device == "cpu" and sys.platform == "linux"
    return arguments


def main(argv: list[str] | None = None) -> None:
    arguments = parsed(argv)
    torch.set_num_threads(arguments.threads)
    if arguments.probe:
        probe(arguments)
        return
    result: dict[str, Any] = {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": shlex.join(["python", "benchmarks/bench.py", *(sys.argv[1:] if argv is None else argv)]),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {package: installed(package) for package in PACKAGES},
        "settings": {k: v for k, v in vars(arguments).items() if k not in ("output", "probe")},
        "load_before": os.getloadavg()[0],
        "rows": [],
    }
    for index, case in enumerate(all_cases(arguments)):
        result["rows"] += rows_of(index, case, arguments)
        print(f"{case[0]}, {case[1]}: done", file=sys.stderr, flush=True)
    result["load_after"] = os.getloadavg()[0]
    print(markdown(result))
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "latest.json").write_text(json.dumps(result, indent=1) + "\n")
        (arguments.output / "latest.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
