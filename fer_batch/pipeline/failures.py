"""What is said of an error that is not in what was asked: one sentence, and what to do.

Engines and stores raise classes of their own, and what a worker raised arrives as text within them. Nothing here
imports them: they are told by their names and by what the operating system says.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from fer_batch.types import EnvironmentFault, InputError

_ERRNO = re.compile(r"\[Errno (\d+)\] [^:\n]+(?:: '([^'\n]*)')?")
_DENIED = re.compile(r"PermissionError: (?!\[Errno)([^\n]+)|An error occurred \(([A-Za-z]+)\)[^\n]*")
_ACCELERATOR = re.compile(r"(?:CUDA|HIP|XPU|MPS backend)(?: error:)? out of memory|torch\.(?:cuda\.)?OutOfMemoryError")
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Fault)\b.*)$", re.MULTILINE)  # last lines of tracebacks


class _Said(NamedTuple):
    """A sentence without its end."""

    problem: str
    advice: str


_SYSTEM = {  # what the operating system says; {} is where
    errno.ENOSPC: _Said("no space or no inodes are left{}", "free some (df -h, df -i)"),
    errno.EDQUOT: _Said("the quota of disk space is used up{}", "free some, or have it raised"),
    errno.EFBIG: _Said("a file became larger than is allowed{}", "raise the limit (ulimit -f)"),
    errno.EROFS: _Said("the file system can only be read{}", "have it mounted for writing, or give another --output"),
    errno.EACCES: _Said("permission was denied{}", "give this user access, or give another --output"),
    errno.EPERM: _Said("permission was denied{}", "give this user access, or give another --output"),
    errno.EIO: _Said("the disk or share fails (input/output error){}", "see that it is mounted and sound"),
    errno.ESTALE: _Said("the share was mounted anew or went away (stale file handle){}", "see that it is mounted"),
    errno.ENOTCONN: _Said("the share went away{}", "see that it is mounted"),
    errno.EMFILE: _Said("too many files are open{}", "raise the limit (ulimit -n)"),
    errno.ENFILE: _Said("too many files are open on this machine{}", "end other programs"),
    errno.ENOMEM: _Said("there is not enough memory{}", "give fewer CPUs (resources.num_cpus)"),
    errno.ECONNREFUSED: _Said("the store refuses connections{}", "see that it runs, and its endpoint"),
}
_STORE = {  # codes of S3
    "ExpiredToken": _Said("the credentials of the store ran out", "get new ones"),
    "InvalidAccessKeyId": _Said("the store does not know the access key", "check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": _Said("the store does not accept the secret key", "check AWS_SECRET_ACCESS_KEY"),
    "NoSuchBucket": _Said("the bucket does not exist", "check the URL"),
    "SlowDown": _Said("the store has more requests than it takes", "wait, or give fewer CPUs (resources.num_cpus)"),
}
_REFUSED = _Said("the store refused access", "check the credentials and what they may read and write")
_LOST = _Said(
    "Ray, which runs the tasks, lost a process or machine of its own", "it may have been ended for lack of memory"
)
_WORKER = _Said(
    "a worker process was ended, most often for lack of memory",
    "give fewer CPUs (resources.num_cpus) or smaller batches (explain.batch_size)",
)
_GPU = _Said("the GPU has not enough memory", "give smaller batches (explain.batch_size), or free it of other programs")
_OBJECTS = _Said(
    "Ray's object store is full", "raise resources.object_store_mb, or free space where Ray keeps its files (/tmp/ray)"
)
_ENGINE = {  # names of classes of Ray; others have classes of these names too
    "LocalRayletDiedError": _LOST,
    "NodeDiedError": _LOST,
    "OwnerDiedError": _LOST,
    "ObjectLostError": _LOST,
    "RpcError": _LOST,
    "RaySystemError": _LOST,
    "ObjectStoreFullError": _OBJECTS,
    "OutOfDiskError": _OBJECTS,
    "OutOfMemoryError": _WORKER,
    "WorkerCrashedError": _WORKER,
    "RayActorError": _WORKER,
    "ActorDiedError": _WORKER,
}
_CLIENT = {  # names of classes of the clients of stores
    "NoCredentialsError": _Said("there are no credentials for the store", "set AWS_ACCESS_KEY_ID and its secret"),
    "EndpointConnectionError": _Said("the store does not answer", "check its endpoint and the network"),
    "ConnectTimeoutError": _Said("the store does not answer", "check its endpoint and the network"),
    "ClientConnectorError": _Said("the store does not answer", "check its endpoint and the network"),
    "MemoryError": _Said("there is not enough memory", "give fewer CPUs (resources.num_cpus)"),
}


def failure_lines(error: BaseException, resumable: bool) -> list[str]:
    """Lines that tell a person what went wrong, and what to do.

    Parameters
    ----------
    error
        Whatever a command raised.
    resumable
        Whether the same command goes on where it was.
    """
    kept = "; what was finished is kept: run the same command again" if resumable else ""
    sentence, is_ours = _sentence(error)
    if is_ours:
        return [f"error: {sentence}{kept}"]
    if sentence:
        return [f"error: {sentence}{kept}", "FER_BATCH_TRACEBACK=1 shows the whole text."]
    again = "What was finished is kept; run the same command again. " if resumable else ""
    return [f"error: {failure_sentence(error)}", f"{again}FER_BATCH_TRACEBACK=1 shows where."]


def failure_sentence(error: BaseException) -> str:
    """What went wrong, as one sentence without its full stop."""
    cause = getattr(error, "cause", None) or error
    raised = next((line for one in _chain(error) if _is_of_constructor(str(one)) and (line := _last_raised(one))), None)
    return _sentence(error)[0] or raised or f"{type(cause).__name__}: {_plain(cause)[:500]}"


def _is_of_constructor(text: str) -> bool:
    """Whether an error of Ray says what was raised where a worker was made, or lacked a package; it did not die."""
    return "creation task" in text or text.startswith("System error: No module named")


def _last_raised(error: BaseException) -> str | None:
    """Class and message of what was raised last in the text of an error."""
    found = _RAISED.findall(str(error))
    return " ".join(found[-1].split())[:500] if found else None


def _sentence(error: BaseException) -> tuple[str, bool]:
    """What is said of a known error, and whether the error says so itself; an empty sentence of an unknown one."""
    ours = next((one for one in _chain(error) if isinstance(one, EnvironmentFault | InputError)), None)
    if ours is not None:
        return _plain(ours), True
    said = next((said for one in _chain(error) if (said := _known(one))), None)
    return ("" if said is None else f"{said.problem}; {said.advice}"), False


def _plain(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error  # of an error of a task, whose text is a traceback
    return " ".join(str(cause).split()) or type(cause).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the outermost first."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        cause = getattr(one, "cause", None)
        pending += [cause if isinstance(cause, BaseException) else None, one.__cause__]


def _known(error: BaseException) -> _Said | None:
    """What is said of one error of a chain; of a task's error, from the text of what the worker raised."""
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return _at(error.errno, error.filename)
    text = f"{type(error).__name__}: {error}"
    numbers = [match for match in _ERRNO.finditer(text) if int(match[1]) in _SYSTEM]
    if numbers:
        return _at(int(numbers[-1][1]), numbers[-1][2])
    denied = _DENIED.search(text)
    if denied:
        return _STORE.get(denied[2] or "", _REFUSED) if not denied[2] or _concerns_access(denied[2]) else None
    if _ACCELERATOR.search(text) or any(_is_torch_memory(kind) for kind in type(error).__mro__):
        return _GPU
    if _is_of_constructor(str(error)):
        return None
    kinds = type(error).__mro__
    clients = [_CLIENT.get(kind.__name__) for kind in kinds]
    engine = [_ENGINE.get(kind.__name__) for kind in kinds if kind.__module__.startswith("ray.")]
    return next((said for said in clients + engine if said), None)


def _is_torch_memory(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch" and kind.__name__ == "OutOfMemoryError"


def _concerns_access(code: str) -> bool:
    return code in _STORE or code in ("AccessDenied", "403", "Forbidden", "AllAccessDisabled")


def _at(number: int, where: object) -> _Said:
    said = _SYSTEM[number]
    return said._replace(problem=said.problem.format(f" for {os.fsdecode(where)!r}" if where else ""))  # type: ignore[arg-type]
