"""Second step of phase 1: every crop is predicted and the chosen (frame, target) pairs are explained."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch import explain
from fer_batch.models.card import ResolvedModel
from fer_batch.models.checkpoint import load
from fer_batch.models.heads import active, probabilities
from fer_batch.models.preprocess import preprocess
from fer_batch.pipeline.devices import own_device
from fer_batch.pipeline.explaining.chunk import Chunk, ExplainOptions
from fer_batch.pipeline.explaining.units import Wanted
from fer_batch.registry import nearest
from fer_batch.storage.markers import ExplainCost
from fer_batch.types import InputError, Relevance


def select_pairs(
    probability: NDArray[np.float32], annotated: list[list[str]], options: ExplainOptions
) -> NDArray[np.int64]:
    """Rows (frame, output) to explain, sorted.

    Parameters
    ----------
    probability : shape (n, A)
    annotated
        Targets that the ground truth says are present, for each frame.

    Returns
    -------
    shape (m, 2), int64
    """
    names = options.model.targets
    if options.targets == "active":
        chosen = active(probability, options.model.head, options.model.threshold)
    elif options.targets == "annotated":
        chosen = np.array([[name in present for name in names] for present in annotated], bool)
    elif options.targets == "all":
        chosen = np.ones(probability.shape, bool)
    else:
        chosen = np.broadcast_to(np.isin(names, options.targets), probability.shape)
    return np.argwhere(chosen.reshape(probability.shape)).astype(np.int64)


def method_options(options: ExplainOptions) -> dict[str, object]:
    """The job's options of the method, and what the model adds."""
    return options_of_model(options.method, options.options, options.model)


def options_of_model(method: str, options: Mapping[str, object], model: ResolvedModel) -> dict[str, object]:
    """Options of a method, and the model's mean and std where the method asks what black or grey is.

    Parameters
    ----------
    method
        Its name.
    options
        As the job gives them.
    model
        That is explained.
    """
    chosen = dict(options)
    parameters = inspect.signature(explain.METHODS[method].load()).parameters
    for name in ("mean", "std"):
        if name in parameters:
            chosen.setdefault(name, getattr(model.preprocessing, name))
    return chosen


