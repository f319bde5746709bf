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
import select
import signal
import socket
import sys
import threading
import time
from typing import Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from fer_batch.media.clip import Clip
from fer_batch.media.display import displayed
from fer_batch.media.limits import Unreadable, plain
from fer_batch.media.messages import Command, Message
from fer_batch.media.position import Position
from fer_batch.media.ring import Sender
from fer_batch.media.sampling import Sampling
from fer_batch.media.still import still

# Messages go out at least this often while frames are decoded but not kept, so that only a true stall looks like one.
ALIVE_EVERY_S = 1.0
NOTE_MEMORY_EVERY_S = 0.05
OPENCV_NO_MEMORY = -4  # cv2.Error.StsNoMem


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
        """The crop of a frame: uint8 of shape (size, size, 3) from an RGB `image` of shape (H, W, 3)."""
        if self._matrices is None:
            matrix = self._align.whole_frame_matrix(image.shape[0], image.shape[1], self._size)
        else:
            matrix = np.array(self._matrices[str(frame_index)]).reshape(2, 3)
        return self._align.crop(image, matrix, self._size)


class Work:
    """One command, and the means to answer it.

    Attributes
    ----------
    channel
        Where answers go.
    position
        Where it is said what was taken up.
    path
        The file.
    first
        Frame from which on the worker wants pictures; it has those before from a process that was lost.
    """

    def __init__(self, channel: Sender, position: Position, path: str, first: int) -> None:
        self.channel, self.position, self.path, self.first = channel, position, path, first
        position.place = 0

    def step(self) -> None:
        """Another packet is taken up."""
        self.position.place += 1
        self.stay_alive(0)  # a long stretch without a sound frame is no hang

    def stay_alive(self, n_decoded: int) -> None:
        """Say that there is progress where nothing else was said for a while."""
        if time.monotonic() - self.channel.sent_at > ALIVE_EVERY_S:
            self.channel.send({"kind": "alive", "n_decoded": n_decoded})


def send_video(work: Work, sampling: Sampling, cutter: Cutter | None = None, skip: bool = False) -> None:
    """Messages `open`, `frame` or `lost` for each kept frame, `end`."""
    sampler = sampling.sampler(true_count(work, skip) if sampling.slots else None)
    converter, complete = VideoReformatter(), True
    with Clip(work.path, skip, work.step) as clip:
        known: Message = {"kind": "open", "n_declared": clip.n_declared, "fps": clip.fps}
        work.channel.send({**known, "duration_s": clip.duration_s})
        for index, timestamp_ns, frame in clip.timed_frames():
            if sampler.keeps(timestamp_ns) and index >= work.first:
                kind: Literal["frame", "lost"] = "lost" if frame is None else "frame"
                message: Message = {"kind": kind, "frame_index": index, "timestamp_ns": timestamp_ns}
                message["n_decoded"] = clip.n_decoded
                if frame is None:
                    work.channel.send({**message, "message": str(clip.cause or clip.damage)})
                else:
                    _send_frame(work.channel, message, frame, converter, cutter)
            else:
                work.stay_alive(clip.n_decoded)
            if sampler.finished(timestamp_ns):
                complete = False
                break
        if clip.n_decoded == 0:
            raise Unreadable(f"no frame could be decoded: {clip.damage or 'the video stream is empty'}")
        end: Message = {"kind": "end", "n_decoded": clip.n_decoded, "n_declared": clip.n_declared}
        work.channel.send({**end, "reason": clip.reason(complete), "partial": clip.partial(complete)})


def _send_frame(
    channel: Sender, message: Message, frame: av.VideoFrame, converter: VideoReformatter, cutter: Cutter | None
) -> None:
    if cutter is None:
        channel.send(message, displayed(frame, converter))
    elif cutter.wants(message["frame_index"]):
        image = displayed(frame, converter)
        message = {**message, "height": image.shape[0], "width": image.shape[1]}
        channel.send(message, cutter.cut(message["frame_index"], image))
    else:
        channel.send(message)


def true_count(work: Work, skip: bool) -> int:
    """Frames of the clip, lost ones too; what containers declare is too often something else."""
    with Clip(work.path, skip, work.step) as clip:
        for _ in clip.timed_frames():
            pass
        return clip.n_frames


def send_image(work: Work) -> None:
    """One `frame` message, then `end`."""
    if work.first == 0:
        work.channel.send({"kind": "frame", "frame_index": 0, "n_decoded": 1}, still(work.path))
    work.channel.send({"kind": "end", "n_decoded": 1, "reason": None})


def serve(commands: queue.SimpleQueue[Command], channel: Sender, position: Position) -> None:
    """Answer commands until the process is ended."""
    while True:
        command = commands.get()
        try:
            _answer(command, channel, position)
        except Unreadable as error:
            channel.send({"kind": "error", "message": str(error)})
        except ConnectionError:
            return
        except Exception as error:  # an unforeseen fault of one file is that file's
            if isinstance(error, MemoryError) or getattr(error, "code", None) == OPENCV_NO_MEMORY:
                channel.send({"kind": "memory"})
            else:
                channel.send({"kind": "error", "message": f"decoding failed: {type(error).__name__}: {plain(error)}"})


def _answer(command: Command, channel: Sender, position: Position) -> None:
    work = Work(channel, position, command["path"], command["first"])
    channel.at_once = command["again"]  # what is sent is not lost where this process is
    if not os.path.exists(work.path):
        raise Unreadable("no such file")
    if os.path.isfile(work.path) and os.path.getsize(work.path) == 0:
        raise Unreadable("the file is empty")
    if command["do"] == "video":
        cutter = Cutter(**command["cut"]) if command["cut"] else None
        send_video(work, Sampling(**command["sampling"]), cutter, command["skip"])
    else:
        send_image(work)


def _read_commands(commands: queue.SimpleQueue[Command], position: Position) -> None:
    """Hand on commands, and note in between what memory this process holds."""
    unread = b""
    while True:
        while not select.select([0], [], [], NOTE_MEMORY_EVERY_S)[0]:
            position.note_memory()
        data = os.read(0, 1 << 16)
        if not data:
            # The parent closed the pipe or died. The main thread may be inside a decoder that never returns.
            os._exit(0)
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            commands.put(json.loads(line))


def main() -> None:
    """Limit this process, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--position", type=int, required=True, help="descriptor of the memory of a `Position`")
    parser.add_argument("--parent", type=int, default=0, help="end with this process (Linux)")
    options = parser.parse_args()
    _limit(options.memory_bytes, options.parent)
    out = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not break the framing
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    position = Position(options.position)
    threading.Thread(target=_read_commands, args=(commands, position), daemon=True).start()
    serve(commands, Sender(socket.socket(fileno=out)), position)


def _limit(memory_bytes: int, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends this process by closing stdin
    with contextlib.suppress(ValueError, OSError):  # a lower limit is in force, or the system knows none (macOS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            os._exit(0)


if __name__ == "__main__":
    main()
