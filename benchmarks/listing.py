"""How long planning takes over an AffectNet of 200,000 entries, and how much memory: empty files, both releases.

python -m benchmarks.listing            # or --entries N
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
POINTS = ";".join(f"{i + 0.25:.2f}" for i in range(136))


def csv_release(root: Path, n: int) -> None:
    """`n` pictures in folders of 1000 and the lists that name them."""
    with open(root / "training.csv", "w", encoding="utf-8") as lists:
        lists.write(HEADER)
        for i in range(n):
            folder = root / "Manually_Annotated_Images" / str(i // 1000)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:032x}.jpg").touch()
            lists.write(f"{i // 1000}/{i:032x}.jpg,1,2,200,210,{POINTS},{i % 11},0.1,0.2\n")


def npy_release(root: Path, n: int) -> None:
    """`n` pictures with four files of labels each."""
    for name in ("images", "annotations"):
        (root / "train_set" / name).mkdir(parents=True)
    for i in range(n):
        (root / "train_set" / "images" / f"{i}.jpg").touch()
        for kind in ("exp", "val", "aro", "lnd"):
            (root / "train_set" / "annotations" / f"{i}_{kind}.npy").touch()


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and peak resident MiB of a command."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)\n"
        "sys.exit(done.stderr if done.returncode else 0)\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr}")
    cpu, peak = done.stdout.split()
    return seconds, float(cpu), int(peak) / (1024 if sys.platform == "linux" else 1 << 20)


def main() -> None:
    """Make the trees, plan over each, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    n = parser.parse_args().entries
    job = Path(__file__).parents[1] / "jobs" / "affectnet.yaml"
    print("| tree | inputs | files | command | seconds | of CPU | peak MiB |\n|---|---|---|---|---|---|---|")
    releases = {"affectnet": (csv_release, 1), "affectnet_npy": (npy_release, 5)}
    for name, (make, per_input) in releases.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "data"
            root.mkdir()
            make(root, n)
            run = ["run", str(job), "--dry-run", "--output", f"{folder}/out"]
            run += ["--set", f"source.uri={root}", "--set", f"source.format={name}"]
            for command in (run, ["inspect", str(root)]):
                seconds, cpu, peak = measured([sys.executable, "-m", "fer_batch.cli", *command])
                what = " ".join(["fer-batch", command[0], *(["--dry-run"] if command[0] == "run" else [])])
                print(
                    f"| {name} | {n:,} | {n * per_input:,} | `{what}` | {seconds:.1f} | {cpu:.1f} | {peak:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