class Explanation:
    """One explainer at work, with the time that it takes.

    Parameters
    ----------
    options
        What is explained, and how.
    device
        Of the network.

    Raises
    ------
    ValueError, TypeError
        If the method, one of its options or a target is wrong.
    """

    def __init__(self, options: ExplainOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        self.explainer = explain.method(options.method, **method_options(options))
        self._is_warm = False
        if not isinstance(options.targets, str):
            for target in options.targets:
                if target not in options.model.targets:
                    known = nearest(target, options.model.targets)
                    raise InputError(f"explain.targets: the model has no output {target!r}; {known}")

    def maps(self, model: nn.Module, images: torch.Tensor, pairs: NDArray[np.int64]) -> tuple[Relevance, ExplainCost]:
        """Maps of some pairs, and what they took.

        Parameters
        ----------
        model
            The network.
        images : shape (n, 3, size, size), float32
            As the network takes them.
        pairs : shape (m, 2), int64
            Rows of `images` and outputs, sorted; m > 0.
        """
        self._wait()
        begin = time.perf_counter()
        relevance = self.explainer(model, images, pairs)
        self._wait()
        seconds, n_images = time.perf_counter() - begin, len(np.unique(pairs[:, 0]))
        if self._is_warm:
            return relevance, ExplainCost(seconds=seconds, n_images=n_images, n_maps=len(pairs))
        self._is_warm = True
        return relevance, ExplainCost(first_seconds=seconds, n_first_images=n_images, n_first_maps=len(pairs))

    def _wait(self) -> None:
        """Until the GPU has done what it was asked, so that the time is that of one explanation."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Batch(NamedTuple):
    """Some crops of a chunk with what the network says of them.

    Attributes
    ----------
    rows
        Of the chunk.
    images : shape (n, 3, size, size), float32
    logits, probability : shape (n, A), float32
    """

    rows: slice
    images: torch.Tensor
    logits: NDArray[np.float32]
    probability: NDArray[np.float32]


class ExplainStage:
    """Loads its model once and adds logits, probabilities and the maps of every explanation to chunks.

    A wrong model or method is the user's to mend: it is reported in the first row instead of raised, because Ray would
    restart a failing constructor for ever.

    Parameters
    ----------
    options
        Of each explanation of the job; they share the model.
    """

    def __init__(self, options: Sequence[ExplainOptions]) -> None:
        self.options = tuple(options)
        self.problem: tuple[int, str] | None = None  # which explanation cannot be made, and why
        # Ray gives an actor without reserved CPUs a single thread; decode tasks leave the rest to the model.
        # Of a cluster's CPUs a node has a part.
        torch.set_num_threads(min(options[0].n_threads, os.cpu_count() or 1))
        self.device = own_device()
        self.explanations: list[Explanation] = []
        try:
            self.model = load(options[0].model).to(self.device).eval()
            for one in options:
                self.explanations.append(Explanation(one, self.device))
        except (ValueError, TypeError) as error:
            self.problem = (len(self.explanations), str(error))

    def __call__(self, batch: dict[str, NDArray[Any]]) -> Iterator[dict[str, list[Any]]]:
        """A batch of one chunk in; the same with maps out, once for each explanation that wants it.

        One after another, so that the maps of one explanation are on their way before those of the next are made.
        """
        chunk = Chunk.from_batch(batch)
        batches: dict[int, list[Batch]] = {}
        for explanation, unit_id in chunk.wanted_by or (Wanted(0, chunk.unit_id),):
            explained = chunk
            if self.problem is None:
                try:
                    explained = self.explain(chunk, explanation, batches)
                except (ValueError, TypeError) as error:
                    self.problem = (explanation, str(error))
            at, problem = self.problem or (explanation, "")
            row = explained.with_maps(unit_id=unit_id, explanation=at, wanted_by=()).to_row()
            yield {key: [value] for key, value in {**row, "problem": problem}.items()}

    def explain(self, chunk: Chunk, explanation: int = 0, known: dict[int, list[Batch]] | None = None) -> Chunk:
        """Logits and probabilities of every crop, maps of the pairs that an explanation chooses.

        Parameters
        ----------
        chunk
            With crops.
        explanation
            Which of `options`.
        known
            What the network said of this chunk already, by batch size; explanations after the first read it here.
        """
        options, own = self.options[explanation], self.explanations[explanation]
        if known is None:
            known = {}
        if options.batch_size not in known:
            known[options.batch_size] = list(self._batches(chunk.images, options))
        found = known[options.batch_size]
        pairs, maps, conservation, cost = [], [], [], ExplainCost()
        for batch in found:
            wanted = select_pairs(batch.probability, chunk.annotated[batch.rows], options)
            if len(wanted):
                relevance, taken = own.maps(self.model, batch.images, wanted)
                pairs.append(wanted + [batch.rows.start, 0])
                maps.append(relevance.values)
                conservation.append(relevance.conservation)
                cost += taken
        size, none = options.model.preprocessing.size, np.zeros((0, len(options.model.targets)), np.float32)
        return chunk.with_maps(
            logits=np.concatenate([none, *(batch.logits for batch in found)]),
            probability=np.concatenate([none, *(batch.probability for batch in found)]),
            pairs=np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64),
            relevance=np.concatenate(maps) if maps else np.zeros((0, size, size), np.float32),
            conservation=np.concatenate(conservation) if conservation else np.zeros(0, np.float32),
            cost=cost,
        )

    def _batches(self, crops: NDArray[np.uint8], options: ExplainOptions) -> Iterator[Batch]:
        for start in range(0, len(crops), options.batch_size):
            rows = slice(start, start + options.batch_size)
            images = preprocess(crops[rows], options.model.preprocessing, self.device)
            with torch.inference_mode():
                logits = self.model(images).float().cpu().numpy()
            yield Batch(rows, images, logits, probabilities(logits, options.model.head))
