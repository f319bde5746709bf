"""A study that is killed at random moments, against the same study undisturbed: every table is compared.

    python benchmarks/killed_study.py [--job jobs/study_pain_disgust_happiness.yaml] [--kills 3] [--seed 0] [--work DIR]

The undisturbed run says how long the study takes; in the other, the driver gets SIGKILL that many times, at moments
drawn over that time, and is started again. What measures time is not compared. Both run in one folder, one after the
other, because the names of trainings on what a study prepared come from where it lies.

Exit code 0: the same; 1: what differs is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from compare_outputs import NOT_COMPARED, WRITER, difference, rows, table_names

TIMES = {"seconds", "seconds_per_image"}
TIMED = {"study_cells": {"n_images"}}  # images of the processes that were timed


def compared(output: Path, table: str) -> pa.Table:
    """Rows of a table without what says who wrote them, and how long it took."""
    found = rows(output, table)
    if "metric" in found.column_names:
        found = found.filter(pc.invert(pc.is_in(found["metric"], pa.array(sorted(TIMES)))))
    dropped = WRITER | TIMES | TIMED.get(table, set())
    found = found.drop_columns(sorted(dropped & set(found.column_names)))
    ordered = [field.name for field in found.schema if not pa.types.is_nested(field.type)]
    return found.sort_by([(name, "ascending") for name in ordered])


def differences(one: Path, other: Path) -> Iterator[str]:
    """A line for each table or column that differs."""
    for table in sorted((table_names(one) | table_names(other)) - NOT_COMPARED):
        if table not in table_names(one) & table_names(other):
            yield f"{table}: in one output alone"
            continue
        left, right = compared(one, table), compared(other, table)
        if left.num_rows != right.num_rows:
            yield f"{table}: {left.num_rows} and {right.num_rows} rows"
            continue
        for name in left.column_names:
            found = difference(left[name], right[name], 0.0)
            if found:
                yield f"{table}.{name}: {found}"
        print(f"{table}: {left.num_rows} rows compared", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", default="jobs/study_pain_disgust_happiness.yaml")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", help="a new folder; a temporary one if not given")
    wanted = parser.parse_args()
    if wanted.work:
        return differ(wanted, Path(wanted.work))
    with tempfile.TemporaryDirectory() as work:
        return differ(wanted, Path(work))


def differ(wanted: argparse.Namespace, work: Path) -> int:
    """Run both studies in a folder, and print what differs."""
    command = [sys.executable, "-m", "fer_batch.cli", "run", wanted.job, "--set", "size=small", "--output"]
    start, output = time.monotonic(), work / "out"
    subprocess.run([*command, str(output)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    whole = time.monotonic() - start
    print(f"undisturbed: {whole:.0f} s", flush=True)
    output.rename(work / "whole")
    rng = np.random.default_rng(wanted.seed)
    moments = np.sort(rng.uniform(0, whole, wanted.kills))
    for seconds in np.diff(moments, prepend=0.0):  # the work that is done between two kills, and no start of it twice
        process = subprocess.Popen([*command, str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(float(seconds) + 5)
            print("ended before it was killed", flush=True)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"killed after {seconds + 5:.0f} s", flush=True)
    subprocess.run([*command, str(output)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = list(differences(work / "whole", output))
    print("\n".join(found) if found else "the same tables")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
