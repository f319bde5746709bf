"""Layer-wise relevance propagation (methods 7.3): the named composites for any network that has a canonical form."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fer_batch.explain.canonizers import canonize
from fer_batch.explain.composites import COMPOSITES, Preset, zennit_composite
from fer_batch.explain.explainer import Explainer, Images, checked_pairs, prepared_images, relevance
from fer_batch.explain.propagate import Propagator
from fer_batch.types import InputError, Relevance

Engine = Literal["fast", "zennit"]
Backward = Literal["full", "bfloat16"]
Pass = tuple[slice, torch.Tensor, torch.Tensor]


class LRP:
    """Relevance of pixels for logits under one preset.

    The map starts from the logit itself (methods X-0), so it sums to the logit where the rules conserve.

    Parameters
    ----------
    preset
        Which rule goes where.
    engine
        `fast` shares one forward pass among all outputs of a frame; `zennit` runs zennit's own hooks once per output,
        slowly, to check the other.
    memory_mib
        About how much memory the passes may take beside the network and the maps.
    backward
        `full`: in the network's own precision. `bfloat16`: convolutions of the backward pass in bfloat16 (fast engine
        only); forward pass, denominators, dense layers and the flat or box layer stay as they are. Measured in relative
        L2 per map over preset A and B, z, epsilon and epsilon-gamma-box on ResNet-18 (two sets of statistics) and
        MobileNetV3-small, 112x112, 16 pairs each: medians 2e-3 to 2e-2, worst 3e-2; cosine at least 0.9997.
    """

    def __init__(self, preset: Preset, engine: str = "fast", memory_mib: float = 512.0, backward: str = "full") -> None:
        if engine not in get_args(Engine):
            raise InputError(f"explain.options.engine {engine!r}: expected fast or zennit")
        if backward not in get_args(Backward):
            raise InputError(f"explain.options.backward {backward!r}: expected full or bfloat16")
        if backward != "full" and engine == "zennit":
            raise InputError("explain.options.backward: bfloat16 needs explain.options.engine: fast")
        if not memory_mib > 0:
            raise InputError(f"explain.options.memory_mib must be positive, got {memory_mib}")
        self.preset, self.engine, self.memory_bytes = preset, engine, int(memory_mib * 2**20)
        self.precision = torch.bfloat16 if backward == "bfloat16" else None
        self._networks: weakref.WeakKeyDictionary[nn.Module, tuple[object, Propagator]] = weakref.WeakKeyDictionary()

    def __call__(
        self, model: nn.Module, images: Images, pairs: ArrayLike, rng: np.random.Generator | None = None
    ) -> Relevance:
        """See `Explainer`; maps have the size of the images."""
        x = prepared_images(model, images)
        n = np.asarray(pairs).size // 2
        maps = np.empty((n, *x.shape[2:]), _numpy_dtype(x))
        scores: NDArray[np.floating] = np.empty(n, _numpy_dtype(x))
        for where, r, score in self.passes(model, x, pairs):
            maps[where], scores[where] = r.sum(1).cpu().numpy(), score.cpu().numpy()
        return relevance(maps, scores, conserves=True)

    def passes(self, model: nn.Module, images: Images, pairs: ArrayLike) -> Iterator[Pass]:
        """Relevance of every channel, in pieces that fit into the memory.

        Parameters
        ----------
        model, images, pairs
            See `Explainer`.

        Yields
        ------
        where : slice
            Of the m pairs of a piece among all.
        relevance : shape (m, C, H, W), the model's own dtype
        score : shape (m,)
            Their logits.
        """
        x = prepared_images(model, images)
        propagator = self._propagator(model, tuple(x.shape[1:]))
        yield from self._passes(propagator, x, checked_pairs(pairs, len(x), propagator.n_outputs))

    def _propagator(self, model: nn.Module, shape: tuple[int, ...]) -> Propagator:
        """The canonical network of a model as it stands; made again where weights, device or image shape changed."""
        tensors = [*model.parameters(), *model.buffers()]
        state = (shape, tuple((tensor.data_ptr(), tensor._version) for tensor in tensors))
        cached = self._networks.get(model)
        if cached is None or cached[0] != state:
            cached = (state, Propagator(canonize(model, shape), self.preset, self.precision))
            self._networks[model] = cached
        return cached[1]

    def _passes(self, propagator: Propagator, images: torch.Tensor, rows: NDArray[np.int64]) -> Iterator[Pass]:
        """Relevance [m, C, H, W] and logits [m] of the pairs, in pieces that fit into the memory."""
        # half of the memory for what a chunk of frames leaves behind, half for the relevance on its way
        share, word = self.memory_bytes // 2, images.element_size()
        frames_at_once = max(1, share // (propagator.values_per_frame * word))
        pairs_at_once = max(1, share // (propagator.values_per_pair * word))
        used, first = np.unique(rows[:, 0], return_index=True)
        bounds = np.append(first, len(rows))
        for start in range(0, len(used), frames_at_once):
            chunk = used[start : start + frames_at_once]
            begin, end = bounds[start], bounds[start + len(chunk)]
            frame = torch.from_numpy(np.searchsorted(chunk, rows[begin:end, 0]))
            output = torch.from_numpy(rows[begin:end, 1])
            if chunk[-1] - chunk[0] + 1 == len(chunk):
                x = images[chunk[0] : chunk[-1] + 1]
            else:
                x = images[torch.from_numpy(chunk).to(images.device)]
            if self.engine == "zennit":
                r, score = _zennit(propagator, self.preset, x, frame, output)
                yield slice(begin, end), r, score
                continue
            state = propagator.forward(x)
            for low in range(0, end - begin, pairs_at_once):
                part = slice(low, min(low + pairs_at_once, end - begin))
                score = state.logits[frame[part].to(x.device), output[part].to(x.device)]
                where = slice(begin + part.start, begin + part.stop)
                yield where, propagator.backward(state, frame[part], output[part]), score


def _numpy_dtype(x: torch.Tensor) -> type:
    return np.float64 if x.dtype == torch.float64 else np.float32


def _zennit(
    propagator: Propagator, preset: Preset, images: torch.Tensor, frame: torch.Tensor, output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: for every output a forward and a backward pass through zennit's hooks."""
    result = images.new_empty((len(frame), *images.shape[1:]))
    score = images.new_empty(len(frame))
    with zennit_composite(propagator.network, preset).context(propagator.network) as network:
        for target in output.unique().tolist():
            mine = (output == target).nonzero()[:, 0]
            x = images[frame[mine].to(images.device)].clone().requires_grad_()
            with torch.enable_grad():
                logits = network(x)[:, target]
                (r,) = torch.autograd.grad(logits, x, logits.detach())
            result[mine], score[mine] = r, logits.detach()
    return result, score


def factory_of(name: str) -> Callable[..., Explainer]:
    """Factory of the methods that propagate relevance under a composite.

    Parameters
    ----------
    name
        One of `COMPOSITES`.

    Returns
    -------
    callable
        Takes the options of the composite and those of `LRP`, which its signature names.
    """
    composite = COMPOSITES[name]

    def factory(
        engine: str = "fast", memory_mib: float = 512.0, backward: str = "full", **options: object
    ) -> Explainer:
        return LRP(composite(**options), engine, memory_mib, backward)

    *own, _ = inspect.signature(factory).parameters.values()
    options = inspect.signature(composite).parameters.values()
    factory.__signature__ = inspect.Signature([*options, *own])  # type: ignore[attr-defined]
    return factory
