"""Ray, started quietly: embedded on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from fer_batch.pipeline.ray_processes import only_needed_processes
from fer_batch.types import InputError

BLOCK_BYTES = 16 << 20


@contextlib.contextmanager
def ray_engine(num_cpus: int | None, object_store_mb: int) -> Iterator[Any]:
    """The `ray` module with a running cluster; an embedded one is stopped afterwards.

    Nothing listens beyond loopback, tokens are on and usage statistics are off, because faces are biometric data.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with _without_banner(), _on_loopback():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
        else:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                object_store_memory=object_store_mb << 20,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
    _private_token()
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray keep 127.0.0.1: it would turn it into the machine's address, and then listen on every interface."""
    from ray._private import services

    resolve = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        with only_needed_processes():
            yield
    finally:
        services.resolve_ip_for_localhost = resolve


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Hold back the line in which Ray's core says that it was told to be quiet; everything else passes."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = [line for line in held if b"Set ray log level" not in line]
            os.write(2, b"".join(lines))


def _private_token() -> None:
    # Ray writes a fresh token readable by everybody.
    with contextlib.suppress(OSError):
        path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
        if os.path.exists(path):
            os.chmod(path, 0o600)


def gpus_of(asked: float | None) -> float:
    """GPUs of one task or actor that runs a network: what the job says, else one where Ray has any.

    Raises
    ------
    InputError
        If the job asks for more than this machine has.
    """
    import ray

    available = ray.cluster_resources().get("GPU", 0)
    if asked is None:
        return 1.0 if available else 0.0
    if asked > available and not os.environ.get("RAY_ADDRESS"):
        raise InputError(f"resources.num_gpus is {asked:g}, but this machine offers Ray {available:g} GPUs")
    return asked


def quiet_ray_data() -> None:
    """No bars and no banners of Ray's own, and blocks of one chunk (must run before a dataset is made)."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
