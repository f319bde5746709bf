"""Second step of phase 1: every crop is predicted and the chosen (frame, target) pairs are explained."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.models.checkpoint import load
from fer_batch.models.heads import active, probabilities
from fer_batch.models.preprocess import preprocess
from fer_batch.pipeline.explaining.chunk import Chunk, ExplainOptions
from fer_batch.registry import nearest
from fer_batch.types import InputError


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
    """The job's options of the method, and the model's mean and std where the method asks what black or grey is."""
    chosen = dict(options.options)
    parameters = inspect.signature(explain.METHODS[options.method].load()).parameters
    for name in ("mean", "std"):
        if name in parameters:
            chosen.setdefault(name, getattr(options.model.preprocessing, name))
    return chosen


class ExplainStage:
    """Loads its model once and adds logits, probabilities and maps to chunks.

    A wrong model or method is the user's to mend: it is reported in the first row instead of raised, because Ray would
    restart a failing constructor for ever.
    """

    def __init__(self, options: ExplainOptions) -> None:
        self.options = options
        self.problem: str | None = None
        # Ray gives an actor without reserved CPUs a single thread; decode tasks leave the rest to the model.
        torch.set_num_threads(options.n_threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.explainer = explain.method(options.method, **method_options(options))
            self.model = load(options.model).to(self.device).eval()
            if not isinstance(options.targets, str):
                for target in options.targets:
                    if target not in options.model.targets:
                        known = nearest(target, options.model.targets)
                        raise InputError(f"explain.targets: the model has no output {target!r}; {known}")
        except (ValueError, TypeError) as error:
            self.problem = str(error)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """A batch of one chunk in, the same with maps out."""
        chunk = Chunk.from_batch(batch)
        if self.problem is None:
            try:
                chunk = self.explain(chunk)
            except (ValueError, TypeError) as error:
                self.problem = str(error)
        row = {**chunk.to_row(), "problem": self.problem or ""}
        return {key: [value] for key, value in row.items()}

    def explain(self, chunk: Chunk) -> Chunk:
        """Logits and probabilities of every crop, maps of the chosen pairs."""
        options, n = self.options, len(chunk.images)
        logits = np.zeros((n, len(options.model.targets)), np.float32)
        probability = np.zeros_like(logits)
        pairs, maps, conservation = [], [], []
        for start in range(0, n, options.batch_size):
            rows = slice(start, start + options.batch_size)
            images = preprocess(chunk.images[rows], options.model.preprocessing, self.device)
            with torch.inference_mode():
                logits[rows] = self.model(images).float().cpu().numpy()
            probability[rows] = probabilities(logits[rows], options.model.head)
            wanted = select_pairs(probability[rows], chunk.annotated[rows], options)
            if len(wanted):
                relevance = self.explainer(self.model, images, wanted)
                pairs.append(wanted + [start, 0])
                maps.append(relevance.values)
                conservation.append(relevance.conservation)
        size = options.model.preprocessing.size
        return chunk.with_maps(
            images=chunk.images,
            logits=logits,
            probability=probability,
            pairs=np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64),
            relevance=np.concatenate(maps) if maps else np.zeros((0, size, size), np.float32),
            conservation=np.concatenate(conservation) if conservation else np.zeros(0, np.float32),
        )
