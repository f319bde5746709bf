"""The true frames of a video file. Runs in the decoding process; with `packets` the only module that touches FFmpeg.

A frame counts as true only while nothing shows damage. FFmpeg conceals lost blocks, and every frame until the next key
frame is built on what was concealed; a stretch of true frames therefore ends at the first frame that was, and the next
begins at a key frame.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import av.logging
import av.stream

from fer_batch.media.fragments import FORMAT, Fragments, fragments
from fer_batch.media.limits import Unreadable, counted, plain, refuse_large
from fer_batch.media.packets import AviIndex, Packets, last_time, said
from fer_batch.media.sampling import SECOND_NS
from fer_batch.media.timeline import LISTED, Timeline, surveyed

# Cut anywhere by recorders and broadcasters, and without a frame count: what cannot be decoded before the first key
# frame is no damage. In an indexed file it is, and leaving it out would shift every frame's index.
STREAM_FORMATS = frozenset({"mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v"})
# These mark each frame that they concealed, so an error in their log alone may be harmless (a lost reference that no
# picture uses); with all others the log is the only sign of damage there is.
MARKING_CODECS = frozenset(
    {"h264", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "msmpeg4v1", "wmv1", "wmv2", "h263", "flv"}
)
# An AVI has no times of presentation; of these codecs FFmpeg does not find them.
UNTIMED_IN_AVI = frozenset({"h264", "hevc"})


class Clip:
    """One video file, read from first to last frame.

    Behind damage it goes on at the next key frame, where asked to and where the file shows which frames are lost.

    Attributes
    ----------
    n_declared
        Frames the container promises to show, None where it says nothing believable.
    fps
        Average rate the container states, None where it states none between 0 and 1000 (exclusive).
    duration_s
        That the container states, None where it states none.
    n_decoded, n_lost
        True frames so far, and frames between and behind them that are damaged or gone; `timed_frames` counts them.
    start_pts
        Timestamp of frame 0, None until it is known.
    damage, cause
        What was damaged first, and what first since the last true frame; None where nothing was.

    Parameters
    ----------
    path
        A local file.
    skip
        Whether to go on behind damage.
    on_packet
        Called before each packet is read, so that a process that dies here can be said to have died there.

    Raises
    ------
    Unreadable
        If it does not open as a video.
    MemoryError
        At any time, if the process may not have the memory that FFmpeg asks for: that is no damage.
    """

    def __init__(self, path: str, skip: bool = False, on_packet: Callable[[], None] = lambda: None) -> None:
        self.n_decoded = self.n_lost = 0
        self.start_pts: int | None = None
        self.damage: str | None = None
        self.cause: str | None = None
        self._path, self._skip, self._on_packet = path, skip, on_packet
        self._last_pts: int | None = None
        self._first_lost = self._n_gaps = self._n_tail = 0
        self._broken = False  # the stretch of true frames that is being read
        self._ended_by: str | None = None  # the damage behind which nothing was read
        self._n_skipped = 0
        self._joining_pts: list[int] = []
        # Local: only this thread; a decoder with one thread logs from the thread that calls it.
        self._capture = av.logging.Capture(True)

    def __enter__(self) -> Clip:
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        self._logs = self._capture.__enter__()
        try:
            self._container = self._opened()
        except MemoryError:
            self._capture.__exit__(None, None, None)
            raise
        except (av.error.FFmpegError, ValueError) as error:
            self._capture.__exit__(None, None, None)
            raise Unreadable(f"it does not open as a video: {said(self._logs, 0) or plain(error)}") from None
        stream: Any = self._container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            self.__exit__()
            raise Unreadable("it has no video stream")
        stream.thread_count = 1  # a worker owns one core, and threads report damage late
        self._stream = stream
        self._joining = self._container.format.name in STREAM_FORMATS  # until the first key frame
        is_mp4 = self._container.format.name == FORMAT
        self._fragments = fragments(self._path) if is_mp4 else Fragments()
        self._packets = Packets(self._container, stream, self._logs, self._on_packet, self._fragments.gaps)
        self._packets.lenient = self._joining
        self.time_base = stream.time_base or Fraction(1, SECOND_NS)
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 1000 else None
        self.duration_s = float(Fraction(self._container.duration or 0, av.time_base)) or None
        # A frame takes at least one byte, which refutes the wild counts of broken headers.
        self._n_listed = stream.frames if 0 < stream.frames <= os.path.getsize(self._path) else None
        return self

    def __exit__(self, *exception: object) -> None:
        self._capture.__exit__(None, None, None)
        self._container.close()

    def _opened(self) -> Any:
        # "file:" and the whitelist keep a name like "http:x" or a playlist inside a file from reaching elsewhere.
        options = {"protocol_whitelist": "file"}
        return av.open(f"file:{self._path}", metadata_errors="replace", container_options=options)

    @property
    def n_declared(self) -> int | None:
        """Frames listed less those an edit list hides, as far as the file was read; None where more were decoded."""
        if self._n_listed is None or self._n_listed - self._packets.n_discarded < self.n_frames:
            return None
        return self._n_listed - self._packets.n_discarded or None

    @property
    def n_frames(self) -> int:
        """Frames so far, lost ones too."""
        return self.n_decoded + self.n_lost

    def reason(self, complete: bool) -> str | None:
        """One sentence where the clip gave fewer frames than it should, else None."""
        declared = f", {self.n_declared} declared" if self.n_declared else ""
        n_between, n_before_tail = self.n_lost - self._n_tail, self.n_frames - self._n_tail
        found, damage = [], self.damage if self._n_tail or not n_between else None
        if n_between:
            where = f"{counted(n_between, 'frame')} in {counted(self._n_gaps, 'damaged stretch')}"
            found.append(f"left out: {where}, the first is frame {self._first_lost}: {self.damage}")
        few = complete and self.n_frames < (self.n_declared or 0)
        if cause := self._ended_by or damage or ("the file holds no more" if few else None):
            found.append(f"ended after {n_before_tail} frames{declared}: {cause}")
        if not found and self._n_skipped:
            return f"it starts inside a stream: {self._n_skipped} frames before the first key frame cannot be decoded"
        return "; ".join(found) or None

    def partial(self, complete: bool) -> bool:
        """Whether the clip gave less than is there; what lies before the first key frame of a stream is not there."""
        return bool(self.damage) or (complete and self.n_frames < (self.n_declared or 0))

    def timed_frames(self) -> Iterator[tuple[int, int, av.VideoFrame | None]]:
        """Index, timestamp in ns from the first frame, and frame, in presentation order; None is one that is lost."""
        timestamp_ns = 0
        for index, frame in enumerate(self._frames_before_damage()):
            self.n_decoded += 1
            if frame.pts is not None:
                self.start_pts = frame.pts if self.start_pts is None else self.start_pts
                self._last_pts = frame.pts
                timestamp_ns = self._timestamp_ns(frame.pts, self.start_pts)
            elif index > 0:  # a raw stream has no clock
                timestamp_ns += round(SECOND_NS / (self.fps or 25.0))
            yield index, timestamp_ns, frame
        # Behind a tag with a wrong length the demuxer of FLV finds nothing more, and says nothing.
        if self._container.format.name == "flv" and self._lost_its_end():
            self._break(f"flv: nothing is found behind {timestamp_ns / SECOND_NS:.1f} s")
        if self.damage and self._skip:
            yield from self._timed_frames_behind_damage()

    def _lost_its_end(self) -> bool:
        last_s = Fraction(self._container.duration or 0, 1_000_000) - 1
        if (self._last_pts or 0) * self.time_base >= last_s:
            return False
        with self._opened() as container:  # the sound may go on
            return last_time(container, self._on_packet) < last_s

    def _timestamp_ns(self, pts: int, start_pts: int) -> int:
        return round((pts - start_pts) * self.time_base * SECOND_NS)

    def _timed_frames_behind_damage(self) -> Iterator[tuple[int, int, av.VideoFrame | None]]:
        more, timeline = self._packets.resume(), self._timeline()
        if timeline is None or not timeline.agrees(self.n_decoded, self.start_pts, self._last_pts):
            if more:
                self._ended_by = f"{self.damage}; frames behind it cannot be numbered"
            return
        while more:
            self._stream.codec_context.flush_buffers()
            self._joining = True
            for frame in self._frames_before_damage():
                index = timeline.index(frame.pts)
                if index is None or index < self.n_frames:
                    self._ended_by = f"{self.damage}; frames behind it are out of order"
                    return
                yield from self._lost(timeline, index)
                self.cause = None
                self.n_decoded += 1
                yield index, self._timestamp_ns(timeline.times[index], timeline.times[0]), frame
            more = self._packets.resume()
        if self.n_decoded:
            n_gaps, self._n_tail = self._n_gaps, len(timeline) - self.n_frames
            yield from self._lost(timeline, len(timeline))
            self._n_gaps = n_gaps

    def _lost(self, timeline: Timeline, stop: int) -> Iterator[tuple[int, int, None]]:
        """The frames from the next one to before `stop`."""
        if self.n_frames < stop:
            self._n_gaps += 1
            self._first_lost = self._first_lost if self.n_lost else self.n_frames
        for index in range(self.n_frames, stop):
            self.n_lost += 1
            yield index, self._timestamp_ns(timeline.times[index], timeline.times[0]), None

    def _timeline(self) -> Timeline | None:
        """When the file shows each of its frames; None where it does not say."""
        codec = self._stream.codec_context
        if self._container.format.name == "avi":
            if codec.reorder_depth and codec.name in UNTIMED_IN_AVI:
                return None
            with self._opened() as container:
                times = AviIndex(container.streams[self._stream.index]).times
            # Frames of a codec that reorders them come later than the index says.
            late = (self.start_pts - times[0]) if times and self.start_pts is not None else 0
            return Timeline([time + late for time in times]) if times else None
        gaps = self._fragments.gaps
        if gaps and not self._fragments.timed:
            return None
        with self._opened() as container:
            stream = container.streams[self._stream.index]
            packets = Packets(container, stream, self._logs, self._on_packet, gaps)
            listed = self._container.format.name in LISTED and not self._fragments.n
            return surveyed(packets, self.start_pts, os.path.getsize(self._path), listed)

    def _frames_before_damage(self) -> Iterator[av.VideoFrame]:
        """Frames up to the next sign of damage."""
        self._broken = False
        codec = self._stream.codec_context
        # A damaged picture comes out at most this many frames after the decoder complained of it, and those that are
        # shown before it but built on it come out in between.
        window = codec.reorder_depth + 2
        held: deque[av.VideoFrame] = deque()
        suspicion, suspected = 0, ""  # frames that are still held back since the last complaint, and what it was
        for frame, complaint in self._decoded():
            if self._joining:
                if frame is None or complaint or frame.is_corrupt or not frame.key_frame or frame.pts is None:
                    continue
                self._join(frame.pts)
            if complaint:
                if codec.name not in MARKING_CODECS:
                    return self._break(complaint)
                suspicion, suspected = window, complaint
            if frame is None:
                continue
            if frame.is_corrupt:
                return self._break(suspected if suspicion else "a frame is damaged")
            held.append(frame)
            while held and (not suspicion or len(held) > window):
                yield held.popleft()
            suspicion = max(suspicion - 1, 0)
        if not self._broken:
            yield from held
            if self._joining and self._joining_pts:
                self._break("it starts inside a stream and has no sound key frame")

    def _join(self, pts: int) -> None:
        """Begin with a key frame; in a broadcast that was cut, the first of them is frame 0."""
        self._joining = False
        if self._packets.lenient:
            self._packets.lenient = False
            self.start_pts = pts
            self._n_skipped = sum(earlier < pts for earlier in self._joining_pts)

    def _break(self, cause: str) -> None:
        """End a stretch of true frames."""
        self._broken = True
        self.damage = self.damage or cause
        self.cause = self.cause or cause

    def _decoded(self) -> Iterator[tuple[av.VideoFrame | None, str | None]]:
        """Each decoded frame, with what the decoder complained of since the one before.

        At damage the decoder is not flushed: it would hand out pictures that wait for a lost one to precede them, and
        their indices would be wrong.
        """
        for packet in self._packets.sound():
            if self._packets.lenient and packet is not None and packet.pts is not None:
                self._joining_pts.append(packet.pts)
            n_logs = len(self._logs)
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                cause = said(self._logs, n_logs) or plain(error)
                if not self._joining:
                    return self._break(cause)
                yield None, cause
                continue
            complaint = said(self._logs, n_logs)
            if complaint and not frames:
                yield None, complaint
            for frame in frames:
                refuse_large(frame.width, frame.height)
                yield frame, complaint
                complaint = None
        if self._packets.damage:
            self._break(self._packets.damage)
