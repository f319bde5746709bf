"""How a network is fitted, as plain values: what a job file says and a result is labelled with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from fer_batch.registry import Registry

Schedule = Literal["constant", "step", "warm_cosine"]
Selection = Literal["last", "best_validation", "best_test"]
OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimizer")


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted (methods 5).

    Attributes
    ----------
    id
        Its name in tables and on cards (`T-VP`).
    epochs
        At most.
    batch_size
        Samples of one step; over several workers together.
    optimizer, learning_rate, momentum, weight_decay
        A name of `OPTIMIZERS` and its numbers; `momentum` is for `sgd`, and `weight_decay` is on weights, not on biases
        and norms, for `adamw` alone.
    schedule, step_epochs, step_factor
        `constant`; `step` multiplies the rate by `step_factor` every `step_epochs`; `warm_cosine` rises over the first
        tenth of the steps and falls to 0 as a cosine.
    class_weights
        Weigh the positives of a target by N-/N+ of the training part (L-1).
    l2, l2_layers
        Adds l2 times the squared weights of the layers with these prefixes (L-5).
    trainable
        Prefixes of what is trained; everything where empty.
    augment, augment_options
        A name of `augment.AUGMENTATIONS` and its arguments.
    patience
        Stop after this many epochs in a row whose validation loss is not below the least so far.
    selection
        Which epoch is kept: the last, or the one of least loss on the validation part, or on the test part (the
        protocol of some papers, and a leak).
    autocast
        Compute in bfloat16 where that is safe.
    seed
        Of weights, order, augmentation and dropout.
    """

    id: str = "custom"
    epochs: int = 25
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.95
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    step_epochs: int = 4
    step_factor: float = 0.9
    class_weights: bool = True
    l2: float = 0.0
    l2_layers: tuple[str, ...] = ("fc.", "classifier.")
    trainable: tuple[str, ...] = ()
    augment: str = "none"
    augment_options: dict[str, Any] = field(default_factory=dict)
    patience: int | None = None
    selection: Selection = "last"
    autocast: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        OPTIMIZERS[self.optimizer]
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"expected at least 1 epoch and batches of 2, got {self.epochs} and {self.batch_size}")

    @property
    def needs_validation(self) -> bool:
        """Whether a fold without a validation part cannot follow this recipe."""
        return self.patience is not None or self.selection == "best_validation"


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
