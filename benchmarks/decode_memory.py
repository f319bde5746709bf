"""Whether the decode stage needs more memory for an hour than for a minute: proportional set size over time.

    python benchmarks/decode_memory.py [CLIP] [--hours 1] [--detector none]

Repeats the packets of a clip (without one, of a 640x360 portrait that drifts) until it is that long, decodes it as the
pipeline does, and prints the memory of the worker and its decoding child together, at ten moments and at the peak.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
from decode import decode_options, drifting_portrait

from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.types import SequenceRef


def repeated(source: Path, target: Path, seconds: float) -> int:
    """Write the packets of `source` again and again until `target` lasts so long; frames written."""
    with av.open(str(source)) as container:
        stream = container.streams.best("video")
        packets = [packet for packet in container.demux(stream) if packet.size]
        begin = min(packet.dts for packet in packets)
        step = packets[-1].dts - begin + (packets[-1].duration or 1)
        n_rounds = max(round(seconds / float(step * stream.time_base)), 1)
        times = [(packet.pts - begin, packet.dts - begin) for packet in packets]
        with av.open(str(target), "w") as out:
            copy = out.add_stream_from_template(stream)
            for number in range(n_rounds):
                for packet, (pts, dts) in zip(packets, times, strict=True):
                    packet.stream = copy
                    packet.time_base = stream.time_base
                    packet.pts, packet.dts = pts + number * step, dts + number * step
                    out.mux(packet)
    return n_rounds * len(packets)


def pss_bytes() -> int:
    """Proportional set size of this process and its children (Linux)."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    total = 0
    for pid in ("self", *children):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) << 10 if line.startswith("Pss:") else 0
    return total


class Watch(threading.Thread):
    """Samples the memory every so often until it is stopped."""

    def __init__(self, every_s: float = 0.5) -> None:
        super().__init__(daemon=True)
        self.every_s = every_s
        self.samples: list[int] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample."""
        while not self.stopped.wait(self.every_s):
            self.samples.append(pss_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--detector", default="none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.clip or drifting_portrait(Path(folder) / "source.mp4", 360, 640)
        clip = Path(folder) / f"hours{source.suffix}"
        n_written = repeated(source, clip, options.hours * 3600)
        print(f"{n_written} frames, {clip.stat().st_size / 1e6:.0f} MB; detector {options.detector}")
        ref = SequenceRef(clip.name, "video", str(clip), clip.stat().st_size, "")
        started, watch = time.monotonic(), Watch()
        watch.start()
        n_frames = n_chunks = 0
        for row in decode_unit({"unit": pickle.dumps(Unit("unit", (ref,), ("id",)))}, decode_options(options.detector)):
            chunk = Chunk.from_batch({"payload": [row["payload"]]})  # type: ignore[dict-item]
            n_frames, n_chunks = n_frames + len(chunk.frames), n_chunks + 1
        watch.stopped.set()
        watch.join()
    seconds, samples = time.monotonic() - started, watch.samples
    tenths = [samples[min(len(samples) * i // 10, len(samples) - 1)] >> 20 for i in range(1, 11)]
    print(f"{n_frames} frames in {n_chunks} chunks, {n_frames / seconds:.0f} frames/s")
    print(f"PSS in MiB, by tenths of the time: {' '.join(map(str, tenths))}; peak {max(samples) >> 20}")
    if n_frames != n_written:
        sys.exit(f"{n_written} frames were written, {n_frames} came")


if __name__ == "__main__":
    main()
