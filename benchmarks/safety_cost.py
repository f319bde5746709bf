"""What digests, records, markers, syncs and the check at the start cost the demo job.

    python benchmarks/safety_cost.py                # 24 clips: one run counted, then three with and without, by turns
    python benchmarks/safety_cost.py --clips 8 --turns 0

Counted: each call of what keeps an output safe, in every process of one run, by CPU and by the clock, beside the CPU of
all processes of that run. By turns: whole runs with and without. They differ by a few percent from one to the next by
themselves, more on a machine that has other things to do, so that the first figure is the one to go by. Nothing of
this can be switched off in the program itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml

from fer_batch.pipeline.demo import N_FRAMES
from fer_batch.posed.clips import write_clips
from fer_batch.posed.plans import plan_clips

HOOK = Path(__file__).with_name("safety_hook")
LOOK_SECONDS = 0.1


def demo_job(folder: Path, n_clips: int) -> Path:
    """Clips and job of `fer-batch demo`."""
    write_clips(folder / "clips", plans=plan_clips(n_clips, 0, N_FRAMES, per_subject=1))
    job = {
        "name": "posed",
        "source": {"format": "videos", "uri": str(folder / "clips")},
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "resources": {"num_cpus": 2},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


def cpu_of(job: Path, output: Path, **environment: str) -> tuple[float, float]:
    """CPU seconds of a run and of all that it starts, and seconds by the clock."""
    path = os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "fer_batch.cli", "run", str(job), "--output", str(output)]
    start = time.monotonic()
    used: dict[tuple[int, float], float] = {}
    with open(output.with_suffix(".log"), "w") as log:
        driver = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path, **environment}
        )
        while driver.poll() is None:
            look(driver.pid, used)
            time.sleep(LOOK_SECONDS)
    if driver.returncode:
        sys.exit(output.with_suffix(".log").read_text()[-3000:])
    return sum(used.values()), time.monotonic() - start


def look(pid: int, used: dict[tuple[int, float], float]) -> None:
    """Remember the CPU of a process and all below it; what one uses after the last look is lost."""
    try:
        found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return
    for process in found:
        try:
            times = process.cpu_times()
            used[process.pid, process.create_time()] = times.user + times.system
        except psutil.Error:
            continue


def count(job: Path, folder: Path) -> None:
    """Count calls in one run, and print a table."""
    log = folder / "calls"
    log.mkdir()
    cpu, seconds = cpu_of(job, folder / "counted", SAFETY_MODE="count", SAFETY_LOG=str(log))
    calls: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    waited: Counter[str] = Counter()
    for line in (line for path in log.iterdir() for line in path.read_text().splitlines()):
        what, own, clock = line.split("\t")
        calls[what] += 1
        spent[what] += float(own)
        waited[what] += float(clock)
    size = sum(path.stat().st_size for path in (folder / "counted" / "tables").rglob("*.parquet"))
    print(f"one run: {cpu:.1f} s of CPU, {seconds:.1f} s by the clock, {size / 1e6:.0f} MB of tables\n")
    print("| | calls | CPU, s | of the run | by the clock, s |\n|---|---:|---:|---:|---:|")
    for what in sorted(calls):
        print(f"| {what} | {calls[what]} | {spent[what]:.3f} | {spent[what] / cpu:.2%} | {waited[what]:.3f} |")
    total = sum(spent.values())
    print(f"| all | {calls.total()} | {total:.3f} | {total / cpu:.2%} | {sum(waited.values()):.3f} |\n", flush=True)


def by_turns(job: Path, folder: Path, turns: int) -> None:
    """Print CPU of whole runs with and without."""
    used: dict[str, list[float]] = {"on": [], "off": []}
    for k in range(turns):
        for mode in ("on", "off") if k % 2 == 0 else ("off", "on"):
            used[mode].append(cpu_of(job, folder / f"{mode}{k}", SAFETY_MODE=mode)[0])
            print(f"turn {k + 1}, {mode}: {used[mode][-1]:.1f} s of CPU", flush=True)
    on, off = (statistics.median(used[mode]) for mode in ("on", "off"))
    print(f"medians: {on:.1f} s with, {off:.1f} s without: {on / off - 1:+.1%}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        job = demo_job(folder, asked.clips)
        count(job, folder)
        if asked.turns:
            by_turns(job, folder, asked.turns)


if __name__ == "__main__":
    main()
