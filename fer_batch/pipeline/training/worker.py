"""What one process of a training does: its share of one fold, epoch by epoch, with its state in the store.

The state is one file, put whole after every epoch, because Ray Train writes the list of its own checkpoints in place:
killed at the wrong moment it would not know them again.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import NetworkConfig, TrainConfig
from fer_batch.pipeline.training.data import Crops
from fer_batch.pipeline.training.folds import folds_of, spaces_of
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError


@dataclass(frozen=True)
class FoldJob:
    """One fold of a training, as it travels to the processes that train it.

    Attributes
    ----------
    output, folder
        Where the training keeps what it knows: `<folder>/samples.parquet` and `<folder>/folds/`.
    targets
        Of the outputs, in order.
    index
        Which fold.
    """

    output: str
    folder: str
    config: TrainConfig
    crops: Crops
    targets: tuple[str, ...]
    index: int

    def path(self, suffix: str) -> str:
        """A file of this fold, relative to the output."""
        return f"{self.folder}/folds/{self.index:03d}{suffix}"


def read_samples(store: Store, folder: str) -> pa.Table:
    """The labelled crops of a training: `row` among the crops, who, what, where, and `labels`."""
    return decode(store.read_bytes(f"{folder}/samples.parquet"))


def labels_of(samples: pa.Table, n_targets: int) -> NDArray[np.float32]:
    """Labels of samples, shape (N, A); NULL is NaN."""
    flat = samples["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, n_targets)


def make_network(network: NetworkConfig, n_outputs: int) -> Any:
    """The network of a job: fresh, but for what a checkpoint gives it.

    Raises
    ------
    InputError
        If it cannot be built, or the checkpoint does not fit it.
    """
    from fer_batch.models.backbone import build, head_prefixes
    from fer_batch.models.card import read_file
    from fer_batch.models.checkpoint import call_factory, load_state, read_state

    try:
        if network.factory:
            model = call_factory(network.factory, network.options)
        else:
            model = build(str(network.architecture), n_outputs, network.options)
        if network.checkpoint:
            state = read_state(read_file(network.checkpoint), network.checkpoint)
            load_state(model, state, network.key_map, network.checkpoint, network.fresh or head_prefixes(model))
    except InputError as error:  # it names keys of the section
        raise InputError(f"network: {error}") from error
    return model


def defined(value: float) -> float | None:
    """The value as JSON and Parquet take it: None where it is undefined."""
    return None if np.isnan(value) else float(value)


def make_recipe(config: TrainConfig) -> Any:
    """The recipe of a job.

    Raises
    ------
    ValueError
        If it names what there is not.
    """
    from fer_batch.training.augment import AUGMENTATIONS
    from fer_batch.training.recipe import Recipe

    recipe = Recipe(**asdict(config.recipe), seed=config.seed)
    try:
        AUGMENTATIONS[recipe.augment](**recipe.augment_options)
    except TypeError as error:
        raise ValueError(f"augment_options do not fit {recipe.augment}: {error}") from None
    return recipe


def face_set(job: FoldJob, store: Store, samples: pa.Table) -> Any:
    """The samples of a training with their crops mapped into memory."""
    from fer_batch.training.data import FaceSet, Rows, Shards

    images = Rows(Shards(job.crops.files(store), job.crops.size), samples["row"].to_numpy())
    datasets = np.asarray(samples["dataset"].to_pylist(), str)
    return FaceSet(
        images=images,
        labels=labels_of(samples, len(job.targets)),
        targets=job.targets,
        subjects=np.asarray(samples["subject_id"].to_pylist(), str),
        datasets=datasets,
        head=job.config.head,
        spaces=spaces_of(job.config, datasets),
    )


def train_on_worker(arguments: dict[str, Any]) -> None:
    """Train some folds one after the other and store what came of each; the loop that Ray Train runs on every worker.

    What can never work is written as `.error.json` and not raised, because Ray Train would try it again.

    Parameters
    ----------
    arguments
        `jobs`: a list of `FoldJob`; those with a marker are passed over.
    """
    import ray.train.torch

    first = ray.train.get_context().get_world_rank() == 0
    device = ray.train.torch.get_device()
    jobs: list[FoldJob] = arguments["jobs"]
    store = Store(jobs[0].output)
    # every worker must see the same list, and a marker may appear while one looks later than another
    waiting = [job for job in jobs if not store.exists(job.path(".json"))]
    _together(device)
    for job in waiting:
        try:
            _train(job, store, device, first)
        except (ValueError, TypeError, FloatingPointError) as error:
            if first:
                store.put(job.path(".error.json"), dump({"kind": type(error).__name__, "error": str(error)}))


def _together(device: Any) -> None:
    """Wait until all workers are here."""
    from torch import distributed

    if distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.barrier(device_ids=[device.index] if device.type == "cuda" else None)


def _train(job: FoldJob, store: Store, device: Any, first: bool) -> None:
    import torch

    from fer_batch.training.fold import FoldTraining

    samples = read_samples(store, job.folder)
    fold = folds_of(job.config, samples)[job.index]
    faces, network = face_set(job, store, samples), job.config.network
    training = FoldTraining(
        faces,
        fold,
        lambda: make_network(network, len(job.targets)),
        make_recipe(job.config),
        network.preprocessing,
        device,
    )
    state = job.path(".state.pt")
    if store.exists(state):
        training.restore(torch.load(io.BytesIO(store.read_bytes(state)), map_location=device, weights_only=True))
    while not training.finished:
        training.run_epoch()
        if first:
            with store.staged(state) as local:
                torch.save(training.state(), local)
            store.put(job.path(".progress.json"), dump({"epoch": training.epoch}))
    if first:
        _write_result(job, store, training.result(), samples)
    _together(device)


def _write_result(job: FoldJob, store: Store, result: Any, samples: pa.Table) -> None:
    """The network that was kept, the predictions of the test part, and last the marker."""
    import safetensors.torch

    from fer_batch.models.heads import probabilities
    from fer_batch.training.metrics import confusion, scores

    fold = result.fold
    tensors = {name: tensor.contiguous() for name, tensor in result.model.state_dict().items()}
    store.put(job.path(".safetensors"), safetensors.torch.save(tensors))
    tested = samples.take(pa.array(fold.test))
    truth = labels_of(tested, len(job.targets))
    n, n_targets = truth.shape
    columns = {
        "dataset": np.repeat(tested["dataset"].to_numpy(zero_copy_only=False), n_targets),
        "recipe": np.full(n * n_targets, job.config.recipe.id),
        "fold": np.full(n * n_targets, fold.index, np.int32),
        **{
            name: np.repeat(tested[name].to_numpy(zero_copy_only=False), n_targets)
            for name in ("sequence_id", "frame_index", "subject_id")
        },
        "target": np.tile(np.array(job.targets), n),
        "logit": result.logits.ravel(),
        "probability": probabilities(result.logits, job.config.head).ravel(),
        "occurrence": pa.array(truth.ravel() == 1, mask=np.isnan(truth.ravel())),
    }
    store.put(job.path(".predictions.parquet"), encode(pa.table(columns)))
    subjects, datasets = (np.asarray(samples[name].to_pylist(), str) for name in ("subject_id", "dataset"))
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    marker = {
        "fold": fold.index,
        "name": fold.name,
        "stated": asdict(fold.stated) if fold.stated else None,
        "epoch": result.epoch,
        "f1": [defined(v) for v in result.f1],
        "accuracy": defined(scores(result.logits, truth, job.config.head).accuracy),
        "confusion": confusion(result.logits, truth).tolist() if job.config.head == "softmax" else None,
        "n_observed": (~np.isnan(truth)).sum(0).tolist(),
        "n_positive": (truth == 1).sum(0).tolist(),
        "class_weights": result.class_weights.tolist(),
        "without_positives": list(result.without_positives),
        "history": [{k: None if np.isnan(v) else v for k, v in epoch.items()} for epoch in result.history],
        "subjects": {part: sorted(set(subjects[rows].tolist())) for part, rows in parts.items()},
        "n_samples": {
            part: {str(d): int(c) for d, c in zip(*np.unique(datasets[rows], return_counts=True), strict=True)}
            for part, rows in parts.items()
        },
    }
    store.put(job.path(".json"), dump(marker))
    for suffix in (".state.pt", ".progress.json", ".error.json"):
        store.delete(job.path(suffix))
