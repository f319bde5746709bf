"""Ray, started quietly: embedded on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from fer_batch.pipeline.devices import on_cluster
from fer_batch.pipeline.embedded import Kept, Watch, kept, private_token
from fer_batch.pipeline.ray_processes import only_needed_processes

BLOCK_BYTES = 16 << 20


@contextlib.contextmanager
def ray_engine(num_cpus: int | None, object_store_mb: int) -> Iterator[Any]:
    """The `ray` module with a running cluster; an embedded one is stopped afterwards, and leaves nothing behind.

    Nothing listens beyond loopback, tokens are on and usage statistics are off, because faces are biometric data.

    Raises
    ------
    EnvironmentFault
        If a main process of an embedded Ray is lost.
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
    if on_cluster():
        with _without_banner():
            ray.init(**quiet)
        try:
            yield ray
        finally:
            ray.shutdown()
        return
    private_token()
    with kept() as known, _embedded(ray, num_cpus, object_store_mb, quiet, known) as watch, watch.saying():
        yield ray


@contextlib.contextmanager
def _embedded(
    ray: Any, num_cpus: int | None, object_store_mb: int, quiet: dict[str, Any], known: Kept
) -> Iterator[Watch]:
    """A local Ray that is watched; what is left of it once it ended, or did not start, is removed."""
    watch = None
    try:
        with _without_banner(), _on_loopback(), known.marking():
            ray.init(
                address="local",
                num_cpus=num_cpus,
                object_store_memory=object_store_mb << 20,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
        watch = Watch(ray, known)
        yield watch
    finally:
        _end(ray, watch, known)


def _end(ray: Any, watch: Watch | None, known: Kept) -> None:
    """End a local Ray; where this is interrupted, `known` does not become clean."""
    if watch is not None:
        if watch.lost is None:
            watch.stop()  # of processes that end because they are told to
        watch.end_rest()
    ray.shutdown()
    known.end_processes()  # of one that was interrupted while it started
    if watch is not None:
        watch.stop()
    if not os.environ.get("FER_BATCH_TRACEBACK"):
        known.remove_sessions()
    known.is_clean = True


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray keep 127.0.0.1: it would turn it into the machine's address, and then listen on every interface."""
    from ray._private import services

    resolve = getattr(services, "resolve_ip_for_localhost", None)  # not in every release
    if resolve is not None:
        services.resolve_ip_for_localhost = lambda host: host
    try:
        with only_needed_processes():
            yield
    finally:
        if resolve is not None:
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


def quiet_ray_data() -> None:
    """No bars and no banners of Ray's own, and blocks of one chunk (must run before a dataset is made)."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
