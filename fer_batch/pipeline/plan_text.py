"""What is printed of a run before it starts: what there is to do, with which network, and what is not read."""

from __future__ import annotations

from collections.abc import Sequence

from fer_batch.config import RunConfig
from fer_batch.pipeline.plan import Plan, waiting_inputs
from fer_batch.pipeline.progress import say
from fer_batch.types import SequenceRef


def say_plan(config: RunConfig, plans: Sequence[Plan]) -> None:
    """Print what a run would do, and where its rows would go."""
    plan = plans[0]
    kinds, where = ", ".join(sorted({ref.kind for ref in plan.refs})), plan.partition
    what = f"{len(plan.refs)} inputs ({kinds}) in {config.source.uri}"
    _say_refused(plan.refs)
    if len(plans) == 1:
        say(f"{what}: {plan.to_do} to do, in {len(plan.units)} units")
        say(f"output {config.output}: dataset={where.dataset} model={where.model} explain={where.explain}")
        return
    say(f"{what}: {len(waiting_inputs(plans))} to do under {len(plans)} explanations")
    say(f"output {config.output}: dataset={where.dataset} model={where.model}")
    _say_each(plans)


def _say_refused(refs: Sequence[SequenceRef]) -> None:
    """Print how many inputs lie where the job may not read; each ends as a row that failed."""
    refused = [ref.refusal for ref in refs if ref.refusal and not ref.skip_reason]
    if refused:
        say(f"{len(refused)} of {len(refs)} inputs are not read, such as: {refused[0]}")


def _say_each(plans: Sequence[Plan]) -> None:
    for plan in plans:
        say(f"  explain={plan.partition.explain}: {plan.to_do} to do, in {len(plan.units)} units")


def announce(config: RunConfig, plans: Sequence[Plan]) -> None:
    """Print what the run is about to do, and with which network."""
    plan, n_waiting = plans[0], len(waiting_inputs(plans))
    n_earlier = len(plan.refs) - n_waiting
    earlier = f", {n_earlier} done earlier" if n_earlier else ""
    inputs = "1 input" if len(plan.refs) == 1 else f"{len(plan.refs)} inputs"
    several = f", {len(plans)} explanations" if len(plans) > 1 else ""
    say(f"{config.name}: {inputs}, {n_waiting} to do{earlier}; model {plan.model.model_id}{several}")
    if several:
        _say_each(plans)
    _say_refused(plan.refs)
    _say_faces(config, plan)
    if plan.model.demo:
        say(
            f"DEMO MODEL: {plan.model.card.notes if plan.model.card else 'its output on real faces is a demonstration'}"
        )


def _say_faces(config: RunConfig, plan: Plan) -> None:
    """Print where faces are cut otherwise than those the network was trained on, as its card says."""
    trained = plan.model.card.faces if plan.model.card else {}
    faces = config.faces
    other = [key for key, now in (("align", faces.align), ("margin", faces.margin)) if trained.get(key, now) != now]
    if (trained.get("detector", faces.detector) == "none") != (faces.detector == "none"):  # the whole frame
        other.append("detector")
    if other:
        then = ", ".join(f"faces.{name}={trained[name]}" for name in other)
        say(f"the network was trained on faces cut otherwise than this job cuts them: {then}")
    if "crop" in trained:  # of a published network
        now = f"faces.detector={faces.detector}, faces.align={faces.align}, faces.margin={faces.margin}"
        say(f"its authors cut faces so: {trained['crop']}. This job: {now}")
