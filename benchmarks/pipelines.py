"""What it costs to explain a collection in several pipelines: the time in which one runs dry and the next starts.

    python benchmarks/pipelines.py [--clips 60] [--rounds 2] [--parts 3]

Explains posed clips in one pipeline and, in turn with it, in PARTS (`resources.window`). What a further pipeline costs
is the difference over PARTS - 1; its share of a pipeline of the size that is taken by default follows from the speed.
The tables of both are compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml
from compare_outputs import NOT_COMPARED, WRITER, difference, rows, table_names

from fer_batch.pipeline.explaining.dataset import PIPELINE_CHUNKS
from fer_batch.posed.clips import write_clips

FRAMES = 64


def explained(folder: Path, output: Path, window: int | None) -> float:
    """Seconds of a run of phase 1 in a new output, its start and planning included."""
    shutil.rmtree(output, ignore_errors=True)
    job = {
        "name": "posed",
        "source": {"format": "videos", "uri": str(folder)},
        "output": str(output),
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "resources": {"window": window},
        "phases": ["explain", "prototypes"],
    }
    path = folder.parent / "job.yaml"
    path.write_text(yaml.safe_dump({**job, "phases": ["explain"]}))
    command = [sys.executable, "-m", "fer_batch.cli", "run", str(path)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    subprocess.run([*command, "--set", "phases=[prototypes]"], check=True, capture_output=True)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--parts", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        clips, one, many = Path(work, "clips"), Path(work, "one"), Path(work, "many")
        write_clips(clips, n_clips=chosen.clips, seed=1, n_frames=(FRAMES, FRAMES + 1), size=192)
        window = -(-chosen.clips // chosen.parts)
        seconds = [(explained(clips, one, None), explained(clips, many, window)) for _ in range(chosen.rounds)]
        for name in sorted(table_names(one) - NOT_COMPARED):
            left, right = rows(one, name), rows(many, name)
            for column in set(left.column_names) - WRITER:
                if found := difference(left[column], right[column], 0.0):
                    print(f"{name}.{column}: {found}")
                    return 1
    each = median(b - a for a, b in seconds) / (chosen.parts - 1)
    rate = chosen.clips / median(a for a, _ in seconds)  # clips of one chunk a second
    print(f"load {os.getloadavg()[0]:.1f}; one pipeline, {chosen.parts} pipelines: {seconds} s; the same tables")
    share = each * rate / PIPELINE_CHUNKS
    print(f"a further pipeline costs {each:.1f} s, {share:.2%} of one of {PIPELINE_CHUNKS} chunks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
