"""Bytes and local copies of inputs, with the input's faults told from the store's."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from fsspec.core import url_to_fs

from fer_batch.storage.store import Entry, Store, has_scheme
from fer_batch.types import EnvironmentFault, MediaError, SequenceRef

T = TypeVar("T")
ATTEMPTS = 3


class NotThere(MediaError):
    """A file does not exist; what is optional may do without."""


class StoreFault(EnvironmentFault):
    """The store did not answer; says nothing about the input, so it is never committed as failed."""


def patiently(action: Callable[[], T], uri: str, what: str = "the file") -> T:
    """What a function gives that reads a URI, or `what` lies there; it is called again where the store fails.

    Raises
    ------
    MediaError
        If the file is not there or may not be read.
    StoreFault
        If the store fails repeatedly.
    """
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except FileNotFoundError as error:
            raise NotThere(
                f"{what} is not there (it vanished after it was listed, or the list or manifest that names it is wrong)"
            ) from error
        except PermissionError as error:
            if not _concerns_file(error, uri):
                raise StoreFault(f"reading {uri} was refused: {error}") from error
            raise MediaError(f"{what} may not be read: permission denied") from error
        except IsADirectoryError as error:
            raise MediaError("expected a file, found a folder") from error
        except Exception as error:
            if attempt == ATTEMPTS - 1:
                raise StoreFault(f"reading {uri} failed {ATTEMPTS} times: {error}") from error
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def _concerns_file(error: PermissionError, uri: str) -> bool:
    """Whether a refusal is about this file; a store also refuses with credentials that ran out in the night."""
    if not has_scheme(uri):
        return True
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in ("AccessDenied", "InvalidObjectState")


def read_bytes(uri: str, span: tuple[int, int] | None = None) -> bytes:
    """Content of an input or a sidecar, or some of its bytes (from the first to before the last).

    Raises
    ------
    MediaError
        If it is not there or may not be read.
    StoreFault
        If the store fails repeatedly.
    """

    def action() -> bytes:
        if not has_scheme(uri):
            with open(uri, "rb") as handle:
                if span is None:
                    return handle.read()
                handle.seek(span[0])
                return handle.read(span[1] - span[0])
        fs, path = url_to_fs(uri)
        return fs.cat_file(path, **({} if span is None else {"start": span[0], "end": span[1]}))

    return patiently(action, uri, f"the file {uri}")


def list_files(folder: str) -> dict[str, Entry]:
    """Files directly in a folder by name; none where it does not exist.

    Raises
    ------
    StoreFault
        If the store fails repeatedly.
    """
    return patiently(lambda: Store(folder).files(), folder)


@contextlib.contextmanager
def local_input(ref: SequenceRef) -> Iterator[str]:
    """Local path of a video or still, as `local_file`; pixels in a table become a picture of their own.

    Raises
    ------
    MediaError, StoreFault
        As `read_bytes`, or if the pixels are no square of grey values.
    """
    if ref.span is None:
        with local_file(ref.uri, ref.size) as path:
            yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".pgm", prefix="fer_batch-") as handle:
        handle.write(grey_picture(read_bytes(ref.uri, ref.span)))
        handle.flush()
        yield handle.name


def grey_picture(pixels: bytes) -> bytes:
    """A square PGM from grey values that are written as text (FER2013).

    Raises
    ------
    MediaError
        If they are no square of values of 0 to 255.
    """
    try:
        values = bytes(map(int, pixels.split()))
    except ValueError as error:
        raise MediaError(f"expected grey values of 0 to 255: {error}") from None
    side = math.isqrt(len(values))
    if not side or side * side != len(values):
        raise MediaError(f"expected a square of grey values, got {len(values)}")
    return b"P5 %d %d 255\n" % (side, side) + values


@contextlib.contextmanager
def local_file(uri: str, size: int = -1) -> Iterator[str]:
    """Local path of an input: itself where it is local, else a temporary copy that goes afterwards.

    Raises
    ------
    MediaError, StoreFault
        As `read_bytes`, or if a store gives another number of bytes than `size`, where that is known.
    """
    if not has_scheme(uri):

        def probe() -> None:
            with open(uri, "rb"):
                pass

        patiently(probe, uri)
        yield uri
        return
    handle, path = tempfile.mkstemp(suffix=os.path.splitext(uri)[1], prefix="fer_batch-")
    os.close(handle)
    try:

        def action() -> None:
            fs, remote = url_to_fs(uri)
            fs.get_file(remote, path)

        patiently(action, uri)
        if 0 <= size != os.path.getsize(path):
            raise StoreFault(f"{uri} gave {os.path.getsize(path)} of its {size} bytes")
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
