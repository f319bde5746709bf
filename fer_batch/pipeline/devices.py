"""Where networks run: on the GPUs that Ray has or can start, or on CPUs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fer_batch.pipeline.progress import say
from fer_batch.types import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
WAIT_S = 900.0  # for a node that an autoscaler starts; clouds take minutes


@dataclass(frozen=True)
class Offer:
    """GPUs that Ray can place work on.

    Attributes
    ----------
    there
        Of the nodes that run.
    most
        With every node that may be started; None where the cluster does not say.
    where
        What offers them, for messages.
    """

    there: float
    most: float | None
    where: str = "this machine"

    @property
    def known(self) -> float:
        """The most that is known of."""
        return max(self.there, self.most or 0.0)

    def gpus_each(self, device: Device, asked: float | None, n: int = 1) -> float:
        """GPUs of one process that runs a network.

        Parameters
        ----------
        device
            As the job says; `auto` takes GPUs where there are or can be any.
        asked
            `num_gpus` of the job, None where it says nothing.
        n
            Processes that are needed at once.

        Raises
        ------
        InputError
            If the job asks for more than there can be, so that it would wait for ever.
        """
        if device == "cpu" or (asked == 0 and device == "auto"):
            return 0.0
        if device == "auto" and asked is None and not self.known:
            return 0.0
        each = 1.0 if asked is None else asked
        if (self.most is not None or self.known >= each) and each * n > self.known:
            wanted = f"{each:g}" if n == 1 else f"{each * n:g} ({n} x {each:g})"
            raise InputError(
                f"resources ask for {wanted} GPUs, but {self.where} offers Ray {self.known:g}; "
                "resources.device: cpu runs without"
            )
        return each


def offered() -> Offer:
    """What the running Ray can place work on, with the nodes that its autoscaler may start."""
    import ray

    there = float(ray.cluster_resources().get("GPU", 0))
    if not os.environ.get("RAY_ADDRESS"):
        return Offer(there, there)
    most = _reported()
    return Offer(there, max(there, *most) if most else None, "this cluster")


def _reported() -> list[float]:
    """GPUs of all nodes there may be, by what the cluster reports and by the file it was started with."""
    from ray._private.state import state

    found = []
    with contextlib.suppress(Exception):  # a private call, which only some clusters answer
        if (known := state.get_max_resources_from_cluster_config()) is not None:
            found.append(float(known.get("GPU", 0)))
    path = _autoscaling_file()
    if path is not None:
        found.append(most_gpus(_yaml(path)))
    return found


def most_gpus(cluster: Mapping[str, object]) -> float:
    """GPUs of every node that a cluster's file allows.

    Parameters
    ----------
    cluster
        What `ray up` and `ray start --autoscaling-config` take, its node types with their resources.
    """
    types = cluster.get("available_node_types")
    limit = cluster.get("max_workers")
    most = 0.0
    for name, kind in (types if isinstance(types, dict) else {}).items():
        gpus = float((kind.get("resources") or {}).get("GPU", 0))
        workers = kind.get("max_workers", limit)
        if name == cluster.get("head_node_type"):
            nodes = 1
        else:
            nodes = min(workers, limit) if isinstance(limit, int) and workers is not None else workers or 0
        most += gpus * nodes
    return most


def _yaml(path: Path) -> Mapping[str, object]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _autoscaling_file() -> Path | None:
    """The file of the autoscaler that runs on this node: jobs that are submitted run on the head, where it does."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            for word in process.read_text("utf-8", "replace").split("\0"):
                if word.startswith("--autoscaling-config="):
                    return Path(word.partition("=")[2]).expanduser()
    return None


def wait_for_gpus(gpus: float, offer: Offer, seconds: float = WAIT_S) -> None:
    """Wait until Ray has placed one process on GPUs, which has an autoscaler start a node.

    Parameters
    ----------
    gpus
        Of the process.
    offer
        What is known of the cluster.
    seconds
        How long.

    Raises
    ------
    InputError
        If none came.
    """
    if not gpus or offer.there >= gpus:
        return
    import ray

    say(f"{offer.where} has {offer.there:g} GPUs now: waiting for a node with one, at most {seconds / 60:.0f} min")
    task = ray.remote(num_cpus=0, num_gpus=gpus, max_retries=-1)(_nothing).remote()
    ready, _ = ray.wait([task], timeout=seconds)
    if not ready:
        ray.cancel(task, force=True)
        raise InputError(
            f"no node with {gpus:g} GPUs came within {seconds / 60:.0f} min; see `ray status` for why, or run on CPUs: "
            "resources.device: cpu"
        )


def _nothing() -> None:
    """Take a place."""


def actors_of(asked: int | tuple[int, int] | None, gpus: float, offer: Offer) -> tuple[int, int]:
    """The fewest and the most copies of the network.

    Parameters
    ----------
    asked
        As the job says: a number, the fewest and the most, or nothing: as many as GPUs, one on CPUs.
    gpus
        Of each.
    offer
        What there is.
    """
    if isinstance(asked, int):
        return asked, asked
    if asked is not None:
        return asked
    return 1, max(1, int(offer.known / gpus)) if gpus else 1


def said_of(actors: tuple[int, int], gpus: float) -> str:
    """The plan in words."""
    fewest, most = actors
    copies = f"{most} {'copy' if most == 1 else 'copies'}" if fewest == most else f"{fewest} to {most} copies"
    return f"{copies} of the network on " + (f"{gpus:g} GPU each" if gpus else "CPUs")


def gpus_of(device: Device, asked: float | None) -> float:
    """GPUs of a task that runs a network, as `Offer.gpus_each`, once a node with them is there."""
    offer = offered()
    gpus = offer.gpus_each(device, asked)
    wait_for_gpus(gpus, offer)
    return gpus


def own_device() -> torch.device:
    """Where the network of this process runs: a GPU only if Ray gave it one, or where there is no Ray to give any."""
    import torch

    ray = sys.modules.get("ray")
    given = ray is None or not ray.is_initialized() or ray.get_runtime_context().get_accelerator_ids().get("GPU")
    return torch.device("cuda" if given and torch.cuda.is_available() else "cpu")
