"""Where networks run: on the GPUs that Ray has or can start, or on CPUs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import yaml

from fer_batch.pipeline.progress import say
from fer_batch.types import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
WAIT_S = 900.0  # for a node that an autoscaler starts; clouds take minutes


@dataclass(frozen=True)
class Offer:
    """What Ray can place work on.

    Attributes
    ----------
    there
        GPUs of the nodes that run.
    most
        GPUs with every node that may be started; None where the cluster does not say.
    largest
        GPUs of the node that has most of them, of those that `there` and `most` count.
    cpus, node_cpus
        With every node that is known of, and of the node that has most of them.
    where
        What offers them, for messages.
    """

    there: float
    most: float | None
    largest: float = 1.0
    cpus: int = 1
    node_cpus: int = 1
    where: str = "this machine"

    @property
    def known(self) -> float:
        """The most GPUs that are known of."""
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
        if self.most is None and not self.known:
            return each  # nothing is known: it is waited for
        wanted = f"{each:g}" if n == 1 else f"{each * n:g} ({n} x {each:g})"
        if each * n > self.known:
            raise InputError(
                f"resources ask for {wanted} GPUs, but {self.where} offers Ray {self.known:g}; "
                "resources.device: cpu runs without"
            )
        if each > self.largest:
            raise InputError(
                f"resources.num_gpus is {each:g}, but no node of {self.where} has more than {self.largest:g}"
            )
        return each


def offered() -> Offer:
    """What the running Ray can place work on, with the nodes that its autoscaler may start."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus, cpus = ([float(node.get(kind, 0)) for node in nodes] for kind in ("GPU", "CPU"))
    there, largest = sum(gpus), max(gpus, default=0.0)
    n_cpus, node_cpus = max(1, int(sum(cpus))), max(1, int(max(cpus, default=1)))
    if not on_cluster():
        return Offer(there, there, largest, n_cpus, node_cpus)
    kinds = _kinds()
    if kinds is None:
        return Offer(there, None, largest, n_cpus, node_cpus, "this cluster")
    possible = [kind for kind in kinds if kind.nodes]
    return Offer(
        there,
        max(there, sum(kind.gpus * kind.nodes for kind in possible)),
        max([largest, *(kind.gpus for kind in possible)]),
        max(n_cpus, int(sum(kind.cpus * kind.nodes for kind in possible))),
        max([node_cpus, *(int(kind.cpus) for kind in possible)]),
        "this cluster",
    )


def on_cluster() -> bool:
    """Whether a cluster is joined, and no Ray embedded."""
    return os.environ.get("RAY_ADDRESS", "local") not in ("", "local")


class NodeKind(NamedTuple):
    """A type of node: how many there may be, and what each has."""

    nodes: int
    gpus: float
    cpus: float


def _kinds() -> list[NodeKind] | None:
    """Types of nodes that the autoscaler of this machine may start; None where none says so."""
    path = _autoscaling_file()
    if path is None:
        return None
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return node_kinds(found) if isinstance(found, dict) else None


def node_kinds(cluster: Mapping[str, object]) -> list[NodeKind]:
    """Types of nodes of a cluster's file.

    Parameters
    ----------
    cluster
        What `ray up` and `ray start --autoscaling-config` take, its node types with their resources.
    """
    types, limit = cluster.get("available_node_types"), cluster.get("max_workers")
    found = []
    for name, kind in (types if isinstance(types, dict) else {}).items():
        own = kind if isinstance(kind, dict) else {}
        resources, workers = own.get("resources") or {}, own.get("max_workers", limit)
        if name == cluster.get("head_node_type"):
            nodes = 1
        else:
            nodes = min(n for n in (workers, limit, 1 << 20) if isinstance(n, int))
        found.append(NodeKind(nodes, float(resources.get("GPU", 0)), float(resources.get("CPU", 0))))
    return found


def _autoscaling_file() -> Path | None:
    """The file of the autoscaler that runs on this node: jobs that are submitted run on the head, where it does."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid != os.getuid():
                continue
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
    if not gpus or offer.there >= gpus:  # on one node: more than the largest has is refused
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
