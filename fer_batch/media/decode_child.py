"""The process that decodes: commands in on stdin, frames out on stdout; it may hang, crash or be killed at any time.

Run by `decode.Decoder`; its stdout is the socket of a `ring.Sender`, so that it decodes the next frames while the
worker looks at this one. Only this process runs FFmpeg and Pillow (`clip`, `still`), so that a bad file costs one child
and no worker.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from fer_batch.media.clip import Clip, displayed
from fer_batch.media.limits import Unreadable, plain
from fer_batch.media.ring import Sender
from fer_batch.media.sampling import SECOND_NS, Sampling
from fer_batch.media.still import still

# Messages go out at least this often while frames are decoded but not kept, so that only a true stall looks like one.
ALIVE_EVERY_S = 1.0


class Cutter:
    """Crops frames here, where they are, so that only crops travel.

    Parameters
    ----------
    size
        Side of the crop.
    matrices
        Source to crop (six numbers) by frame index as text; None takes the whole of every frame.
    """

    def __init__(self, size: int, matrices: dict[str, list[float]] | None) -> None:
        import cv2  # not above: it takes longer to import than a still to decode

        from fer_batch.media import align

        cv2.setNumThreads(1)
        self._align = align
        self._size = size
        self._matrices = matrices

    def wants(self, frame_index: int) -> bool:
        """Whether the frame has a crop."""
        return self._matrices is None or str(frame_index) in self._matrices

    def cut(self, frame_index: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop of a frame."""
        if self._matrices is None:
            matrix = self._align.whole_frame_matrix(image.shape[0], image.shape[1], self._size)
        else:
            matrix = np.array(self._matrices[str(frame_index)]).reshape(2, 3)
        return self._align.crop(image, matrix, self._size)


def send_video(channel: Sender, path: str, sampling: Sampling, cutter: Cutter | None = None) -> None:
    """Messages `open`, `frame` for each kept frame, `end`."""
    n_frames = true_count(channel, path) if sampling.slots else None
    sampler, clip, converter = sampling.sampler(n_frames), Clip(path), VideoReformatter()
    with clip:
        channel.send({"kind": "open", "n_declared": clip.n_declared, "fps": clip.fps})
        timestamp_ns, complete = 0, True
        for frame_index, frame in clip.true_frames():
            clip.n_decoded += 1
            if frame.pts is not None:
                clip.start_pts = frame.pts if clip.start_pts is None else clip.start_pts
                timestamp_ns = round((frame.pts - clip.start_pts) * clip.time_base * SECOND_NS)
            elif frame_index > 0:  # a raw stream has no clock
                timestamp_ns += round(SECOND_NS / (clip.fps or 25.0))
            if sampler.keeps(timestamp_ns):
                message = {"kind": "frame", "frame_index": frame_index, "timestamp_ns": timestamp_ns}
                message["n_decoded"] = clip.n_decoded
                if cutter is None:
                    channel.send(message, displayed(frame, converter))
                elif cutter.wants(frame_index):
                    image = displayed(frame, converter)
                    message |= {"height": image.shape[0], "width": image.shape[1]}
                    channel.send(message, cutter.cut(frame_index, image))
                else:
                    channel.send(message)
            elif time.monotonic() - channel.sent_at > ALIVE_EVERY_S:
                channel.send({"kind": "alive", "n_decoded": clip.n_decoded})
            if sampler.finished(timestamp_ns):
                complete = False
                break
        if clip.n_decoded == 0:
            raise Unreadable(f"no frame could be decoded: {clip.cause or 'the video stream is empty'}")
        known = {"n_decoded": clip.n_decoded, "n_declared": clip.n_declared, "reason": clip.reason(complete)}
        channel.send({"kind": "end", **known})


def true_count(channel: Sender, path: str) -> int:
    """Frames that the clip gives; what containers declare is too often something else."""
    with Clip(path) as clip:
        for _ in clip.true_frames():
            clip.n_decoded += 1
            if time.monotonic() - channel.sent_at > ALIVE_EVERY_S:
                channel.send({"kind": "alive", "n_decoded": 0})  # none was delivered so far
        return clip.n_decoded


def send_image(channel: Sender, path: str) -> None:
    """One `frame` message, then `end`."""
    channel.send({"kind": "frame", "frame_index": 0, "n_decoded": 1}, still(path))
    channel.send({"kind": "end", "n_decoded": 1, "reason": None})


def serve(commands: queue.SimpleQueue[dict[str, Any]], channel: Sender) -> None:
    """Answer commands until the process is ended."""
    while True:
        command = commands.get()
        try:
            size = Path(command["path"]).stat().st_size if os.path.exists(command["path"]) else None
            if size is None:
                raise Unreadable("no such file")
            if size == 0 and os.path.isfile(command["path"]):
                raise Unreadable("the file is empty")
            cutter = Cutter(**command["cut"]) if command["cut"] else None
            if command["do"] == "video":
                send_video(channel, command["path"], Sampling(**command["sampling"]), cutter)
            else:
                send_image(channel, command["path"])
        except Unreadable as error:
            channel.send({"kind": "error", "message": str(error)})
        except MemoryError:
            channel.send({"kind": "error", "message": "decoding needs more memory than the limit allows"})
        except ConnectionError:
            return
        except Exception as error:  # an unforeseen fault of one file is that file's
            channel.send({"kind": "error", "message": f"decoding failed: {type(error).__name__}: {plain(error)}"})


def _read_commands(commands: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        commands.put(json.loads(line))
    # The parent closed the pipe or died. The main thread may be inside a decoder that never returns.
    os._exit(0)


def main() -> None:
    """Limit this process, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, default=0, help="end with this process (Linux)")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends this process by closing stdin
    with contextlib.suppress(ValueError, OSError):  # a lower limit is in force, or the system knows none (macOS)
        resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != options.parent:  # it died before the line above
            os._exit(0)
    out = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not break the framing
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
    serve(commands, Sender(socket.socket(fileno=out)))


if __name__ == "__main__":
    main()
