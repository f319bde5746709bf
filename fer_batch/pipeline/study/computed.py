"""What comparisons compute beyond the runs: on Ray, each result kept, so that a kill loses little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fer_batch.pipeline.progress import progress
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.storage.manifest import digest, dump, json_of

VERSION = 1  # raised when a comparison computes something else
RESULTS = "_studies/results"
Result = dict[str, Any]  # JSON values


@dataclass(frozen=True)
class Task:
    """One thing to compute.

    Attributes
    ----------
    function
        Of `arguments`, at the top of a module; gives a dict of JSON values.
    arguments
        That travel to the worker.
    identity
        JSON values that say what the result depends on.
    """

    function: Callable[..., Result]
    arguments: tuple[object, ...]
    identity: tuple[object, ...]

    @property
    def path(self) -> str:
        """Where its result is kept."""
        known = [VERSION, self.function.__module__, self.function.__qualname__, *self.identity]
        return f"{RESULTS}/{digest(known)}.json"


def computed(work: StudyWork, name: str, tasks: Sequence[Task]) -> list[Result]:
    """Results of some tasks, in their order; those that are kept are read.

    Parameters
    ----------
    work
        The study.
    name
        Of the comparison, for the progress bar.
    tasks
        What to compute.
    """
    store = work.store
    waiting = [task for task in tasks if not store.exists(task.path)]
    if waiting:
        work.start()
        import ray

        from fer_batch.pipeline.devices import gpus_of

        resources = work.study.config.runs.base.get("resources", {})
        gpus = gpus_of(resources.get("device", "auto"), resources.get("num_gpus"))
        with progress(name, len(waiting), "cell") as advance:
            running = {_submit(ray, task, gpus): task for task in waiting}
            while running:
                (done, *_), _ = ray.wait(list(running))
                store.put(running.pop(done).path, dump(_result(ray, done)))
                advance(1)
    return [json_of(store, task.path) for task in tasks]


def _submit(ray: Any, task: Task, gpus: float) -> Any:
    return ray.remote(num_cpus=1, num_gpus=gpus)(task.function).remote(*task.arguments)


def _result(ray: Any, done: Any) -> Result:
    """What a task gave; what a worker refused is refused here in the same words."""
    try:
        found: Result = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise error.cause from None
        raise
    return found
