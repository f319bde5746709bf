"""True frames of video files and pictures, decoded in a child process that may crash, hang or be killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.child import Child, ChildLost
from fer_batch.media.frame import Crop, Frame, LostFrame, Summary
from fer_batch.media.messages import Command, Cut, Message, Request
from fer_batch.media.sampling import Sampling
from fer_batch.media.settings import Damage
from fer_batch.types import EnvironmentFault, MediaError

_KNOWN = ("n_declared", "duration_s", "n_decoded", "fps", "reason", "partial")  # of a message, goes into the summary
TRIES = 5  # processes that one file may cost
_Answer = tuple[Message, NDArray[np.uint8] | None]
PAUSE_S = 0.5  # before the second; doubled for each that somebody else ended, so that what lacks memory may end


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

    @overload
    def frames(self, path: str | os.PathLike[str], sampling: Sampling | None = None) -> Iterator[Frame]: ...

    @overload
    def frames(
        self, path: str | os.PathLike[str], sampling: Sampling | None, damage: Damage
    ) -> Iterator[Frame | LostFrame]: ...

    def frames(
        self, path: str | os.PathLike[str], sampling: Sampling | None = None, damage: Damage = "stop"
    ) -> Iterator[Any]:
        """Kept frames of a video file, one at a time; `summary` follows them.

        Parameters
        ----------
        path
            A local file.
        sampling
            Which frames; all by default.
        damage
            `stop`: a clip ends at its first damage. `skip`: it goes on at the next key frame, where the file shows
            which frames are lost; those come as `LostFrame`.

        Yields
        ------
        Frame
            In presentation order, its picture not to be written to. Leaving early is allowed and costs the child.

        Raises
        ------
        MediaError
            If no frame can be decoded, or two children crashed or met their limits (frames before that were good).
        EnvironmentFault
            If children are ended from outside again and again, or at ever other places, or a second one gives another
            frame than the first.
        """
        for message, image in self._ask(_video(path, sampling, damage)):
            index, timestamp_ns = message["frame_index"], message["timestamp_ns"]
            if message["kind"] == "lost":
                yield LostFrame(index, timestamp_ns, message["message"])
            else:
                assert image is not None
                yield Frame(index, timestamp_ns, image)

    def crops(
        self,
        path: str | os.PathLike[str],
        size: int,
        matrices: Mapping[int, NDArray[np.floating]] | None = None,
        sampling: Sampling | None = None,
        damage: Damage = "stop",
    ) -> Iterator[Crop]:
        """Crops of the kept frames of a video file, cut in the child where the frames are: faster than cutting here.

        Parameters
        ----------
        path, sampling, damage
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
        for message, image in self._ask(_video(path, sampling, damage, {"size": size, "matrices": numbers})):
            shape = message.get("height", 0), message.get("width", 0)
            lost = message["message"] if message["kind"] == "lost" else None
            yield Crop(message["frame_index"], message["timestamp_ns"], image, *shape, lost)

    def image(self, path: str | os.PathLike[str]) -> Frame:
        """Decode a still, or one frame of an image sequence; EXIF orientation applied, alpha dropped, 8 bit.

        Raises
        ------
        MediaError
            If the picture is truncated, damaged or too large, or two children crashed over it or met their limits.
        EnvironmentFault
            As `frames`.
        """
        ((message, image),) = self._ask(_request("image", path))
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

    def _ask(self, request: Request) -> Iterator[_Answer]:
        """Messages with frames, whatever number of children they cost."""
        if self._turn is not None or (self._child is not None and not self._child.alive()):
            self.close()  # an earlier clip was left in the middle, or the child died between two
        turn = self._turn = object()
        self.summary = Summary()
        losses: list[ChildLost] = []
        last: _Answer | None = None  # that was delivered
        try:
            while True:
                try:
                    for answer in self._goes_on(request, last, bool(losses)):
                        last = answer
                        yield answer
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

    def _goes_on(self, request: Request, last: _Answer | None, again: bool) -> Iterator[_Answer]:
        """Answers behind the last that was delivered, which is asked for once more to see that it is the same."""
        first = 0 if last is None else last[0]["frame_index"]
        for message, image in self._messages({**request, "first": first, "again": again}):
            if last is None:
                yield message, image
            elif (message["kind"], message["frame_index"]) != (last[0]["kind"], first) or not _alike(image, last[1]):
                raise EnvironmentFault(
                    f"{request['path']}: frame {first} is another one in a second decoder; "
                    "see whether the file is being written, and whether the disk and memory are sound"
                )
            last = None
        if last is not None:
            raise EnvironmentFault(
                f"{request['path']}: a second decoder ended before frame {first}, which the first one gave; "
                "see whether the file is being written, and whether the disk and memory are sound"
            )

    def _messages(self, command: Command) -> Iterator[_Answer]:
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
            if message["kind"] in ("frame", "lost"):
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


def _video(
    path: str | os.PathLike[str], sampling: Sampling | None, damage: Damage = "stop", cut: Cut | None = None
) -> Request:
    return {**_request("video", path), "sampling": asdict(sampling or Sampling()), "cut": cut, "skip": damage == "skip"}


def _request(do: Literal["video", "image"], path: str | os.PathLike[str]) -> Request:
    """The child keeps the working directory it was started in."""
    return {"do": do, "path": os.path.abspath(os.fsdecode(path)), "sampling": {}, "cut": None, "skip": False}


def _alike(one: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None) -> bool:
    return one is other is None or (one is not None and other is not None and np.array_equal(one, other))
