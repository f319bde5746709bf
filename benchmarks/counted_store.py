"""A filesystem that answers as an object store does, keeps its objects on the disk, and counts requests.

A listing is a request for each thousand names that it holds. Counts are kept in this process alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from typing import Any, ClassVar

from fsspec.spec import AbstractFileSystem

PAGE = 1000  # names of an answer to a listing


class CountedFileSystem(AbstractFileSystem):
    """Objects below the folder that `counted://` names."""

    protocol = "counted"
    cachable = False
    requests: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("counted://").rstrip("/")

    def _info(self, path: str, found: os.stat_result, folder: bool) -> dict[str, Any]:
        if folder:
            return {"name": path, "size": 0, "type": "directory"}
        # The MD5 of the bytes, as S3 has it, for objects that are read often enough to be packed; else what is cheap.
        tag = f"{found.st_mtime_ns:x}-{found.st_ino:x}"
        if "/_commits/" in path:
            with open(path, "rb") as handle:
                tag = hashlib.md5(handle.read(), usedforsecurity=False).hexdigest()
        return {"name": path, "size": found.st_size, "type": "file", "ETag": tag}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Objects and prefixes directly below a prefix."""
        path = self._strip_protocol(path)
        try:
            with os.scandir(path) as items:
                if detail:
                    found: list[Any] = [self._info(one.path, one.stat(), one.is_dir()) for one in items]
                else:
                    found = [one.path for one in items]
        except (FileNotFoundError, NotADirectoryError):
            self.requests["LIST"] += 1
            raise FileNotFoundError(path) from None
        self.requests["LIST"] += max(1, -(-len(found) // PAGE))
        return found

    def find(self, path: str, *_: Any, detail: bool = False, **__: Any) -> Any:
        """Every object below a prefix."""
        walked = os.walk(self._strip_protocol(path))
        paths = [os.path.join(parent, name) for parent, _folders, names in walked for name in names]
        self.requests["LIST"] += max(1, -(-len(paths) // PAGE))
        return {one: self._info(one, os.stat(one), False) for one in paths} if detail else paths

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Of an object or prefix."""
        self.requests["HEAD"] += 1
        path = self._strip_protocol(path)
        return self._info(path, os.stat(path), os.path.isdir(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of an object."""
        self.requests["GET"] += 1
        with open(self._strip_protocol(path), "rb") as handle:
            return handle.read()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write an object."""
        self.requests["PUT"] += 1
        path = self._strip_protocol(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb" if mode == "create" else "wb") as handle:
            handle.write(value)

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove objects, a thousand a request, and list what is below a prefix before."""
        if recursive:
            found = self.find(str(path)) or [self._strip_protocol(str(path))]
        else:
            found = [self._strip_protocol(one) for one in ([path] if isinstance(path, str) else path)]
        self.requests["DELETE"] += -(-len(found) // PAGE)
        for one in found:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one)
        if recursive:
            for parent, _folders, _names in os.walk(self._strip_protocol(str(path)), topdown=False):
                os.rmdir(parent)
