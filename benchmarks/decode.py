"""How fast clips become face crops beside a plain PyAV loop, and which decoder is right: two tables on the terminal.

    python benchmarks/decode.py [CLIP ...]              crops a second: the decode stage against a plain loop
    python benchmarks/decode.py --backends [CLIP ...]   each decoder on each clip: right or wrong, frames a CPU second

Without clips it makes two of its own, 320x240 and 1920x1080. In the first table every core runs one worker of each way
in turn, round after round, so that the machine's other work weighs on both alike; ratios are those of the medians of
wall time and of CPU time, the decoding child counted in. The plain loop decodes with PyAV on one thread, cuts the same
square out with `cv2.resize` (area means) and writes the same JPEG; it has no child, no limit, and no damage check.

In the second, a frame is wrong that differs from FFmpeg's by 2 grey levels on average, `decord` needs to be installed,
and `decord, seeking` asks for every seventh of the first 300 frames backwards and for the others in order.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from fer_batch.media.align import crop_matrix, face_box
from fer_batch.media.decode import Decoder
from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.explaining import decode as decode_stage
from fer_batch.pipeline.explaining import faces
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.sink import face_jpeg
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.types import MediaError, SequenceRef

SIZE = 224
WRONG = 2.0  # grey levels of mean absolute difference that make a frame another frame


# ------------------------------------------------------------------------------------------------------- crops a second


def plain(path: Path, faces: bool, n_frames: int, folder: Path) -> int:
    """What one writes without this package: whole frames, or the square around the landmarks of each frame."""
    if faces:
        table = np.loadtxt(path.with_suffix(".landmarks.csv"), delimiter=",", skiprows=1, ndmin=2)
        points_of = dict(
            zip(table[:, 0].astype(int).tolist(), table[:, 1:].reshape(-1, 2, 68).transpose(0, 2, 1), strict=True)
        )
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        for index, frame in enumerate(islice(container.decode(stream), n_frames)):
            image = frame.to_ndarray(format="rgb24")
            if faces:
                left, top, side = face_square(points_of[index])
                crop = cv2.resize(
                    image[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA
                )
            else:
                scale = SIZE / max(image.shape[:2])
                height, width = (round(length * scale) for length in image.shape[:2])
                crop = np.zeros((SIZE, SIZE, 3), np.uint8)
                inside = cv2.resize(
                    image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
                )
                top, left = (SIZE - height) // 2, (SIZE - width) // 2
                crop[top : top + height, left : left + width] = inside
            (folder / f"{index:06d}.jpg").write_bytes(face_jpeg(crop))
    return index + 1


def stage(path: Path, faces: bool, n_frames: int, folder: Path) -> int:
    """The decode stage of the pipeline, its chunks taken apart as the sink does."""
    options = decode_options("dataset" if faces else "none", n_frames)
    landmarks = path.with_suffix(".landmarks.csv")
    ref = SequenceRef(
        sequence_id=path.name,
        kind="video",
        uri=str(path),
        size=path.stat().st_size,
        version="",
        landmarks_uri=str(landmarks) if faces else None,
    )
    index = 0
    for row in decode_stage.decode_unit({"unit": pickle.dumps(Unit("unit", (ref,), ("id",)))}, options):
        for crop in Chunk.from_batch({"payload": [row["payload"]]}).images:  # type: ignore[dict-item]
            (folder / f"{index:06d}.jpg").write_bytes(face_jpeg(crop))
            index += 1
    return index


def decode_options(detector: str, n_frames: int | None = None) -> faces.DecodeOptions:
    return faces.DecodeOptions(
        sampling=Sampling(max_frames=n_frames),
        detector=detector,
        every=5,
        align="none",
        margin=0.2,
        min_size=20,
        size=SIZE,
        annotated=False,
        timeout_s=60.0,
        memory_bytes=3 << 30,
    )


def worker(connection: Any) -> None:
    """Runs what it is told and answers with frames, wall seconds and CPU seconds."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        while True:
            task = connection.recv()
            if task is None:
                break
            way, path, faces, n_frames = task
            started, cpu = time.perf_counter(), cpu_seconds()
            n_done = {"plain": plain, "stage": stage}[way](path, faces, n_frames, Path(folder))
            connection.send((n_done, time.perf_counter() - started, cpu_seconds() - cpu))
    os._exit(0)


