"""Intermediate activations of any network, by module name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fer_batch.registry import nearest


def features(model: nn.Module, x: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and the outputs of named modules, in one forward pass with its gradients intact.

    Parameters
    ----------
    model
        Any module.
    x : shape (N, 3, H, W)
        Its input.
    names
        Dotted names as `model.named_modules()` has them, such as `layer4`.

    Returns
    -------
    logits : shape (N, n_outputs)
    features
        One tensor per name, which the logits depend on: `torch.autograd.grad(logits, feature)` is defined.

    Raises
    ------
    ValueError
        If a name is no module of the model, or a named module did not run or gives no tensor.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            raise ValueError(f"the network has no module {name!r}; {nearest(name, modules)}")
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor):
            raise ValueError(f"module {name!r} gives a {type(output).__name__}, expected a tensor")
        found[name] = output
        return output.clone()  # the next layer may work in place; the logits depend on what is kept

    handles = [
        modules[name].register_forward_hook(lambda _m, _i, output, name=name: keep(name, output)) for name in names
    ]
    try:
        logits = model(x)
    finally:
        for handle in handles:
            handle.remove()
    silent = [name for name in names if name not in found]
    if silent:
        raise ValueError(f"the network did not run {', '.join(silent)} for this input")
    return logits, found
