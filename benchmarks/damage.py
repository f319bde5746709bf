"""Damage clips in the middle and count what is read of them: by FFmpeg as it is, up to the damage, and behind it.

    python benchmarks/damage.py [--seeds 2] CLIP ...

Every frame that is delivered is compared with the frame of the sound clip at its time, pixel for pixel. Prints a table
for docs/media.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np

from fer_batch.media.clip import Clip
from fer_batch.media.limits import Unreadable

Frames = dict[int, int]  # checksum of the pixels by time in ns


def flipped_bits(content: bytearray, place: int, rng: random.Random) -> None:
    """Ten bits within 200 bytes."""
    for _ in range(10):
        content[place + rng.randrange(200)] ^= 1 << rng.randrange(8)


def zeros(content: bytearray, place: int, rng: random.Random) -> None:
    """A sector of 4096 bytes that cannot be read."""
    content[place : place + 4096] = bytes(len(content[place : place + 4096]))


def noise(content: bytearray, place: int, rng: random.Random) -> None:
    """20,000 bytes of something else."""
    content[place : place + 20_000] = rng.randbytes(len(content[place : place + 20_000]))


def two_places(content: bytearray, place: int, rng: random.Random) -> None:
    """1500 bytes of something else, twice."""
    for start in (place, rng.randrange(len(content) // 6, 5 * len(content) // 6)):
        content[start : start + 1500] = rng.randbytes(len(content[start : start + 1500]))


DAMAGES: dict[str, Callable[[bytearray, int, random.Random], None]] = {
    "10 flipped bits": flipped_bits,
    "4 KiB of zeros": zeros,
    "20 kB of noise": noise,
    "1.5 kB of noise, twice": two_places,
}


def checksum(frame: av.VideoFrame) -> int:
    """Of the pixels."""
    return zlib.crc32(np.ascontiguousarray(frame.to_ndarray(format="rgb24")))


def read(path: str, skip: bool) -> tuple[Frames, list[int], bool]:
    """Frames that are delivered, times of those that are rows `decode_error`, and whether the clip is partial."""
    found: Frames = {}
    lost: list[int] = []
    try:
        with Clip(path, skip) as clip:
            for _, time_ns, frame in clip.timed_frames():
                if frame is None:
                    lost.append(time_ns)
                else:
                    found[time_ns] = checksum(frame)
            return found, lost, clip.partial(True)
    except Unreadable:
        return found, lost, True


def plain(path: str) -> Frames:
    """Frames of FFmpeg through PyAV, errors passed over."""
    found: Frames = {}
    with av.open(path, metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.thread_count, start = 1, None
        packets, n_errors = container.demux(stream), 0
        while n_errors < 200:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                for frame in packet.decode():
                    start = frame.pts if start is None else start
                    found[round((frame.pts - start) * stream.time_base * 10**9)] = checksum(frame)
            except av.error.FFmpegError:
                n_errors, packets = n_errors + 1, container.demux(stream)
    return found


def counted(path: Path, how: str, seeds: int) -> Counter[str]:
    """Sums over some ways to damage a clip so."""
    truth, content, sums = read(str(path), False)[0], path.read_bytes(), Counter[str]()
    for seed in range(seeds):
        rng = random.Random(f"{path.name} {how} {seed}")
        broken = bytearray(content)
        DAMAGES[how](broken, rng.randrange(len(content) // 6, 5 * len(content) // 6), rng)
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as file:
            file.write(broken)
            file.flush()
            stop, _, noticed = read(file.name, False)
            skip, lost, _ = read(file.name, True)
            for name, found in (("FFmpeg", plain(file.name)), ("stop", stop), ("skip", skip)):
                sums[name] += len(found)
                sums[f"{name} wrong"] += sum(truth.get(time) != value for time, value in found.items())
            sums["wrong times"] += sum(time not in truth for time in [*skip, *lost])
            sums["true"] += len(truth)
            sums["unnoticed"] += not noticed
    return sums


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    names = ("true", "FFmpeg", "FFmpeg wrong", "stop", "stop wrong", "skip", "skip wrong", "wrong times", "unnoticed")
    print(f"| damage | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}", sep="\n", flush=True)
    for how in DAMAGES:
        sums = Counter[str]()
        for path in options.clips:
            own = counted(path, how, options.seeds)
            print(path.name, how, dict(own), file=sys.stderr, flush=True)
            sums.update(own)
        print(f"| {how} | {' | '.join(str(sums[name]) for name in names)} |", flush=True)


if __name__ == "__main__":
    main()
