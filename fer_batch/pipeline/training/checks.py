"""What a training refuses before anything is decoded or trained."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from fer_batch.config import TrainConfig
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.training.folds import folds_of
from fer_batch.pipeline.training.listing import Source
from fer_batch.pipeline.training.worker import make_network, make_recipe
from fer_batch.registry import check_own_code
from fer_batch.training.splits import Fold
from fer_batch.types import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fer_batch.training.recipe import Recipe
    from fer_batch.training.settings import AlignSettings

PROVISIONAL = 2  # outputs of a network that is only built to see that it can be


def check_parts(config: TrainConfig) -> None:
    """Refuse what can be refused before anything is read or started.

    Raises
    ------
    InputError
        If a package or the weights to start from are not there, or the network is code that may not be run.
    """
    if config.network.factory:
        check_own_code(config.network.factory, "network.factory")
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("tensorboard: true needs the package tensorboard: pip install 'fer_batch[tensorboard]'")
    if (
        config.network.checkpoint
        and not os.path.exists(config.network.checkpoint)
        and "://" not in config.network.checkpoint
    ):
        raise InputError(
            f"network.checkpoint {config.network.checkpoint!r} does not exist; the program downloads no weights"
        )


def _check_recipe(config: TrainConfig) -> Recipe:
    """The recipe of a job, refused like its network where it names what there is not."""
    from fer_batch.models.backbone import check_architecture

    if config.network.architecture:
        try:
            check_architecture(config.network.architecture)
        except InputError as error:
            raise InputError(f"network: {error}") from None
    try:
        return make_recipe(config)
    except ValueError as error:
        raise InputError(f"recipe: {error}") from None


def check_early(config: TrainConfig, sources: Sequence[Source]) -> None:
    """Refuse a network, recipe or split that cannot work, from the listing alone.

    Raises
    ------
    InputError
        If one cannot.
    """
    if config.targets:
        check_network(config, len(config.targets))
    else:
        check_network(config, PROVISIONAL, known=False)
    refs = [(source.dataset, ref) for source in sources for ref in source.refs if not ref.skip_reason]
    if not refs:
        raise InputError("the sources name no input that is not skipped, so there is nothing to train on")
    listed = {
        "dataset": [dataset for dataset, _ in refs],
        "subject_id": [ref.subject_id for _, ref in refs],
        "split": pa.array([ref.split for _, ref in refs], pa.string()),
    }
    checked_folds(config, pa.table(listed))


def checked_folds(config: TrainConfig, samples: pa.Table) -> list[Fold]:
    """The folds of a job.

    Raises
    ------
    InputError
        If the samples cannot be split as the job says.
    """
    try:
        return folds_of(config, samples)
    except ValueError as error:
        raise InputError(f"split: {error}") from None


def check_network(config: TrainConfig, n_targets: int, known: bool = True) -> None:
    """Build the network and the recipe once, so that what does not fit is said before anything starts.

    Parameters
    ----------
    config
        The job.
    n_targets
        Number of outputs.
    known
        Whether that number is final; where it is not, the number of outputs of a factory's network is not checked.

    Raises
    ------
    InputError
        If network, weights and recipe do not fit each other or the size of the crops.
    """
    recipe = _check_recipe(config)
    model = make_network(config.network, n_targets, say)
    try:
        _check_layers(model, recipe)
    except ValueError as error:
        raise InputError(f"recipe: {error}") from None
    shape = _output_shape(model, config.network.preprocessing.size)
    if config.align is not None:
        _check_aligned(model, config.align, config.network.preprocessing.size)
        _check_differentiable(model, config.align, config.head, config.network.preprocessing.size)
    if (known or not config.network.factory) and shape != (1, n_targets):
        raise InputError(
            f"the network returns {shape} for one image, expected one logit for each of the {n_targets} targets"
        )
    if known:
        say(_parameters_sentence(config.network.name, model))


def _parameters_sentence(name: str, model: nn.Module) -> str:
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    trained = sum(count for count, is_trained in counts if is_trained)
    return f"network {name}: {sum(count for count, _ in counts):,} parameters, {trained:,} of them trained"


def _check_layers(model: nn.Module, recipe: Recipe) -> None:
    from fer_batch.training.losses import squared_norm
    from fer_batch.training.recipe import freeze_all_but

    freeze_all_but(model, recipe.trainable)
    if recipe.l2:
        squared_norm(model.named_parameters(), recipe.l2_layers)


def _check_aligned(model: nn.Module, align: AlignSettings, side: int) -> None:
    """Refuse layers that the network has not, that are not trained, or whose activations have no height and width."""
    import torch

    from fer_batch.models.features import features
    from fer_batch.training.reasons import check_shapes

    try:
        _, found = features(model, torch.zeros(1, 3, side, side), align.layers)
        check_shapes(found, align.layers)
    except ValueError as error:
        raise InputError(f"align.layers: {error}") from None
    fixed = [name for name, values in found.items() if not values.requires_grad]
    if fixed:
        raise InputError(
            f"align.layers: nothing up to {', '.join(fixed)} is trained (recipe.trainable), so it cannot be aligned"
        )


def _check_differentiable(model: nn.Module, align: AlignSettings, head: str, side: int) -> None:
    """Refuse gradients that are no function of the weights, or of which there are none, by one step on one image."""
    import torch

    from fer_batch.models.features import features
    from fer_batch.training.auxiliary import Seen, activations, kernels
    from fer_batch.training.reasons import auxiliary_of

    second = auxiliary_of(align, head)
    if second.see is activations:
        return
    x = torch.zeros(1, 3, side, side, requires_grad=True)
    with kernels(second):
        logits, found = features(model, x, align.layers)
    layers = list(found.values())
    used = torch.autograd.grad(logits.sum(), layers, retain_graph=True, allow_unused=True) if layers else ()
    unused = [name for name, gradient in zip(found, used, strict=True) if gradient is None]
    if unused:
        raise InputError(
            f"align.layers: the logits are no function of {', '.join(unused)}, so there is no {align.to} of it; "
            "align.to: attention needs none"
        )
    try:
        second.loss(second.see(Seen(x, logits, torch.ones_like(logits), found)), _ramp(side)).backward()
    except RuntimeError as error:
        raise InputError(
            f"align.to: {align.to} cannot be trained with layers {', '.join(align.layers) or 'of this network'}: "
            f"{str(error).splitlines()[0]}"
        ) from None


def _ramp(side: int) -> torch.Tensor:
    """A map of one image that prefers a place."""
    import torch

    return torch.linspace(0, 1, side * side).reshape(1, side, side)


def _output_shape(model: nn.Module, side: int) -> tuple[int, ...]:
    """Shape of the output of one image of so many pixels a side."""
    import torch

    try:
        with torch.no_grad():
            return tuple(model.eval()(torch.zeros(1, 3, side, side)).shape)
    except (RuntimeError, AssertionError) as error:  # timm's transformers assert the size
        built = getattr(model, "size", None)
        hint = f"it was built for {built}x{built}: " if isinstance(built, int) else ""
        raise InputError(
            f"the network does not take images of {side} pixels: {str(error).splitlines()[0]}; {hint}is "
            "network.preprocessing.size right?"
        ) from None
