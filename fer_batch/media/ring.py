"""Messages with pictures from one process to another: words through a socket, pixels through shared memory.

The sender puts each picture into a free slot of an anonymous shared file and goes on with the next one while the
receiver looks at it. A slot is free again when no array at the receiving end refers to it. The file has no name, so
whoever dies, and however, nothing of it is left behind. Words travel in batches, because waking the other process for
each frame of a small video costs as much as decoding it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import socket
import struct
import tempfile
import time
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.messages import Message

RING_BYTES = 16 << 20
MIN_SLOTS, MAX_SLOTS = 4, 32
FLUSH_EVERY_S = 0.02
_LENGTH = struct.Struct("<I")
_TOKEN = struct.Struct("<BB")  # generation of the ring, slot


class Sender:
    """The end that has the pictures.

    Parameters
    ----------
    connection
        A stream socket of the Unix family, in blocking mode.
    ring_bytes
        Shared memory for pictures on their way; a larger picture gets what it needs.

    Attributes
    ----------
    at_once
        Whether no message waits for others.
    """

    def __init__(self, connection: socket.socket, ring_bytes: int = RING_BYTES) -> None:
        self.sent_at = time.monotonic()
        self.at_once = False
        self._connection = connection
        self._ring_bytes = ring_bytes
        self._generation = 0
        self._memory: NDArray[np.uint8] = np.empty((0, 0), np.uint8)  # shape (slots, bytes)
        self._free: list[int] = []
        self._unsent = bytearray()
        self._n_unsent = 0  # pictures

    def send(self, message: Message, picture: NDArray[np.uint8] | None = None) -> None:
        """One message; waits while the receiver holds every slot. Those with a picture may wait for others.

        `picture` is uint8 of any shape.

        Raises
        ------
        ConnectionError
            If the receiver is gone.
        MemoryError
            If there is no memory for the picture.
        """
        if picture is not None:
            slot = self._slot(picture.nbytes)
            np.copyto(self._memory[slot, : picture.nbytes].reshape(picture.shape), picture)
            message = {**message, "slot": slot, "shape": picture.shape}
            self._n_unsent += 1
        self._unsent += _framed(message)
        batch = 0 if self.at_once else len(self._memory) // 4
        if picture is None or self._n_unsent >= batch or time.monotonic() - self.sent_at > FLUSH_EVERY_S:
            self._flush()

    def _flush(self) -> None:
        self._connection.sendall(self._unsent)
        self._unsent.clear()
        self._n_unsent = 0
        self.sent_at = time.monotonic()

    def _slot(self, n_bytes: int) -> int:
        n_slots, slot_bytes = self._memory.shape
        too_large = n_slots * slot_bytes > self._ring_bytes and slot_bytes > 4 * n_bytes  # left by a huge picture
        if n_bytes > slot_bytes or too_large:
            self._renew(n_bytes)
        while not self._free:
            self._flush()
            tokens = self._connection.recv(_TOKEN.size * MAX_SLOTS)
            if not tokens:
                raise BrokenPipeError("the receiver is gone")
            self._free += [slot for generation, slot in _TOKEN.iter_unpack(tokens) if generation == self._generation]
        return self._free.pop()  # the one whose pages were used last

    def _renew(self, n_bytes: int) -> None:
        """Begin another ring; what the receiver still holds of the old one lives as long as it is held."""
        self._flush()
        # With two slots the receiver copies; the address space of a picture that large is worth more than its time.
        fewest = MIN_SLOTS if n_bytes <= self._ring_bytes else 2
        n_slots = min(max(self._ring_bytes // n_bytes, fewest), MAX_SLOTS)
        file = nameless_file()
        try:
            os.ftruncate(file, n_slots * n_bytes)
            self._memory = np.empty((0, 0), np.uint8)
            self._memory = np.frombuffer(mmap.mmap(file, n_slots * n_bytes), np.uint8).reshape(n_slots, n_bytes)
            self._generation = (self._generation + 1) % 256
            self._free = list(range(n_slots))
            message = {"ring": [self._generation, n_slots, n_bytes]}
            socket.send_fds(self._connection, [_framed(message)], [file])
        except OSError as error:
            raise (error if isinstance(error, ConnectionError) else MemoryError(str(error))) from None
        finally:
            os.close(file)


class Receiver:
    """The end that looks at the pictures; for one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._buffer = bytearray()
        self._files: deque[int] = deque()
        self._ring: _Ring | None = None

    def receive(self, timeout_s: float) -> tuple[Message, NDArray[np.uint8] | None]:
        """Next message, and its picture (uint8, of the shape that was sent) if it has one; waits `timeout_s` seconds.

        The picture is the sender's slot itself while slots are plenty, else a copy; either way it stays as it is for
        as long as it is referred to.

        Raises
        ------
        TimeoutError
            If no whole message came in that time.
        EOFError
            If the sender is gone.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._parsed()
            if message is None:
                self._read(deadline)
            elif "ring" in message:
                self._ring = _Ring(self._connection, self._files.popleft(), *message["ring"])
            elif "slot" in message:
                assert self._ring is not None
                return message, self._ring.picture(message["slot"], tuple(message["shape"]))
            else:
                return message, None

    def close(self) -> None:
        """Close the connection; pictures that were received stay."""
        self._connection.close()
        while self._files:
            os.close(self._files.popleft())

    def _parsed(self) -> Message | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
        if len(self._buffer) < end:
            return None
        message = json.loads(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return message

    def _read(self, deadline: float) -> None:
        if self._ring is not None:
            self._ring.give_back()
        if not self._poll.poll(max(deadline - time.monotonic(), 0.0) * 1000):
            raise TimeoutError
        try:
            data, files, _, _ = socket.recv_fds(self._connection, 1 << 16, 4)
        except ConnectionResetError:
            data, files = b"", []
        self._files += files
        if not data:
            raise EOFError
        self._buffer += data


class _Ring:
    """One shared file at the receiving end; alive while a picture in it is."""

    def __init__(self, connection: socket.socket, file: int, generation: int, n_slots: int, slot_bytes: int) -> None:
        with contextlib.closing(os.fdopen(file, "rb")):
            memory = mmap.mmap(file, n_slots * slot_bytes)
        self.memory = np.frombuffer(memory, np.uint8).reshape(n_slots, slot_bytes)
        self.connection = connection
        self.generation = generation
        self.lent: set[int] = set()
        self._returned: list[int] = []

    def picture(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The picture in a slot."""
        if len(self._returned) >= len(self.memory) // 4:
            self.give_back()
        lent = np.asarray(_Slot(self, slot, shape))
        # Two slots are the sender's, so that it never waits for arrays that somebody keeps for good.
        return lent if len(self.lent) <= len(self.memory) - 2 else lent.copy()

    def give_back(self) -> None:
        """Tell the sender which slots are free again."""
        returned, self._returned = self._returned, []
        if returned:
            with contextlib.suppress(OSError):  # the sender is gone and needs them no more
                self.connection.send(b"".join(_TOKEN.pack(self.generation, slot) for slot in returned))

    def release(self, slot: int) -> None:
        """No array refers to the slot any more."""
        self.lent.discard(slot)
        self._returned.append(slot)


class _Slot:
    """What arrays on a slot refer to in the end, so that it lives as long as the last of them."""

    def __init__(self, ring: _Ring, slot: int, shape: tuple[int, ...]) -> None:
        self._ring, self._slot = ring, slot
        ring.lent.add(slot)
        address = ring.memory[slot].__array_interface__["data"][0]
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": shape, "data": (address, False)}

    def __del__(self) -> None:
        self._ring.release(self._slot)


def _framed(message: Mapping[str, object]) -> bytes:
    text = json.dumps(message).encode()
    return _LENGTH.pack(len(text)) + text


def nameless_file() -> int:
    """Descriptor of an empty file that no folder holds; what is in it goes with whoever holds it last."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fer_batch pictures")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
