"""True frames of video files and pictures, decoded in a child process that may crash, hang or be killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.child import Child, ChildLost
from fer_batch.media.messages import Command, Cut, Message, Request
from fer_batch.media.sampling import Sampling
from fer_batch.types import EnvironmentFault, MediaError

_KNOWN = ("n_declared", "n_decoded", "fps", "reason", "partial")  # of a message, goes into the summary
TRIES = 5  # processes that one file may cost
PAUSE_S = 0.5  # before the second; doubled for each that somebody else ended, so that what lacks memory may end


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
    partial
        Whether less was read than is there, as far as it was asked for.
    """

    n_declared: int | None = None
    n_decoded: int = 0
    fps: float | None = None
    reason: str | None = None
    partial: bool = False


class Decoder:
    """Decodes in one long-lived child process; a context manager, for one thread at a time.

    A child that is lost says nothing of the file as such: the kernel's out-of-memory killer may have picked it because
    another program needs memory. A fresh one goes on where it was. The file is at fault only where two in a row met
    their own limits or crashed, at the same place.

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
        self._child: Child | None = None
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
            If no frame can be decoded, or two children crashed or met their limits (frames before that were good).
        EnvironmentFault
            If children are ended from outside again and again, or at ever other places.
        """
        for message, image in self._ask(_video(path, sampling)):
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
        MediaError, EnvironmentFault
            As `frames`.
        """
        numbers = None if matrices is None else {i: np.ravel(matrix).tolist() for i, matrix in matrices.items()}
        for message, image in self._ask(_video(path, sampling, {"size": size, "matrices": numbers})):
            shape = message.get("height", 0), message.get("width", 0)
            yield Crop(message["frame_index"], message["timestamp_ns"], image, *shape)

    def image(self, path: str | os.PathLike[str]) -> Frame:
        """Decode a still, or one frame of an image sequence; EXIF orientation applied, alpha dropped, 8 bit.

        Raises
        ------
        MediaError
            If the picture is truncated, damaged or too large, or two children crashed over it or met their limits.
        EnvironmentFault
            As `frames`.
        """
        ((message, image),) = self._ask({"do": "image", "path": _absolute(path), "sampling": {}, "cut": None})
        assert image is not None
        return Frame(message["frame_index"], None, image)

    def close(self) -> None:
        """End the child; the next request starts another."""
        self._turn = None
        self._end_child()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: Request) -> Iterator[tuple[Message, NDArray[np.uint8] | None]]:
        """Messages with frames, whatever number of children they cost."""
        if self._turn is not None or (self._child is not None and not self._child.alive()):
            self.close()  # an earlier clip was left in the middle, or the child died between two
        turn = self._turn = object()
        self.summary = Summary()
        losses: list[ChildLost] = []
        first = 0  # frame that was not delivered yet
        try:
            while True:
                try:
                    for message, image in self._messages({**request, "first": first, "again": bool(losses)}):
                        first = message["frame_index"] + 1
                        yield message, image
                        if self._turn is not turn:
                            raise RuntimeError(f"{request['path']}: the decoder was given another file in the meantime")
                    self._turn = None
                    return
                except ChildLost as loss:
                    self._end_child()
                    losses.append(loss)
                    self._judge(request["path"], losses)
        except MediaError:
            if self._child is not None:  # it said so itself and is ready for the next
                self._turn = None
            raise
        finally:
            if self._turn is turn:  # not finished: left early or lost
                self.close()

    def _messages(self, command: Command) -> Iterator[tuple[Message, NDArray[np.uint8] | None]]:
        """Messages with frames, of one child up to the end."""
        self._child = self._child or Child(self.memory_bytes)
        self._child.send(command)
        while True:
            message, image = self._child.receive(self.timeout_s)
            known = {key: value for key, value in cast("dict[str, Any]", message).items() if key in _KNOWN}
            # A second child begins at the first frame again; what is known of the clip does not shrink.
            known["n_decoded"] = max(known.get("n_decoded", 0), self.summary.n_decoded)
            self.summary = replace(self.summary, **known)
            if message["kind"] == "error":
                raise MediaError(message["message"])
            if message["kind"] == "end":
                return
            if message["kind"] == "frame":
                yield message, image

    def _judge(self, path: str, losses: list[ChildLost]) -> None:
        """Whose fault it is that children are lost over a file; returns where another one should try."""
        last, before = losses[-1], losses[-2] if len(losses) > 1 else None
        own = before is not None and "outside" not in (last.cause, before.cause)
        if own and before is not None and last.place == before.place:
            after = f" (after {self.summary.n_decoded} frames)" if self.summary.n_decoded else ""
            raise MediaError(f"{last}, twice at the same place{after}")
        if len(losses) == TRIES:
            raise EnvironmentFault(
                f"{TRIES} decoders were lost over {path}, which says nothing of that file (the last: {last}); see that "
                "there is memory for resources.decode_memory_mb in each of resources.num_cpus workers, and who ends "
                "processes here"
            )
        if last.cause == "outside":
            time.sleep(PAUSE_S * 2 ** (len(losses) - 1))

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _video(path: str | os.PathLike[str], sampling: Sampling | None, cut: Cut | None = None) -> Request:
    return {"do": "video", "path": _absolute(path), "sampling": asdict(sampling or Sampling()), "cut": cut}


def _absolute(path: str | os.PathLike[str]) -> str:
    """The child keeps the working directory it was started in."""
    return os.path.abspath(os.fsdecode(path))
