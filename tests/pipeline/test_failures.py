"""What is said of errors that are not in what was asked."""

import errno

import pytest
import torch
from ray.exceptions import ActorDiedError, LocalRayletDiedError, RaySystemError, RayTaskError, UserCodeException

from fer_batch.pipeline.failures import failure_lines
from fer_batch.types import EnvironmentFault


def as_from_a_task(cause, text):
    """What the driver gets where a task raised: the cause, and what was before it as text alone."""
    return RayTaskError("f", text, cause, proctitle="t", pid=1, ip="127.0.0.1").as_instanceof_cause()


def first(error, resumable=True):
    line, *_ = failure_lines(error, resumable)
    return line


def test_a_full_disk_is_said_with_what_to_do():
    with pytest.raises(OSError) as caught, open("/dev/full", "wb", buffering=0) as handle:
        handle.write(b"x")
    line = first(caught.value)
    assert line.startswith("error: no space or no inodes are left") and "df -i" in line
    assert line.endswith("what was finished is kept: run the same command again")
    assert "again" not in first(caught.value, resumable=False)


def test_what_a_worker_raised_is_found_in_the_text_of_its_task():
    inner = str(OSError(errno.EROFS, "Read-only file system", "/out/_stage/a.parquet"))
    text = f"Traceback (most recent call last):\n  File x\nOSError: {inner}\n\nThe above exception ..."
    error = as_from_a_task(UserCodeException("UDF failed to process a data block."), text)
    lines = failure_lines(error, True)
    assert lines[0].startswith("error: the file system can only be read for '/out/_stage/a.parquet'; have it mounted")
    assert len(lines) == 2 and "FER_BATCH_TRACEBACK=1" in lines[1] and "UDF" not in lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PermissionError: Access Denied", "the store refused access"),
        ("ClientError: An error occurred (ExpiredToken) when calling the PutObject operation: x", "credentials of the"),
        ("ClientError: An error occurred (AccessDenied) when calling the PutObject operation: x", "refused access"),
        ("OSError: [Errno 122] Disk quota exceeded: '/out/x'", "quota of disk space is used up for '/out/x'"),
        ("OSError: [Errno 5] Input/output error", "the disk or share fails"),
    ],
)
def test_stores_and_disks_in_a_task(text, words):
    assert words in first(as_from_a_task(UserCodeException("UDF failed"), text))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalRayletDiedError(), "Ray, which runs the tasks, lost a process"),
        (ActorDiedError(), "a worker process was ended"),
        (MemoryError(), "not enough memory"),
        (EnvironmentFault("the source is gone"), "error: the source is gone; what was finished is kept"),
        (RuntimeError("two\nlines"), "error: RuntimeError: two lines"),
    ],
)
def test_others(error, words):
    assert words in first(error)


def died_in_its_constructor(cause, text):
    return ActorDiedError(RayTaskError("A.__init__", text, cause, actor_id="0a", proctitle="t", pid=1, ip="127.0.0.1"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            died_in_its_constructor(ValueError("no such layer"), "Traceback:\n  File x\nValueError: no such layer\n"),
            "error: ValueError: no such layer",
        ),
        (
            died_in_its_constructor(KeyError("a"), "Traceback:\n  File x\nfer_batch.types.InputError: two\n  lines\n"),
            "error: InputError: two",
        ),
        (
            RaySystemError(
                ModuleNotFoundError("No module named 'zennit'"),
                "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'zennit'\n",
            ),
            "error: ModuleNotFoundError: No module named 'zennit'",
        ),
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"),
            "error: the GPU has not enough memory; give smaller",
        ),
        (RuntimeError("CUDA error: out of memory"), "error: the GPU has not enough memory"),
        (
            as_from_a_task(UserCodeException("UDF failed"), "torch.OutOfMemoryError: CUDA out of memory. Tried"),
            "smaller batches (explain.batch_size)",
        ),
        (
            died_in_its_constructor(RuntimeError("x"), "Traceback:\nRuntimeError: CUDA out of memory. Tried 2 GiB\n"),
            "error: the GPU has not enough memory",
        ),
        (type("RpcError", (Exception,), {"__module__": "grpc"})("deadline"), "error: RpcError: deadline"),
        (RaySystemError("the raylet is gone"), "Ray, which runs the tasks, lost a process"),
    ],
)
def test_what_was_raised_is_told_from_a_process_that_was_lost(error, words):
    line = first(error)
    assert words in line and "worker process" not in line


def test_a_fault_below_another_error_is_said():
    error = RuntimeError("phase 1 failed")
    error.__cause__ = EnvironmentFault("the share is gone")
    assert first(error).startswith("error: the share is gone;")
