"""Thirty nights over a source that grows, changes and loses files, against one run over the final source.

    python benchmarks/nights.py --work DIR [--nights 30] [--output RESULT.md]

Posed clips and the demo network, the real commands: every night `run` and `nightly`, `prune` where files are gone. One
night is killed (SIGKILL of all its processes), in one a second run is started into the first, in one the store fails
(its folder of stage files cannot be written). From a late night on new clips come without landmarks, so that no face is
found: the drift that is planted. At the end every table of inputs must be that of one run over what is left.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from fer_batch import cli
from fer_batch.output.verify import verify
from fer_batch.posed.clips import write_clips
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

COMPARED = (
    "sequences", "frames", "annotations", "detections", "relevance", "prototypes", "stages", "temporal_prototypes",
    "episodes",
)  # fmt: skip
KEYS = ("sequence_id", "frame_index", "target", "stage_index", "episode_index", "cluster")


@dataclass
class Nights:
    """The source, the output, and what happened.

    Attributes
    ----------
    work, n_nights, per_night
    lines
        Rows of the table that is printed.
    """

    work: Path
    n_nights: int
    per_night: int
    lines: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """The night that is killed."""
        return self.n_nights // 5

    @property
    def overlapping(self) -> int:
        """The night into which a second run is started."""
        return 2 * self.n_nights // 5

    @property
    def failing(self) -> int:
        """The night in which the store fails."""
        return 3 * self.n_nights // 5

    @property
    def drifts(self) -> int:
        """The first night whose new clips show no face."""
        return self.n_nights - max(1, self.n_nights // 6)

    @property
    def source(self) -> Path:
        """What is listed every night."""
        return self.work / "source"


def prepared(nights: Nights) -> tuple[Path, Path]:
    """Clips to take from, and a job."""
    pool = nights.work / "pool"
    n_clips = nights.n_nights * nights.per_night + nights.n_nights // 3 + 1
    write_clips(pool, n_clips=n_clips, seed=11, n_frames=(12, 16), size=128)
    nights.source.mkdir()
    job = nights.work / "job.yaml"
    values = {
        "name": "ward",
        "source": {"format": "videos", "uri": str(nights.source)},
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset", "size": 112},
        "looks": "keep",
        "resources": {"num_cpus": 2, "object_store_mb": 256},
        "phases": ["explain", "prototypes"],
    }
    job.write_text(yaml.safe_dump(values))
    return pool, job


def taken(clip: Path, source: Path, name: str, faces: bool = True) -> None:
    """Copy a clip and what lies beside it under a name; without faces it has no landmarks."""
    for file in clip.parent.glob(f"{clip.stem}.*"):
        if faces or file.suffix == clip.suffix:
            shutil.copy(file, source / f"{name}{file.name.removeprefix(clip.stem)}")


def change_source(nights: Nights, night: int, clips: Iterator[Path], rng: np.random.Generator) -> str:
    """What comes, changes and goes before a night."""
    said = []
    for k in range(nights.per_night):
        taken(next(clips), nights.source, f"n{night:02d}-{k}", faces=night < nights.drifts)
    names = sorted({file.name.split(".")[0] for file in nights.source.iterdir()})
    old = [name for name in names if not name.startswith(f"n{night:02d}")]
    if old and night % 3 == 2:
        name = str(rng.choice(old))
        for file in nights.source.glob(f"{name}.*"):
            file.unlink()
        taken(next(clips), nights.source, name)
        said.append(f"{name} changes")
    if old and night % 4 == 3:
        name = str(rng.choice(old))
        for file in nights.source.glob(f"{name}.*"):
            file.unlink()
        said.append(f"{name} goes")
    return ", ".join(said)


def called(*arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it prints."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = cli.main(list(arguments))
    if code not in (0, 3, 4):
        print(said.getvalue()[-2000:], file=sys.stderr)
    return code, out.getvalue()


def started(job: Path, out: Path) -> subprocess.Popen[bytes]:
    """The same command as a process with a group of its own."""
    command = [sys.executable, "-m", "fer_batch.cli", "run", str(job), "--output", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]


def one_night(nights: Nights, night: int, job: Path, out: Path) -> str:
    """Run, disturbed or not; how it ended."""
    if night == nights.killed:
        process, before = started(job, out), len(list((out / "_commits").glob("*")))
        end = time.monotonic() + 180
        while len(list((out / "_commits").glob("*"))) == before and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "killed"
    if night == nights.overlapping:
        pair = [started(job, out), started(job, out)]
        return f"two at once: exit codes {sorted(process.wait() for process in pair)}"
    if night == nights.failing:
        shutil.rmtree(out / "_stage", ignore_errors=True)
        (out / "_stage").write_bytes(b"")
        code, _ = called("run", str(job), "--output", str(out))
        (out / "_stage").unlink()
        return f"store failed: exit code {code}"
    return f"exit code {called('run', str(job), '--output', str(out))[0]}"


def table_of(out: Path, name: str) -> pa.Table:
    """Rows in a fixed order, without what says who wrote them when."""
    found = read(Store(str(out)), name)
    found = found.drop_columns([column for column in ("run_id", "uri") if column in found.column_names])
    return found.sort_by([(key, "ascending") for key in KEYS if key in found.column_names]).combine_chunks()


def main() -> None:
    """Print a line a night, then whether tables are equal and what was alarmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--per-night", type=int, default=5)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    from fer_batch.pipeline.engine import ray_engine

    given.work.mkdir(parents=True)
    nights = Nights(given.work, given.nights, given.per_night)
    pool, job = prepared(nights)
    out, clips, rng = given.work / "out", iter(sorted(pool.rglob("*.mp4"))), np.random.default_rng(0)
    lines = ["| night | before it | how it ended | s | alarms of the latest night |", "|---|---|---|---|---|"]
    with ray_engine(2, 256):
        for night in range(nights.n_nights):
            what, start = change_source(nights, night, clips, rng), time.monotonic()
            ended = one_night(nights, night, job, out)
            seconds = time.monotonic() - start
            if "goes" in what:
                called("prune", str(out), "--yes", "--at-most", "0.5")
            shown = json.loads(called("nightly", str(out), "--json")[1] or "[]")
            named = [f"{a['figure']} {a['target'] or ''}".strip() for one in shown for a in one["latest"]]
            lines.append(f"| {night + 1} | {what} | {ended} | {seconds:.0f} | {', '.join(named)} |")
            print(lines[-1], flush=True)
        called("run", str(job), "--output", str(out))
        called("prune", str(out), "--yes", "--at-most", "1")
        whole = given.work / "whole"
        called("run", str(job), "--output", str(whole))
    differ = [name for name in COMPARED if not table_of(out, name).equals(table_of(whole, name))]
    lines.append(f"\nTables that differ from one run over the final source: {', '.join(differ) or 'none'}.")
    findings = verify(Store(str(out))).findings
    lines.append(
        f"Findings of `verify`: {len(findings)}. Inputs: {len(set(table_of(out, 'sequences')['sequence_id']))}."
    )
    lines.append(f"No face from night {nights.drifts + 1} on.")
    print("\n".join(lines[-3:]))
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")
    sys.exit(1 if differ or findings else 0)


if __name__ == "__main__":
    main()
