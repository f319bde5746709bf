"""The demo: posed clips of faces nobody trained on, the main job over them, and what it found."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from fer_batch.config import build
from fer_batch.output.named_queries import QUERIES
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_text
from fer_batch.pipeline.progress import counted, progress, say
from fer_batch.pipeline.run import run
from fer_batch.posed.clips import write_clips
from fer_batch.posed.plans import plan_clips
from fer_batch.storage.store import Store, has_scheme
from fer_batch.types import InputError

N_FRAMES = (24, 32)  # of a clip: many short ones of as many people say more than few long ones
MARK = "clips.json"  # says which clips the folder holds, so that a second demo makes them only if they differ


def run_demo(output: str, n_clips: int, seed: int) -> int:
    """Make clips in `output/clips`, run the job into `output/out`, print what was found; the exit code.

    Every clip shows another person, so that the verdict has people to go by; the network was trained on none of them
    (docs/demo_model.md).
    """
    if has_scheme(output):
        raise InputError(f"the demo makes local files; {output!r} is a URL. Run jobs/clips.yaml to write to a store")
    root = Path(output)
    started = time.monotonic()
    _make_clips(root, n_clips, seed)
    config = build(
        {
            "name": "posed",
            "source": {"format": "videos", "uri": str(root / "clips")},
            "output": str(root / "out"),
            "model": {"checkpoint": "demo"},
            "faces": {"detector": "dataset"},
        },
        "demo",
    )
    outcome = run(config)
    store = Store(config.output)
    print(f"\n{counted(outcome.counts())}")
    print("\nWhat each clip shows, as the network tells it (temporal prototypes):\n")
    rows = connect(store).execute("SELECT sequence_id, text FROM temporal_prototypes ORDER BY ALL").fetchall()
    for sequence_id, text in rows:
        print(f"  {sequence_id}\n      {text}")
    print("\nAgainst the exact annotations of the posed clips, of people on none of whom the network was trained:\n")
    results = evaluate_output(store)
    print("  " + evaluation_text(results).replace("\n", "\n  "))
    print("\nLook at it:")
    print(f"  report    {outcome.report}")
    for name in ("temporal_prototypes", "localisation"):
        print(f"  {QUERIES[name].about}: fer-batch query {shlex.quote(config.output)} {name}")
    print(f'  any SQL   fer-batch query {shlex.quote(config.output)} "SELECT ..."')
    if all(verdict.state == "open" for result in results for verdict in result.verdicts):
        print(f"  verdicts  need more people: fer-batch demo --output {shlex.quote(output)} --clips 24")
    print("  your own  fer-batch run jobs/clips.yaml --set source.uri=DIR --output OUT")
    say(f"demo took {time.monotonic() - started:.0f} s")
    return outcome.exit_code


def _make_clips(root: Path, n_clips: int, seed: int) -> None:
    clips, wanted = root / "clips", {"n_clips": n_clips, "seed": seed, "n_frames": list(N_FRAMES), "per_subject": 1}
    mark = root / MARK
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return
    if clips.exists():
        for path in sorted(clips.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    try:
        clips.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to output {str(root)!r}: {error.strerror}") from error
    with progress("posed clips", n_clips, "clip") as advance:
        write_clips(clips, plans=plan_clips(n_clips, seed, N_FRAMES, per_subject=1), progress=advance)
    mark.write_text(json.dumps(wanted))
