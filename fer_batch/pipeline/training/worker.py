"""What one process of a training does: its share of one fold, epoch by epoch, with its state in the store.

The state is one file, put whole after every epoch, because Ray Train writes the list of its own checkpoints in place:
killed at the wrong moment it would not know them again.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import NetworkConfig, TrainConfig
from fer_batch.pipeline.training.folds import folds_of, spaces_of
from fer_batch.pipeline.training.maps import maps_of
from fer_batch.pipeline.training.marker import FoldJob, FoldMarker, StatedParts, defined
from fer_batch.pipeline.training.samples import labels_of, read_samples
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError

if TYPE_CHECKING:
    from torch import nn

    from fer_batch.training.data import FaceSet
    from fer_batch.training.fold import FoldResult, FoldTraining
    from fer_batch.training.recipe import Recipe
    from fer_batch.training.splits import Fold


_CAFFE = (
    "network.checkpoint {} has the names of Caffe's VGG-Face, whose layers expect pixels from 0 to 255, and the job's "
    "preprocessing gives them from 0 to 1; network.preprocessing.std: [0.0039216, 0.0039216, 0.0039216] gives the "
    "former, and color: bgr the order of channels of files that were not turned to RGB"
)


def make_network(
    network: NetworkConfig, n_outputs: int, advise: Callable[[str], None] = lambda sentence: None
) -> nn.Module:
    """The network of a job: fresh, but for what a checkpoint gives it.

    Parameters
    ----------
    network
        Section `network` of the job.
    n_outputs
        Number of logits.
    advise
        Called with a sentence where the checkpoint and the preprocessing may not fit each other.

    Raises
    ------
    InputError
        If it cannot be built, or the checkpoint does not fit it.
    """
    from fer_batch.models.backbone import build, head_prefixes
    from fer_batch.models.card import read_file
    from fer_batch.models.checkpoint import call_factory, load_state, read_state
    from fer_batch.models.pretrained import vgg_face_names

    try:
        if network.factory:
            model = call_factory(network.factory, network.options)
        else:
            model = build(str(network.architecture), n_outputs, network.options)
        if network.checkpoint:
            state = read_state(read_file(network.checkpoint), network.checkpoint)
            key_map = network.key_map
            if network.architecture == "vgg_face" and key_map is None:
                key_map = vgg_face_names(state)
                if key_map is not None and network.preprocessing.unit_range:
                    advise(_CAFFE.format(network.checkpoint))
            load_state(model, state, key_map, network.checkpoint, network.fresh or head_prefixes(model))
    except InputError as error:  # it names keys of the section
        raise InputError(f"network: {error}") from error
    return model


def make_recipe(config: TrainConfig) -> Recipe:
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


def face_set(job: FoldJob, store: Store, samples: pa.Table) -> FaceSet:
    """The samples of a training with their crops, uint8 (N, size, size, 3), mapped into memory, and maps if aligned."""
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
        maps=maps_of(job, store, samples) if job.config.align else None,
        spaces=spaces_of(job.config, datasets),
    )


class WorkerArguments(TypedDict):
    """What Ray Train hands to every worker."""

    jobs: list[FoldJob]


def train_on_worker(arguments: WorkerArguments) -> None:
    """Train some folds one after the other and store what came of each; the loop that Ray Train runs on every worker.

    What can never work is written as `.error.json` and not raised, because Ray Train would try it again.

    Parameters
    ----------
    arguments
        Folds; those with a marker are skipped.
    """
    import ray.train.torch

    first = ray.train.get_context().get_world_rank() == 0
    device = ray.train.torch.get_device()
    jobs = arguments["jobs"]
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
    samples = read_samples(store, job.folder)
    training = _fold_training(job, store, samples, device)
    _go_on(training, job, store, device, first)
    if first:
        _write_result(job, store, training.result(), samples)
    _together(device)


def _fold_training(job: FoldJob, store: Store, samples: pa.Table, device: Any) -> FoldTraining:
    from fer_batch.training.fold import FoldTraining
    from fer_batch.training.reasons import auxiliary_of

    network, align = job.config.network, job.config.align
    return FoldTraining(
        face_set(job, store, samples),
        folds_of(job.config, samples)[job.index],
        lambda: make_network(network, len(job.targets)),
        make_recipe(job.config),
        network.preprocessing,
        device,
        auxiliary_of(align, job.config.head) if align else None,
    )


def _go_on(training: FoldTraining, job: FoldJob, store: Store, device: Any, first: bool) -> None:
    """Train from the stored state to the end; the first worker stores the state after every epoch."""
    import torch

    state = job.path(".state.pt")
    if store.exists(state):
        training.restore(torch.load(io.BytesIO(store.read_bytes(state)), map_location=device, weights_only=True))

    def keep() -> None:
        with store.staged(state) as local:
            torch.save(training.state(), local)
        store.put(job.path(".progress.json"), dump({"epoch": training.epoch}))

    training.run(keep if first else None)


def _write_result(job: FoldJob, store: Store, result: FoldResult, samples: pa.Table) -> None:
    """The network that was kept, the predictions of the test part, and last the marker."""
    import safetensors.torch

    tensors = {name: tensor.contiguous() for name, tensor in result.model.state_dict().items()}
    store.put(job.path(".safetensors"), safetensors.torch.save(tensors))
    store.put(
        job.path(".predictions.parquet"), encode(_predictions(job, result, samples.take(pa.array(result.fold.test))))
    )
    store.put(job.path(".json"), dump(_marker(job, result, samples)))
    for suffix in (".state.pt", ".progress.json", ".error.json"):
        store.delete(job.path(suffix))


def _predictions(job: FoldJob, result: FoldResult, tested: pa.Table) -> pa.Table:
    """One row per sample of the test part and target."""
    from fer_batch.models.heads import probabilities

    truth = labels_of(tested, len(job.targets))
    n, n_targets = truth.shape

    def repeated(name: str) -> NDArray[Any]:
        return np.repeat(tested[name].to_numpy(zero_copy_only=False), n_targets)

    columns = {
        "dataset": repeated("dataset"),
        "recipe": np.full(n * n_targets, job.config.recipe_name),
        "fold": np.full(n * n_targets, result.fold.index, np.int32),
        **{name: repeated(name) for name in ("sequence_id", "frame_index", "subject_id")},
        "target": np.tile(np.array(job.targets), n),
        "logit": result.logits.ravel(),
        "probability": probabilities(result.logits, job.config.head).ravel(),
        "occurrence": pa.array(truth.ravel() == 1, mask=np.isnan(truth.ravel())),
    }
    return pa.table(columns)


def _marker(job: FoldJob, result: FoldResult, samples: pa.Table) -> FoldMarker:
    from fer_batch.training.metrics import confusion, scores

    fold, head = result.fold, job.config.head
    truth = labels_of(samples.take(pa.array(fold.test)), len(job.targets))
    stated = StatedParts(test=fold.stated.test, validation=fold.stated.validation) if fold.stated else None
    subjects, n_samples = _membership(fold, samples)
    return FoldMarker(
        fold=fold.index,
        name=fold.name,
        stated=stated,
        epoch=result.epoch,
        f1=[defined(v) for v in result.f1],
        accuracy=defined(scores(result.logits, truth, head).accuracy),
        confusion=confusion(result.logits, truth).tolist() if head == "softmax" else None,
        loss=defined(result.loss),
        preprocessing=result.preprocessing.model_dump(),
        n_observed=(~np.isnan(truth)).sum(0).tolist(),
        n_positive=(truth == 1).sum(0).tolist(),
        class_weights=result.class_weights.tolist(),
        without_positives=list(result.without_positives),
        history=[{k: None if np.isnan(v) else v for k, v in epoch.items()} for epoch in result.history],
        subjects=subjects,
        n_samples=n_samples,
    )


def _membership(fold: Fold, samples: pa.Table) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """By part of the fold: its subjects, and how many samples of each dataset it has."""
    subjects, datasets = (np.asarray(samples[name].to_pylist(), str) for name in ("subject_id", "dataset"))
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    people = {part: sorted(set(subjects[rows].tolist())) for part, rows in parts.items()}
    counts = {part: zip(*np.unique(datasets[rows], return_counts=True), strict=True) for part, rows in parts.items()}
    return people, {part: {str(name): int(n) for name, n in pairs} for part, pairs in counts.items()}
