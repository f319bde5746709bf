"""The packets of a video file up to what is damaged, and again from the next key frame behind it.

Runs in the decoding process.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.error

from fer_batch.media.fragments import Gap
from fer_batch.media.limits import plain

# Errors of a demuxer from one packet to the next, after which it is taken to stand still.
MAX_ERRORS = 100

Logs = Sequence[tuple[int, str, str]]  # of `av.logging.Capture`: level, who, what


class Read(NamedTuple):
    """The next packet, None at the end of the file or behind an error.

    `gap` says that the container lost bytes before it, `corrupt` that it is damaged itself.
    """

    packet: av.Packet | None
    gap: str | None = None
    corrupt: str | None = None


class Packets:
    """Packets of one stream, in the order of the file.

    Attributes
    ----------
    damage
        What ended the last `sound`, None where it was the end of the file.
    lenient
        Whether damage is passed over; before the first key frame of a broadcast there is always some.
    n_discarded
        Packets so far whose frame an edit list hides.

    Parameters
    ----------
    container, stream
        An open file and its video stream.
    logs
        What FFmpeg logs, as it comes.
    on_packet
        Called before each packet is read.
    gaps
        Places of the file, in order, from which on something is missing that FFmpeg does not miss.
    """

    def __init__(
        self, container: Any, stream: Any, logs: Logs, on_packet: Callable[[], None], gaps: Sequence[Gap] = ()
    ) -> None:
        self.damage: str | None = None
        self.lenient = False
        self.n_discarded = 0
        self._container, self._stream, self._logs, self._on_packet = container, stream, logs, on_packet
        self._demuxed = container.demux(stream)
        self._held: av.Packet | None = None
        self._ended = self._resumed = False
        self._n_errors = 0
        self._index = AviIndex(stream) if container.format.name == "avi" else None
        self._gaps = deque(gaps)

    def sound(self) -> Iterator[av.Packet | None]:
        """Packets up to the first that is damaged; None, which flushes the decoder, behind the last of a sound file.

        One packet is held back: a demuxer notices lost bytes only when it looks for the packet behind them, and the
        packet before the gap may hold part of it.
        """
        while not self._ended:
            packet, gap, corrupt = self._read()
            if gap:
                self.damage, self._held = gap, packet
                return
            before, self._held = self._held, None if corrupt else packet
            if before is not None:
                self.n_discarded += before.is_discard
                yield before
            if corrupt:
                self.damage = corrupt
                return
            if packet is None:
                self._ended = True
                yield None

    def resume(self) -> bool:
        """Go to the next key frame, with which `sound` then begins; whether there is one."""
        self.damage, self.lenient, self._resumed = None, False, True
        while not self._ended:
            if self._held is not None and self._held.is_keyframe:
                return True
            packet, gap, corrupt = self._read()
            self._ended |= packet is None and gap is None
            self._held = None if corrupt else packet
        return False

    def everything(self) -> Iterator[Read]:
        """Every packet, damaged ones and gaps too, up to the end of the file."""
        while not self._ended:
            found = self._read()
            if found.packet is None and found.gap is None:
                return
            yield found

    def _read(self) -> Read:
        """The next packet that is not empty: PyAV's mark of the end, or a frame that the recorder dropped."""
        while True:
            n_logs = len(self._logs)
            self._on_packet()
            try:
                packet = next(self._demuxed, None)
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                self._n_errors += 1
                self._ended |= self._n_errors > MAX_ERRORS
                self._demuxed = self._container.demux(self._stream)
                return Read(None, gap=said(self._logs, n_logs) or plain(error))
            complaint = said(self._logs, n_logs)
            empty = packet is not None and packet.size == 0
            if complaint and not self.lenient and self._logs[n_logs][1] == self._container.format.name:
                return Read(None if empty else packet, gap=complaint)
            if not empty:
                return self._judged(packet, complaint)

    def _judged(self, packet: av.Packet | None, complaint: str | None) -> Read:
        """A packet with what is wrong with it; what is said here by others than the container is the parser's."""
        if gap := self._passed(packet):
            return Read(packet, gap=gap)
        if packet is None or self.lenient:
            return Read(packet)
        self._n_errors = 0
        if complaint or packet.is_corrupt:
            return Read(packet, corrupt=complaint or "a packet is incomplete")
        if self._index is not None:
            shifted = self._index.renumber(packet)
            if shifted:
                return Read(packet, gap=f"avi: frames before frame {packet.dts} are missing")
            if shifted is None and self._resumed:
                return Read(packet, corrupt="avi: the file's index has no such packet")
        return Read(packet)

    def _passed(self, packet: av.Packet | None) -> str | None:
        """The first gap before a packet, or before the end, that no packet before it was behind."""
        passed = []
        while self._gaps and (packet is None or (packet.pos is not None and packet.pos >= self._gaps[0].at)):
            passed.append(self._gaps.popleft().cause)
        return passed[0] if passed else None


class AviIndex:
    """The index of an AVI, which knows the number of each frame; behind a gap the demuxer counts too few.

    Parameters
    ----------
    stream
        Of a file from which nothing was read yet.
    """

    def __init__(self, stream: Any) -> None:
        entries = [entry for entry in stream.index_entries if entry.size > 0]
        self.times = [entry.timestamp for entry in entries]
        self._by_place = {entry.pos: (entry.timestamp, entry.is_keyframe) for entry in entries}
        self._first = entries[0].pos if entries else 0
        self._shift: int | None = None  # from the places in the index to those of packets
        self._behind = 0

    def renumber(self, packet: av.Packet) -> bool | None:
        """Give a packet the time that its place in the file says, and whether it is a key frame's.

        Returns
        -------
        Whether frames are missing before it since the packet before; None where the index does not know it.
        """
        if packet.pos is None or packet.dts is None:
            return None
        self._shift = packet.pos - self._first if self._shift is None else self._shift
        entry = self._by_place.get(packet.pos - self._shift)
        if entry is None:
            return None
        true, packet.is_keyframe = entry
        behind, before = true - packet.dts, self._behind
        if behind:
            packet.pts = None if packet.pts is None else packet.pts + behind
            packet.dts = true
        self._behind = behind
        return behind != before


def last_time(container: Any, on_packet: Callable[[], None]) -> Fraction:
    """Latest time of a packet of any stream, sound too, in s; 0 where there is none."""
    latest = Fraction(0)
    with contextlib.suppress(av.error.EOFError, av.error.InvalidDataError):
        for packet in container.demux():
            on_packet()
            if packet.dts is not None and packet.time_base is not None:
                latest = max(latest, packet.dts * packet.time_base)
    return latest


def said(logs: Logs, n_logs: int) -> str | None:
    """The first error FFmpeg logged after its first `n_logs` messages."""
    return f"{logs[n_logs][1]}: {logs[n_logs][2].strip()}" if len(logs) > n_logs else None
