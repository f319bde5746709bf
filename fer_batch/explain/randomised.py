"""Networks whose weights are shuffled layer by layer: does an explanation depend on what was learned?

The weights of a layer are permuted at random, so that their distribution and scale stay as the training left them and
only their places are lost: signals neither die nor explode, whatever the architecture, and no initialisation has to be
guessed. The running statistics of normalisations stay, for the same reason. The learned gain and offset of a
normalisation are shuffled with the layer before it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.explainer import Explainer, Images, prepared_images


@dataclass(frozen=True)
class Layer:
    """What is shuffled together.

    Attributes
    ----------
    name
        Of the module whose weights they are, the first to run.
    parameters
        Full names of its parameters, and of those of the normalisations that follow.
    """

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class RandomisedMaps:
    """Maps of a network with shuffled weights.

    Attributes
    ----------
    layer
        The layer shuffled last.
    n_layers
        How many are shuffled.
    everything
        Whether all of them are.
    seed
        Of the shuffle.
    maps : shape (M, h, w), float32
        Of the pairs, in their order.
    """

    layer: str
    n_layers: int
    everything: bool
    seed: int
    maps: NDArray[np.float32]


def weight_layers(model: nn.Module, images: Images) -> list[Layer]:
    """Layers with weights in the order of the forward pass.

    Parameters
    ----------
    model
        In evaluation mode.
    images : shape (N, C, H, W), floating
        The first is run once.

    Returns
    -------
    list of Layer
        A module runs when its forward pass begins, so that the parameters that a network holds itself (a class token)
        come first. A module that is never called by itself counts with the one that holds it.

    Raises
    ------
    ValueError
        If the network has no weights.
    """
    order = _modules_in_order(model, prepared_images(model, images[:1]))
    modules = dict(model.named_modules())
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        owner = name.rpartition(".")[0]
        while owner not in order and owner:
            owner = owner.rpartition(".")[0]
        found.setdefault(owner, []).append(name)
    layers: list[Layer] = []
    for owner in sorted(found, key=lambda one: order.get(one, -1)):
        if layers and _is_normalisation(modules[owner]):
            layers[-1] = Layer(layers[-1].name, (*layers[-1].parameters, *found[owner]))
        else:
            layers.append(Layer(owner or "(network)", tuple(found[owner])))
    if not layers:
        raise ValueError("expected a network with weights, this one has none to shuffle")
    return layers


def _modules_in_order(model: nn.Module, image: torch.Tensor) -> dict[str, int]:
    """When the forward pass of each module begins, by name."""
    order: dict[str, int] = {}
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, inputs: object) -> None:
        order.setdefault(names[module], len(order))

    handles = [module.register_forward_pre_hook(note) for module in names]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return order


def _is_normalisation(module: nn.Module) -> bool:
    """BatchNorm, LayerNorm, GroupNorm and their like: their gains have one axis."""
    weights = list(module.parameters(recurse=False))
    return "norm" in type(module).__name__.lower() and all(weight.ndim <= 1 for weight in weights)


def randomised(model: nn.Module, layers: Sequence[Layer], chosen: Sequence[int], seed: int = 0) -> nn.Module:
    """A copy of a network with the weights of some layers shuffled.

    Parameters
    ----------
    model
        Left as it is.
    layers
        Of `weight_layers`.
    chosen
        Which of them, by their place; the shuffle of a layer depends on its place and the seed alone, so that more
        layers leave the others as they are.
    seed
        Of the permutations.

    Returns
    -------
    nn.Module
        In the model's mode, on its device.
    """
    changed = copy.deepcopy(model)
    _shuffle(changed, layers, chosen, seed)
    return changed


@torch.no_grad()
def _shuffle(network: nn.Module, layers: Sequence[Layer], chosen: Sequence[int], seed: int) -> None:
    """Permute the weights of layers in place: the values themselves, since an index of them would be twice as large."""
    parameters = dict(network.named_parameters())
    for place in chosen:
        rng = np.random.default_rng([seed, place])
        for name in layers[place].parameters:
            weight = parameters[name]
            values = weight.float() if weight.dtype == torch.bfloat16 else weight  # numpy has no bfloat16
            shuffled = rng.permutation(values.detach().cpu().numpy().ravel())
            weight.copy_(torch.from_numpy(shuffled).view_as(weight))


def depths(n_layers: int, n_steps: int | None) -> list[int]:
    """Numbers of shuffled layers to look at: 1, all, and as evenly as can be between them."""
    if n_steps is None or n_steps >= n_layers:
        return list(range(1, n_layers + 1))
    return sorted({round(float(n)) for n in np.linspace(1, n_layers, max(n_steps, 1))} | {n_layers})


def randomised_maps(
    model: nn.Module,
    explainer: Explainer,
    images: Images,
    pairs: ArrayLike,
    *,
    n_steps: int | None = None,
    independent: bool = False,
    seeds: Sequence[int] = (0,),
    draw: int = 0,
) -> Iterator[RandomisedMaps]:
    """Maps of the same pairs under networks whose weights are shuffled, from the output down.

    Parameters
    ----------
    model
        In evaluation mode; left as it is.
    explainer
        Of `method`.
    images : shape (N, C, H, W), floating
    pairs : shape (M, 2), integers
        As the explainer takes them.
    n_steps
        How many depths of the cascade (or layers, where independent), the output layer and the last one among them;
        None for all.
    independent
        Shuffle one layer at a time, the others as trained, instead of a layer and all above it.
    seeds
        Each shuffles anew.
    draw
        Seed of the samples that a method draws; the same for every network.

    Yields
    ------
    RandomisedMaps
        Seed by seed, from the output down.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS: cascading and independent randomisation.
    """
    layers = weight_layers(model, images)
    for seed in seeds:
        network, done = copy.deepcopy(model), len(layers)
        for depth in depths(len(layers), n_steps):
            last = len(layers) - depth
            if independent:
                network, chosen = randomised(model, layers, [last], seed), range(last, last + 1)
            else:  # deeper into the same network, so that each layer is shuffled once
                _shuffle(network, layers, range(last, done), seed)
                chosen, done = range(last, len(layers)), last
            found = explainer(network, images, pairs, np.random.default_rng(draw))
            yield RandomisedMaps(layers[last].name, len(chosen), len(chosen) == len(layers), seed, found.values)