def cpu_seconds() -> float:
    """CPU time of this process and its living children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    tasks = [task for pid in children for task in Path(f"/proc/{pid}/task").iterdir()]
    return time.process_time() + sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def throughput(clips: list[Path], n_frames: int, n_workers: int, n_rounds: int) -> None:
    context = mp.get_context("spawn")
    pipes = [context.Pipe() for _ in range(n_workers)]
    workers = [context.Process(target=worker, args=(theirs,)) for _, theirs in pipes]
    for process in workers:
        process.start()
    try:
        print(f"{n_workers} workers, {n_rounds} rounds, up to {n_frames} frames; crops of {SIZE} px, written as JPEG")
        print(f"{'clip':42} {'crop':>6} {'plain':>8} {'stage':>8} {'wall':>6} {'CPU':>6}   (frames/s; stage : plain)")
        for path in clips:
            write_landmarks(path, min(n_frames, stage_frames(path)))
            for faces in (False, True):
                seconds: dict[str, list[tuple[float, float]]] = {"plain": [], "stage": []}
                for number in range(n_rounds + 1):
                    for way in seconds if number % 2 else reversed(seconds):
                        for ours, _ in pipes:
                            ours.send((way, path, faces, n_frames))
                        answers = [ours.recv() for ours, _ in pipes]
                        if number:  # the first round warms up
                            seconds[way].append((max(a[1] for a in answers), sum(a[2] for a in answers)))
                wall, cpu = (
                    {way: statistics.median(pair[i] for pair in pairs) for way, pairs in seconds.items()}
                    for i in (0, 1)
                )
                n_done, cut = sum(answer[0] for answer in answers), "face" if faces else "frame"
                rates = " ".join(f"{n_done / wall[way]:8.0f}" for way in seconds)
                ratios = " ".join(f"{times['plain'] / times['stage']:6.2f}" for times in (wall, cpu))
                print(f"{path.name:42} {cut:>6} {rates} {ratios}", flush=True)
    finally:
        for (ours, _), process in zip(pipes, workers, strict=True):
            ours.send(None)
            process.join()


def write_landmarks(path: Path, n_frames: int) -> None:
    """Landmarks of a face that stays where it is, beside a clip."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        height, width = stream.height, stream.width
    points = np.random.default_rng(0).uniform(0.35, 0.7, (68, 2)) * [width, height]
    text = [",".join(["frame_index"] + [f"{axis}{i}" for axis in "xy" for i in range(68)])]
    row = ",".join(f"{value:.1f}" for value in points.T.ravel())
    text += [f"{index},{row}" for index in range(n_frames)]
    path.with_suffix(".landmarks.csv").write_text("\n".join(text) + "\n")


