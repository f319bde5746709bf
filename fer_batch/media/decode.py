"""True frames of video files and pictures, decoded in a child process that may crash, hang or be killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.ring import Receiver
from fer_batch.media.sampling import Sampling
from fer_batch.types import MediaError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_KNOWN = ("n_declared", "n_decoded", "fps", "reason")  # of a message, goes into the summary


@dataclass(frozen=True)
class Frame:
    """One frame of a clip, or a still.

    Attributes
    ----------
    frame_index
        0-based in presentation order, before sampling.
    timestamp_ns
        From the first frame, as the file's clock says (not index / fps); None of a picture, which has no clock.
    image : shape (H, W, 3), uint8
        RGB as displayed: rotated and flipped as the file says, not stretched to the sample aspect ratio.
    """

    frame_index: int
    timestamp_ns: int | None
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """What `Decoder.crops` gives of a frame.

    Attributes
    ----------
    frame_index, timestamp_ns
        As in `Frame`.
    image : shape (size, size, 3), uint8, or None
        None where there is no matrix for the frame.
    height, width
        Of the displayed frame that was cropped, 0 where none was.
    """

    frame_index: int
    timestamp_ns: int
    image: NDArray[np.uint8] | None
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class Summary:
    """What is known of a clip so far.

    Attributes
    ----------
    n_declared
        Frames the container promises to show (edit lists considered), None where it says nothing believable.
    n_decoded
        True frames decoded, before sampling; fewer than the clip has where sampling ended early.
    fps
        Average rate by the container, None where it states none.
    reason
        Set where the clip ended early or was damaged but gave good frames.
    """

    n_declared: int | None = None
    n_decoded: int = 0
    fps: float | None = None
    reason: str | None = None


class Decoder:
    """Decodes in one long-lived child process; a context manager, for one thread at a time.

    Parameters
    ----------
    timeout_s
        Longest wait for the next sign of progress.
    memory_bytes
        Address space of the child; about 0.3 GB of it is code.
    """

    def __init__(self, timeout_s: float = 60.0, memory_bytes: int = 3 << 30) -> None:
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, got {timeout_s!r}")
        self.timeout_s = timeout_s
        self.memory_bytes = memory_bytes
        self.summary = Summary()
        self._child: _Child | None = None
        self._turn: object = None  # identifies the request whose messages the child is sending

    def frames(self, path: str | os.PathLike[str], sampling: Sampling | None = None) -> Iterator[Frame]:
        """Kept frames of a video file, one at a time; `summary` follows them.

        Parameters
        ----------
        path
            A local file.
        sampling
            Which frames; all by default.

        Yields
        ------
        Frame
            In presentation order. Leaving early is allowed and costs the child.

        Raises
        ------
        MediaError
            If no frame can be decoded, or the child crashed or made no progress (frames before that were good).
        """
        command = {"do": "video", "path": _absolute(path), "sampling": asdict(sampling or Sampling())}
        for message, image in self._ask(command):
            assert image is not None
            yield Frame(message["frame_index"], message["timestamp_ns"], image)

    def crops(
        self,
        path: str | os.PathLike[str],
        size: int,
        matrices: Mapping[int, NDArray[np.floating]] | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[Crop]:
        """Crops of the kept frames of a video file, cut in the child where the frames are: faster than cutting here.

        Parameters
        ----------
        path, sampling
            As for `frames`.
        size
            Side of the crops.
        matrices
            Source to crop by frame index, shape (2, 3), as from `align.crop_matrix`; frames without one come without
            a picture. None takes the whole frame (`align.whole_frame_matrix`).

        Raises
        ------
        MediaError
            As `frames`.
        """
        numbers = None if matrices is None else {i: np.ravel(matrix).tolist() for i, matrix in matrices.items()}
        command = {"do": "video", "path": _absolute(path), "sampling": asdict(sampling or Sampling())}
        for message, image in self._ask({**command, "cut": {"size": size, "matrices": numbers}}):
            shape = message.get("height", 0), message.get("width", 0)
            yield Crop(message["frame_index"], message["timestamp_ns"], image, *shape)

    def image(self, path: str | os.PathLike[str]) -> Frame:
        """Decode a still, or one frame of an image sequence; EXIF orientation applied, alpha dropped, 8 bit.

        Raises
        ------
        MediaError
            If the picture is truncated, damaged or too large.
        """
        ((message, image),) = self._ask({"do": "image", "path": _absolute(path)})
        assert image is not None
        return Frame(message["frame_index"], None, image)

    def close(self) -> None:
        """End the child; the next request starts another."""
        self._turn = None
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, command: dict[str, Any]) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8] | None]]:
        if self._turn is not None or (self._child is not None and not self._child.alive()):
            self.close()  # an earlier clip was left in the middle, or the child died between two
        turn = self._turn = object()
        self.summary = Summary()
        try:
            self._child = self._child or _Child(self.memory_bytes)
            self._child.send({"cut": None, **command})
            while True:
                message, image = self._child.receive(self.timeout_s)
                self.summary = replace(self.summary, **{key: message[key] for key in _KNOWN if key in message})
                if message["kind"] == "error":
                    self._turn = None
                    raise MediaError(message["message"])
                if message["kind"] == "end":
                    self._turn = None
                    return
                if message["kind"] == "frame":
                    yield message, image
                    if self._turn is not turn:
                        raise RuntimeError(f"{command['path']}: the decoder was given another file in the meantime")
        except _ChildLost as loss:
            after = f" (after {self.summary.n_decoded} frames)" if self.summary.n_decoded else ""
            raise MediaError(f"{loss}{after}") from None
        finally:
            if self._turn is turn:  # not finished: left early, timed out or crashed
                self.close()


class _ChildLost(Exception):
    """The child is of no more use; the message says why."""


class _Child:
    """One decoding process, the pipe to it and the socket from it."""

    def __init__(self, memory_bytes: int) -> None:
        arguments = ["--memory-bytes", str(memory_bytes)]
        if threading.current_thread() is threading.main_thread():
            # The kernel's parent-death signal follows the starting *thread*, so it is asked for only where that
            # thread lives as long as the process. Everywhere, the child also ends when its stdin closes.
            arguments += ["--parent", str(os.getpid())]
        # -P: the working directory of a job must not shadow a module.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")])),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the child; _end closes it
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._receiver = Receiver(ours)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fer_batch.media.decode_child", *arguments],
                stdin=subprocess.PIPE,
                stdout=theirs.fileno(),
                stderr=self._errors,
                env=environment,
                bufsize=0,
            )
        assert self._process.stdin is not None
        self._in = self._process.stdin.fileno()
        self._finalizer = weakref.finalize(self, _end, self._process, self._receiver, self._errors)

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._finalizer()

    def send(self, command: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(command).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._in, rest) :]
        except BrokenPipeError:
            raise self._lost() from None

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        """Next message and its picture, if it has one."""
        try:
            return self._receiver.receive(timeout_s)
        except TimeoutError:
            raise _ChildLost(f"decoding made no progress for {timeout_s:g} s") from None
        except EOFError:
            raise self._lost() from None

    def _lost(self) -> _ChildLost:
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return _ChildLost("the decoder closed its output")
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1].strip()[:200]}" if lines else ""
        if code < 0:
            return _ChildLost(f"the decoder was ended by {signal.Signals(-code).name}{said}")
        return _ChildLost(f"the decoder ended with code {code}{said}")


def _end(process: subprocess.Popen[bytes], receiver: Receiver, errors: Any) -> None:
    """Kill and reap; there is nothing in the child that would need a farewell."""
    process.kill()
    process.wait()
    receiver.close()
    errors.close()
    if process.stdin is not None:
        process.stdin.close()


def _absolute(path: str | os.PathLike[str]) -> str:
    """The child keeps the working directory it was started in."""
    return os.path.abspath(os.fsdecode(path))
