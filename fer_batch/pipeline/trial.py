"""What a dry run says beyond the plan: a few inputs are tried, and what all will take follows from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fer_batch.config import RunConfig
from fer_batch.pipeline.phases import Job, decode_options
from fer_batch.pipeline.plan import Plan, name_of
from fer_batch.pipeline.progress import say
from fer_batch.storage.store import Store

if TYPE_CHECKING:
    from fer_batch.pipeline.estimate import Estimate
    from fer_batch.pipeline.scaling import Waiting
    from fer_batch.pipeline.trial_inputs import Group

GROUPS = 6  # clips, or handfuls of stills, that are tried


@dataclass(frozen=True)
class Trial:
    """What is tried, without the listing.

    Attributes
    ----------
    jobs
        The run for each explanation that has work, without inputs.
    waiting, groups
        All that waits, and some of it.
    """

    jobs: tuple[Job, ...]
    waiting: Waiting
    groups: tuple[Group, ...]


def chosen_trial(
    configs: Sequence[RunConfig], store: Store, plans: Sequence[Plan], n_groups: int = GROUPS
) -> Trial | None:
    """What a dry run tries; None where no input waits that can be read.

    Parameters
    ----------
    configs, plans
        The job for each of its explanations.
    store
        The output.
    n_groups
        How many clips, or handfuls of stills.
    """
    each = enumerate(zip(configs, plans, strict=True))
    own = [(k, config, plan) for k, (config, plan) in each if plan.units and "explain" in config.phases]
    if not own:
        return None
    from fer_batch.pipeline.trial_inputs import trial_inputs

    light = [replace(plan, refs=[], units=[], listed=set(), returned={}) for _, _, plan in own]
    jobs = tuple(
        Job(config, store, plan, k, name_of(configs, k)) for (k, config, _), plan in zip(own, light, strict=True)
    )
    shard_units = configs[0].resources.shard_units
    waiting, groups = trial_inputs([plan for _, _, plan in own], decode_options(jobs), shard_units, n_groups)
    return Trial(jobs, waiting, tuple(groups)) if groups else None


def try_out(trial: Trial) -> Estimate | None:
    """Take some inputs through the job, and print what all of them will take; None where nothing says it.

    Raises
    ------
    ExplanationRefused
        If an explanation cannot be made.
    """
    from fer_batch.pipeline.estimate import Prices, estimate
    from fer_batch.pipeline.estimate_text import estimate_lines
    from fer_batch.pipeline.rehearsal import rehearse

    resources = trial.jobs[0].config.resources
    done = rehearse(trial.jobs, trial.groups)
    if done is None:
        say("no estimate: none of the inputs that were tried could be read")
        return None
    if np.isnan(trial.waiting.frames).all():
        say("no estimate: the files do not say how many frames they have")
        return None
    n_cpus, prices = resources.num_cpus or os.cpu_count() or 1, resources.price_per_hour
    found = estimate(trial.waiting, done, n_cpus, Prices(prices.cpu, prices.gpu))
    for line in estimate_lines(found):
        say(line)
    given = {"cpu": prices.cpu} if found.device == "cpu" else {"cpu": prices.cpu, "gpu": prices.gpu}
    missing = [f"resources.price_per_hour.{name}" for name, price in given.items() if price is None]
    if missing and (prices.cpu is not None or prices.gpu is not None):
        say(f"no cost: the network ran on {found.device}, and {' and '.join(missing)} is not given")
    if any(job.plan.ledger.shards for job in trial.jobs):
        say("the output has inputs already: what is made anew over all of them is not in the estimate")
    return found
