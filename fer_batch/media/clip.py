"""The true frames of a video file. Runs in the decoding process; the only module that touches FFmpeg.

A frame counts as true only while nothing shows damage. FFmpeg conceals lost blocks, and every frame until the next key
frame is built on what was concealed; a clip therefore ends at the first frame that was (see `Clip.true_frames`).
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import av.logging
import av.stream

from fer_batch.media.limits import Unreadable, plain, refuse_large
from fer_batch.media.sampling import SECOND_NS

# Cut anywhere by recorders and broadcasters, and without a frame count: what cannot be decoded before the first key
# frame is no damage. In an indexed file it is, and leaving it out would shift every frame's index.
STREAM_FORMATS = frozenset({"mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v"})
# Their tables or checks tell how many frames a gap has swallowed, so that frames behind it keep their index.
COUNTING_FORMATS = frozenset({"avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
# These mark each frame that they concealed, so an error in their log alone may be harmless (a lost reference that no
# picture uses); with all others the log is the only sign of damage there is.
MARKING_CODECS = frozenset(
    {"h264", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "msmpeg4v1", "wmv1", "wmv2", "h263", "flv"}
)


class Clip:
    """One video file, read from first to last frame.

    Attributes
    ----------
    n_declared
        Frames the container promises to show, None where it says nothing believable.
    fps
        Average rate the container states, None where it states none between 0 and 1000 (exclusive).
    n_decoded
        True frames so far; `timed_frames` counts them.
    start_pts
        Timestamp of frame 0, None until it is known.
    damage
        What ended the clip early, None where nothing did.

    Parameters
    ----------
    path
        A local file.
    on_packet
        Called before each packet is read, so that a process that dies here can be said to have died there.

    Raises
    ------
    Unreadable
        If it does not open as a video.
    MemoryError
        At any time, if the process may not have the memory that FFmpeg asks for: that is no damage.
    """

    def __init__(self, path: str, on_packet: Callable[[], None] = lambda: None) -> None:
        self.n_decoded = 0
        self.start_pts: int | None = None
        self.damage: str | None = None
        self._path = path
        self._on_packet = on_packet
        self._n_discarded = 0
        self._n_skipped = 0
        self._left_out: list[tuple[int, str]] = []  # damaged frames of an intra-only codec
        self._joining_pts: list[int] = []
        self._out_of_step = False
        # Local: only this thread; a decoder with one thread logs from the thread that calls it.
        self._capture = av.logging.Capture(True)

    def __enter__(self) -> Clip:
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        self._logs = self._capture.__enter__()
        try:
            # "file:" and the whitelist keep a name like "http:x" or a playlist inside a file from reaching elsewhere.
            self._container = av.open(
                f"file:{self._path}", metadata_errors="replace", container_options={"protocol_whitelist": "file"}
            )
        except MemoryError:
            self._capture.__exit__(None, None, None)
            raise
        except (av.error.FFmpegError, ValueError) as error:
            self._capture.__exit__(None, None, None)
            raise Unreadable(f"it does not open as a video: {self._said(0) or plain(error)}") from None
        stream: Any = self._container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            self.__exit__()
            raise Unreadable("it has no video stream")
        stream.thread_count = 1  # a worker owns one core, and threads report damage late
        self._stream = stream
        self._joining = self._container.format.name in STREAM_FORMATS  # until the first key frame
        self._independent = stream.codec_context.codec.intra_only and self._container.format.name in COUNTING_FORMATS
        self.time_base = stream.time_base or Fraction(1, SECOND_NS)
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 1000 else None
        # A frame takes at least one byte, which refutes the wild counts of broken headers.
        self._n_listed = stream.frames if 0 < stream.frames <= os.path.getsize(self._path) else None
        return self

    def __exit__(self, *exception: object) -> None:
        self._capture.__exit__(None, None, None)
        self._container.close()

    @property
    def n_declared(self) -> int | None:
        """Frames listed less those an edit list hides, as far as the file was read; None where more were decoded."""
        if self._n_listed is None or self._n_listed - self._n_discarded < self.n_decoded:
            return None
        return self._n_listed - self._n_discarded or None

    @property
    def cause(self) -> str | None:
        """What was damaged first."""
        return self._left_out[0][1] if self._left_out else self.damage

    def reason(self, complete: bool) -> str | None:
        """One sentence where the clip gave fewer frames than it should, else None."""
        declared = f", {self.n_declared} declared" if self.n_declared else ""
        if self.damage:  # its frames before that may also have gaps; one sentence is enough
            return f"ended after {self.n_decoded} frames{declared}: {self.damage}"
        if self._left_out:
            index, complaint = self._left_out[0]
            return f"{len(self._left_out)} damaged frames are left out, the first is frame {index}: {complaint}"
        if complete and self.n_decoded < (self.n_declared or 0):
            return f"ended after {self.n_decoded} frames{declared}: the file holds no more"
        if self._n_skipped:
            return f"it starts inside a stream: {self._n_skipped} frames before the first key frame cannot be decoded"
        return None

    def partial(self, complete: bool) -> bool:
        """Whether the clip gave less than is there; what lies before the first key frame of a stream is not there."""
        few = complete and self.n_decoded < (self.n_declared or 0)
        return bool(self.damage or self._left_out or few)

    def timed_frames(self) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Index, timestamp in ns from the first frame, and frame, in presentation order; counts `n_decoded`."""
        timestamp_ns = 0
        for index, frame in self.true_frames():
            self.n_decoded += 1
            if frame.pts is not None:
                self.start_pts = frame.pts if self.start_pts is None else self.start_pts
                timestamp_ns = round((frame.pts - self.start_pts) * self.time_base * SECOND_NS)
            elif index > 0:  # a raw stream has no clock
                timestamp_ns += round(SECOND_NS / (self.fps or 25.0))
            yield index, timestamp_ns, frame

    def true_frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Index and frame, in presentation order."""
        if self._independent:
            return self._independent_frames()
        return enumerate(self._frames_before_damage())

    def _independent_frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames of a codec without prediction (MJPEG): a damaged one is left out and harms no other."""
        for index, (frame, complaint) in enumerate(self._decoded()):
            if self._left_out and self._out_of_step:
                self.damage = f"frames are missing behind frame {self._left_out[-1][0]}, {self._left_out[-1][1]}"
                return
            if frame is None or complaint or frame.is_corrupt:
                self._left_out.append((index, complaint or "it is damaged"))
            else:
                yield index, frame

    def _frames_before_damage(self) -> Iterator[av.VideoFrame]:
        """Frames up to the first sign of damage, which `damage` then names."""
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
                self._joining = False
                self._n_skipped = sum(pts < frame.pts for pts in self._joining_pts)
            if complaint:
                if codec.name not in MARKING_CODECS:
                    self.damage = complaint
                    return
                suspicion, suspected = window, complaint
            if frame is None:
                continue
            if frame.is_corrupt:
                self.damage = suspected if suspicion else "a frame is damaged"
                return
            held.append(frame)
            while held and (not suspicion or len(held) > window):
                yield held.popleft()
            suspicion = max(suspicion - 1, 0)
        if self.damage is None:
            yield from held
            if self._joining and self._joining_pts:
                self.damage = "it starts inside a stream and has no sound key frame"

    def _decoded(self) -> Iterator[tuple[av.VideoFrame | None, str | None]]:
        """Each decoded frame, with what the decoder complained of since the one before.

        At damage the decoder is not flushed: it would hand out pictures that wait for a lost one to precede them, and
        their indices would be wrong.
        """
        for packet in self._sound_packets():
            n_logs = len(self._logs)
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                if self._joining or self._independent:
                    yield None, self._said(n_logs) or plain(error)
                    continue
                self.damage = self._said(n_logs) or plain(error)
                return
            complaint = self._said(n_logs)
            if complaint and not frames:
                yield None, complaint
            for frame in frames:
                refuse_large(frame.width, frame.height)
                yield frame, complaint
                complaint = None

    def _sound_packets(self) -> Iterator[av.Packet | None]:
        """Packets up to the first that is damaged; None, which flushes the decoder, behind the last of a sound file.

        One packet is held back: a demuxer notices lost bytes only when it looks for the packet behind them, and the
        packet before the gap may hold part of it.
        """
        before: av.Packet | None = None
        packets = self._container.demux(self._stream)
        for n_read in itertools.count():
            n_logs = len(self._logs)
            self._on_packet()
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                self.damage = self._said(n_logs) or plain(error)
                return
            complaint = self._said(n_logs)
            if complaint and not self._joining and self._logs[n_logs][1] == self._container.format.name:
                self.damage = complaint
                return
            # What else is said here is the parser's, of this packet and not of a gap.
            if not self._joining and (complaint or (packet is not None and packet.is_corrupt)):
                self.damage = complaint or "a packet is incomplete"
                if before is not None:
                    yield before
                return
            if packet is not None and packet.size == 0:
                continue  # PyAV's mark of the end, or a frame dropped by the recorder; to the decoder it means flush
            if packet is not None and self._independent and n_read == 0:
                self.start_pts = packet.pts  # the first frame itself may be damaged
            if packet is not None and self._independent and self._container.format.name == "avi":
                self._out_of_step |= not self._in_step(n_read, packet)
            if before is not None:
                self._n_discarded += before.is_discard
                if self._joining and before.pts is not None:
                    self._joining_pts.append(before.pts)
                yield before
            if packet is None:
                yield None
                return
            before = packet

    def _in_step(self, n_read: int, packet: av.Packet) -> bool:
        """Whether a packet of an AVI lies where the file's index has it; behind a gap the demuxer counts too few."""
        entries = self._stream.index_entries
        if n_read >= len(entries) or packet.pos is None:
            return False
        if n_read == 0:
            self._index_shift = packet.pos - entries[0].pos
        return packet.pos - entries[n_read].pos == self._index_shift

    def _said(self, n_logs: int) -> str | None:
        """The first error FFmpeg logged after its first `n_logs` messages."""
        return f"{self._logs[n_logs][1]}: {self._logs[n_logs][2].strip()}" if len(self._logs) > n_logs else None
