"""How long the report of a large dataset takes and how big it is: 5,000 invented sequences with faces and maps.

python benchmarks/report_scale.py [--sequences 5000] [--output DIR]
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import tempfile
import time

import numpy as np
from PIL import Image, ImageDraw

from fer_batch.pipeline.partition.episodes import shard_episodes
from fer_batch.pipeline.report.write import processes
from fer_batch.pipeline.stages import draw_report as write_report
from fer_batch.prototypes.episodes import EpisodeRule
from fer_batch.prototypes.stages import find_stages, label_sets, letter, stage_text
from fer_batch.prototypes.temporal import temporal_prototype
from fer_batch.storage.manifest import SHARDS
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition, TableWriter, pack_maps, rows_of
from fer_batch.storage.store import Store
from fer_batch.visualize.standard_face import standard_landmarks

HERE = Partition("invented", "net-00000000", "lrp-00000000")
TARGETS = ("AU01", "AU02", "AU04", "AU06", "AU12", "AU25")
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
SIZE = 112  # pixels
SHARD = 64  # sequences
TABLES = ("sequences", "frames", "detections", "prototypes", "stages", "temporal_prototypes")


def crops(n: int, rng: np.random.Generator) -> list[bytes]:
    """JPEG pictures about as large as a face crop: an oval, two eyes, a mouth and noise."""
    found = []
    for _ in range(n):
        image = Image.new("RGB", (SIZE, SIZE), tuple(rng.integers(40, 120, 3).tolist()))
        draw = ImageDraw.Draw(image)
        draw.ellipse((18, 6, 94, 108), fill=tuple(rng.integers(140, 220, 3).tolist()))
        for x in (38, 66):
            draw.ellipse((x, 42, x + 10, 48), fill=(40, 40, 40))
        draw.ellipse((42, 76, 70, 76 + int(rng.integers(4, 16))), fill=(120, 40, 50))
        noisy = np.asarray(image, np.int16) + rng.normal(0, 6, (SIZE, SIZE, 3)).astype(np.int16)
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def mean_maps(n: int, rng: np.random.Generator) -> np.ndarray:
    """Maps with a few bumps and noise, which do not compress better than real ones."""
    y, x = np.mgrid[:SIZE, :SIZE]
    maps = rng.normal(0, 0.03, (n, SIZE, SIZE))
    for one in maps:
        for cx, cy, width, height in zip(*rng.uniform((20, 20, 4, 0.3), (92, 92, 12, 1), (3, 4)).T, strict=True):
            one += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    return maps.astype(np.float32)


def sequence_rows(name: str, rng: np.random.Generator, faces: list[bytes], maps: tuple) -> dict[str, list[dict]]:
    """One sequence: 10 to 40 frames in which each of one to five targets is active once, in up to two clusters."""
    emotion = int(rng.integers(len(EMOTIONS)))
    n = int(rng.integers(10, 40))
    letters: dict[str, list[str | None]] = {target: [None] * n for target in TARGETS}
    rows: dict[str, list[dict]] = {table: [] for table in TABLES}
    for target in rng.choice(TARGETS, int(rng.integers(1, 6)), replace=False).tolist():
        start, stop = sorted(rng.integers(1, n, 2).tolist())
        middle = int(rng.integers(start, stop + 1))
        labels = [0 if frame < middle else 1 for frame in range(start, stop)]
        for frame, label in zip(range(start, stop), labels, strict=True):
            letters[target][frame] = letter(label)
        for cluster in dict.fromkeys(labels):
            members = [start + i for i, label in enumerate(labels) if label == cluster]
            values, scale = maps[int(rng.integers(len(maps)))]
            rows["prototypes"].append(
                {
                    "sequence_id": name, "target": target, "cluster": letters[target][members[0]],
                    "n_frames": len(members), "first_frame": members[0], "exemplar_frame": members[len(members) // 2],
                    "exemplar_jpeg": faces[int(rng.integers(len(faces)))], "height": SIZE, "width": SIZE,
                    "scale": scale, "relevance": values, "n_clusters": len(set(labels)), "rule": "near_zero_gap",
                    "spectrum": np.sort(rng.uniform(0, 1.5, min(20, len(labels)))).tolist(), "n_neighbors": 3,
                }
            )  # fmt: skip
    sets = label_sets(n, letters)
    stages = find_stages(np.arange(n), sets, np.arange(n))
    story = temporal_prototype(stages)
    rows["sequences"].append(
        {"sequence_id": name, "subject_id": name.split("/")[0], "kind": "video", "emotion": EMOTIONS[emotion],
         "fps": 25.0, "n_decoded": n, "n_frames": n, "status": "done", "run_id": "r"}
    )  # fmt: skip
    points = standard_landmarks(SIZE, SIZE).ravel().tolist()
    for frame in range(n):
        rows["frames"].append({"sequence_id": name, "frame_index": frame, "status": "ok", "landmarks": points})
        rows["detections"] += [
            {"sequence_id": name, "frame_index": frame, "target": target, "active": letters[target][frame] is not None,
             "cluster": letters[target][frame], "probability": 0.9 if letters[target][frame] else 0.1,
             "logit": 2.2 if letters[target][frame] else -2.2}
            for target in TARGETS
        ]  # fmt: skip
    rows["stages"] += [
        {"sequence_id": name, "stage_index": i, "first_frame": stage.first_frame, "last_frame": stage.last_frame,
         "n_frames": stage.n_frames, "n_missing_frames": 0, "text": stage_text(stage.labels),
         "labels": [f"{target}_{own}" for target, own in stage.labels]}
        for i, stage in enumerate(stages)
    ]  # fmt: skip
    rows["temporal_prototypes"].append(
        {"sequence_id": name, "subject_id": name.split("/")[0], "emotion": EMOTIONS[emotion], "text": story.text,
         "cooccurrence_text": story.cooccurrence_text,
         "n_frames": n, "n_stages": story.n_stages, "n_distinct_stages": story.n_distinct_stages,
         "reduction": story.reduction, "n_missing_frames": 0}
    )  # fmt: skip
    return rows


def write_tables(store: Store, n: int, n_maps: int = 64) -> None:
    """Published tables of `n` sequences, a shard at a time."""
    rng = np.random.default_rng(0)
    faces = crops(n_maps, rng)
    values, scales = pack_maps(mean_maps(n_maps, rng))
    maps = tuple((values[i].ravel(), float(scales[i])) for i in range(n_maps))
    for number, start in enumerate(range(0, n, SHARD)):
        rows: dict[str, list[dict]] = {table: [] for table in TABLES}
        for i in range(start, min(start + SHARD, n)):
            for table, more in sequence_rows(f"S{i // 50:03d}/{i:05d}.mp4", rng, faces, maps).items():
                rows[table] += more
        for table, own in rows.items():
            with TableWriter(store, f"{HERE.folder(table)}/shard-{number:05d}.parquet", table) as writer:
                writer.write(rows_of(table, own))
        name = f"shard-{number:05d}"
        shard_episodes(store.uri, name, HERE, {name: {}}, EpisodeRule(), "multilabel", 0.5)
        n_done = len(rows["sequences"])
        marker = ShardMarker(
            shard=name, partition=HERE, analysis_id="generated", units=(name,), counts={"done": n_done}
        )
        store.put(f"{SHARDS}/{name}.json", marker.to_json())


def cpu_seconds() -> float:
    """CPU time of this process and of those it has started and seen end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=5000)
    parser.add_argument("--output", help="keep the output here")
    asked = parser.parse_args()
    folder = asked.output or tempfile.mkdtemp()
    store = Store(folder)
    write_tables(store, asked.sequences)
    print(f"{asked.sequences:,} sequences, {os.cpu_count()} cores")
    for name, changed in (("first report", False), ("nothing changed", False), ("one shard changed", True)):
        if changed:
            path = f"{HERE.folder('stages')}/shard-00000.parquet"
            store.put(path, store.read_bytes(path))
        began, used = time.perf_counter(), cpu_seconds()
        write_report(store, compute=processes())
        print(f"{name}: {time.perf_counter() - began:.1f} s, {cpu_seconds() - used:.1f} s of CPU", flush=True)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    files = list(store.walk("report"))
    pages = [entry.size for entry in files if "/sequences/" in entry.path]
    rows = [entry.size for entry in files if entry.path.endswith(".js")]
    print(f"peak memory of one process: {peak:.2f} GB")
    print(f"report: {len(files):,} files, {sum(entry.size for entry in files) / 1e6:.0f} MB")
    print(f"page of a sequence: {np.mean(pages) / 1e3:.0f} kB, at most {max(pages) / 1e3:.0f} kB")
    print(f"rows of the index: {len(rows)} files of at most {max(rows) / 1e3:.0f} kB")
    if not asked.output:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
