"""What a dry run says of posed clips and stills, and what their run then takes.

    python benchmarks/estimate.py                       # 24 clips and 128 stills, some minutes
    python benchmarks/estimate.py --clips 60 --set explain.method=gradient

For each the estimate and the run are two processes, one after the other, so that each has what the machine has. The
last column says whether the true figure lies within the range; hours of a machine that does other work meanwhile may
not. The second table has seconds per frame of each step, from which docs/scaling.md is computed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from fer_batch.posed.clips import write_clips, write_stills
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store


def command(job: Path, out: Path, *more: str) -> tuple[dict, float]:
    """The JSON outcome of a run and its seconds."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "fer_batch.cli", "run", str(job), "--output", str(out), "--json", *more]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1]), time.perf_counter() - began


def truth(out: Path) -> dict[str, float]:
    """Figures of an output."""
    sizes = [entry.size for entry in Store(str(out)).walk("")]
    return {"frames": read(Store(str(out)), "frames").num_rows, "bytes": sum(sizes), "objects": len(sizes)}


def compare(name: str, job: Path, folder: Path, more: list[str]) -> None:
    """Print the estimate of a job beside what it took."""
    found, seconds = command(job, folder / name, "--dry-run", *more)
    estimate = found["estimate"]
    _, whole = command(job, folder / name, *more)
    true = truth(folder / name)
    keys = ("explain_hours", "prototypes_hours", "report_hours")
    estimate["seconds"] = {k: 3600 * sum(estimate[key][k] for key in keys) for k in ("value", "low", "high")}
    true["seconds"] = whole
    tried = f"{estimate['n_tried']} inputs, {estimate['n_frames_tried']} frames, {seconds:.0f} s"
    print(f"\n{name}: {tried}; load {os.getloadavg()[0]:.1f}\n")
    print("| figure | estimate | range | true | within |\n|---|---|---|---|---|")
    for key, value in true.items():
        one = estimate[key]
        within = "yes" if one["low"] <= value <= one["high"] else "no"
        print(f"| {key} | {one['value']:.4g} | {one['low']:.4g} to {one['high']:.4g} | {value:.4g} | {within} |")
    print("\n| step | ms per frame, one CPU or one network | range |\n|---|---|---|")
    for key in ("decode_cpu_hours", "network_hours", "maps_hours", "tables_cpu_hours"):
        ms = {k: v * 3.6e6 / estimate["frames"]["value"] for k, v in estimate[key].items()}
        print(f"| {key.partition('_')[0]} | {ms['value']:.3g} | {ms['low']:.3g} to {ms['high']:.3g} |")


def main() -> None:
    """Make the inputs, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--stills", type=int, default=128)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    more = [word for one in options.overrides for word in ("--set", one)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clips(folder / "clips", n_clips=options.clips, seed=7, n_frames=(40, 90), size=320)
        write_stills(folder / "stills", n=options.stills, seed=7)
        sources = {
            "clips": {"format": "videos", "uri": str(folder / "clips")},
            "stills": {"format": "manifest", "uri": str(folder / "stills" / "manifest.csv")},
        }
        for kind, source in sources.items():
            job = folder / f"{kind}.yaml"
            values = {"name": kind, "source": source, "model": {"checkpoint": "demo"}, "faces": {"detector": "dlib"}}
            job.write_text(yaml.safe_dump(values))
            compare(kind, job, folder / "out", more)


if __name__ == "__main__":
    main()
