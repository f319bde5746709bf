"""A recipe at work: its optimizers, learning rates and what of a network is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from fer_batch.registry import Registry
from fer_batch.training.settings import RecipeSettings

OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimizer")


@dataclass(frozen=True)
class Recipe(RecipeSettings):
    """The recipe of a job with its seed, refused where no optimizer has the name.

    Attributes
    ----------
    seed
        Of weights, order, augmentation and dropout.

    Raises
    ------
    ValueError
        If a number is out of range, or the optimizer is unknown.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        OPTIMIZERS[self.optimizer]


@OPTIMIZERS.register("sgd")
def sgd(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum (T-VP)."""
    return torch.optim.SGD(
        _trained(model.parameters()), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )


@OPTIMIZERS.register("adam")
def adam(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam (T-PD, T-SH)."""
    return torch.optim.Adam(_trained(model.parameters()), recipe.learning_rate, weight_decay=recipe.weight_decay)


@OPTIMIZERS.register("adamw")
def adamw(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with decoupled decay of the weights."""
    trained = _trained(model.parameters())
    decayed = [p for p in trained if p.ndim > 1]
    other = [p for p in trained if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": other, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


@OPTIMIZERS.register("rmsprop")
def rmsprop(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """RMSprop as Keras has it, whose 0.9 and 1e-7 the released code of SH relies on (T-SH)."""
    return torch.optim.RMSprop(
        _trained(model.parameters()), recipe.learning_rate, alpha=0.9, eps=1e-7, weight_decay=recipe.weight_decay
    )


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in parameters if p.requires_grad]


def learning_rates(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate of every step, as the recipe's schedule has it."""
    total = recipe.epochs * steps_per_epoch
    warm = max(1, total // 10)

    def warm_cosine(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))

    def by_steps(step: int) -> float:
        return recipe.step_factor ** (step // steps_per_epoch // recipe.step_epochs)

    factors = {"constant": lambda step: 1.0, "step": by_steps, "warm_cosine": warm_cosine}
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factors[recipe.schedule])


def freeze_all_but(model: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Train only what has one of these prefixes; everything where there is none.

    Raises
    ------
    ValueError
        If nothing has.
    """
    if not prefixes:
        return
    chosen = [name for name, _ in model.named_parameters() if name.startswith(prefixes)]
    if not chosen:
        known = sorted({name.split(".")[0] + "." for name, _ in model.named_parameters()})
        raise ValueError(
            f"nothing of the network is named {' or '.join(prefixes)}...; its parts are {', '.join(known)}"
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))