def face_square(points: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side of the square that the stage cuts for these landmarks."""
    matrix = crop_matrix(face_box(points), SIZE)
    inverse = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]
    left, top = np.round(inverse @ [-0.5, -0.5, 1.0] + 0.5).astype(int).tolist()
    return max(left, 0), max(top, 0), round(inverse[0, 0] * SIZE)


def stage_frames(path: Path) -> int:
    """Frames of a clip."""
    with Decoder() as decoder:
        list(decoder.frames(path, Sampling(stride=1000)))
        return decoder.summary.n_decoded


def own_clips(folder: Path) -> list[Path]:
    """A small and a large picture, 300 frames each."""
    sizes = ((240, 320), (1080, 1920))
    return [drifting_portrait(folder / f"made_{width}x{height}.mp4", height, width) for height, width in sizes]


def drifting_portrait(path: Path, height: int, width: int, n_frames: int = 300) -> Path:
    """Write a clip of a portrait that moves about."""
    from skimage import data

    picture = cv2.resize(data.astronaut(), (width + 64, height + 64), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(n_frames):
            x, y = round(32 + 30 * np.sin(i / 9)), round(32 + 30 * np.cos(i / 13))
            frame = np.ascontiguousarray(picture[y : y + height, x : x + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


# --------------------------------------------------------------------------------------------------- which is right


def reference(path: Path) -> Iterator[np.ndarray]:
    """FFmpeg's frames of the best stream, in order, rotated, up to the first error."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        try:
            for frame in container.decode(stream):
                image = frame.to_ndarray(format="rgb24")
                yield np.rot90(image, frame.rotation // 90)
        except av.FFmpegError:
            return


def with_child(path: Path, n_frames: int | None = None) -> Iterator[np.ndarray]:
    for frame in child().frames(path, Sampling(max_frames=n_frames)):  # leaving early would cost the child
        yield frame.image


@lru_cache(maxsize=1)
def child() -> Decoder:
    return Decoder()


def with_opencv(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while True:
        good, image = capture.read()
        if not good:
            return
        yield image[..., ::-1]


def with_decord(path: Path) -> Iterator[np.ndarray]:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    for index in range(len(reader)):
        yield reader[index].asnumpy()


def seeking_decord(path: Path) -> Iterator[np.ndarray]:
    """Every frame by its number, from the last to the first and back in order: what `get_batch` at random does."""
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    found: dict[int, np.ndarray] = {}
    for index in reversed(range(0, min(len(reader), 300), 7)):
        found[index] = reader[index].asnumpy()
    for index in range(min(len(reader), 300)):
        yield found[index] if index in found else reader[index].asnumpy()


BACKENDS: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {
    "fer_batch": with_child,
    "opencv": with_opencv,
    "decord": with_decord,
    "decord, seeking": seeking_decord,
}


def judged(frames: Iterator[np.ndarray], path: Path, whole: bool) -> tuple[str, int]:
    """Verdict against the reference, and how many frames came; `whole` if all of the clip's were asked for."""
    truth, n_frames, n_wrong = reference(path), 0, 0
    try:
        for image in frames:
            expected = next(truth, None)
            n_frames += 1
            same = expected is not None and expected.shape == image.shape
            n_wrong += not same or np.abs(expected.astype(np.int16) - image).mean() >= WRONG  # type: ignore[union-attr]
    except MediaError:
        return ("no frame" if not n_frames else f"ends at {n_frames}"), n_frames
    except Exception as error:
        return f"{type(error).__name__} at {n_frames}", n_frames
    if n_wrong:
        return f"{n_wrong} wrong", n_frames
    n_missing = sum(1 for _ in truth) if whole else 0
    return (f"{n_missing} missing" if n_missing else "right"), n_frames


def speed(make: Callable[[Path], Iterator[np.ndarray]], path: Path, n_frames: int) -> float:
    """Frames a second of CPU time, children counted in; the better of two."""
    rates = []
    for _ in range(2):
        before = cpu_seconds()
        try:
            frames = with_child(path, n_frames) if make is with_child else islice(make(path), n_frames)
            n_done = sum(1 for _ in frames)
        except Exception:
            return float("nan")
        spent = cpu_seconds() - before
        rates.append(n_done / spent)
    return max(rates)


def backends(clips: list[Path], n_frames: int) -> None:
    names = [name for name in BACKENDS if not name.startswith("decord") or installed("decord")]
    print("| clip | frames | " + " | ".join(f"{name} | f/s" for name in names) + " |")
    print("|---" * (2 + 2 * len(names)) + "|")
    for path in clips:
        cells = [path.name, str(sum(1 for _ in reference(path)))]
        for name in names:
            cells.append(judged(BACKENDS[name](path), path, whole=not name.endswith("seeking"))[0])
            cells.append(f"{speed(BACKENDS[name], path, n_frames):.0f}".replace("nan", ""))
        print("| " + " | ".join(cells) + " |", flush=True)


def installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--backends", action="store_true", help="compare decoders instead")
    parser.add_argument("--frames", type=int, default=300, help="of each clip and round")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    with tempfile.TemporaryDirectory() as folder:
        clips = []
        for path in options.clips or own_clips(Path(folder)):
            clips.append(Path(folder) / path.name)
            if not clips[-1].exists():  # landmarks are written beside it
                clips[-1].symlink_to(path.resolve())
        if options.backends:
            backends(clips, options.frames)
        else:
            throughput(clips, options.frames, options.workers, options.rounds)


if __name__ == "__main__":
    sys.exit(main())
