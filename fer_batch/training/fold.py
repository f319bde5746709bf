"""The training of one fold: epoch by epoch, stopped and taken up again anywhere, with what came of it.

The randomness of an epoch is drawn from (seed, fold, epoch, rank) alone, so that a training that was taken up from the
state after epoch 7 goes on as if it had never stopped. Where `torch.distributed` is set up, its processes train one
network together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_batch.models.acol import adds_loss
from fer_batch.models.card import Preprocessing, TrainPreprocessing
from fer_batch.training.augment import AUGMENTATIONS, Augment
from fer_batch.training.auxiliary import Auxiliary, noted
from fer_batch.training.batches import Batch, batches, order_of
from fer_batch.training.centring import measured
from fer_batch.training.data import FaceSet
from fer_batch.training.device import deterministic
from fer_batch.training.fold_result import FoldResult, Running
from fer_batch.training.loop import Loss, logits_of, train_epoch
from fer_batch.training.losses import class_loss, positive_weights, squared_norm, weighted_bce
from fer_batch.training.metrics import scores
from fer_batch.training.prefetch import prefetched
from fer_batch.training.recipe import OPTIMIZERS, Recipe, freeze_all_but, learning_rates
from fer_batch.training.subjects import Fold
from fer_batch.training.swapping import Swap
from fer_batch.training.together import mean_of_values, mean_of_workers, rank_and_size, share_buffers

Network = Callable[[], nn.Module]
_WEIGHTS, _ORDER, _AUGMENT, _DROPOUT, _VALIDATION = range(5)


class FoldTraining:
    """One fold under way.

    Parameters
    ----------
    faces, fold
        The collection, and which of its rows are trained on, validated on and tested on.
    network
        Makes a freshly initialised (or pretrained) network from preprocessed images to logits.
    recipe
        How it is fitted.
    preprocessing
        Size, colour, mean and deviation, applied after augmentation; what is `train` is measured on the training part
        before the first epoch.
    device
        Where it is computed.
    auxiliary
        A second loss on activations and the collection's maps.
    swap
        What is kept of each crop of the collection where the rest is exchanged in training.

    Raises
    ------
    ValueError
        If recipe and collection do not fit each other.
    """

    def __init__(
        self,
        faces: FaceSet,
        fold: Fold,
        network: Network,
        recipe: Recipe,
        preprocessing: Preprocessing | TrainPreprocessing | None = None,
        device: torch.device | str = "cpu",
        auxiliary: Auxiliary | None = None,
        swap: Swap | None = None,
    ) -> None:
        if recipe.needs_validation and not len(fold.validation):
            raise ValueError(f"recipe {recipe.id} watches a validation part; split one off")
        if auxiliary is not None and faces.maps is None:
            raise ValueError("an auxiliary loss needs maps, and the collection has none")
        self.faces, self.fold, self.recipe = faces, fold, recipe
        self.auxiliary = auxiliary if auxiliary is not None and auxiliary.weight else None
        self.swap = None if swap is None else swap.checked(len(faces))
        self.epoch = 0
        self._preprocessing = preprocessing or Preprocessing(size=faces.images.shape[1])
        self.device = torch.device(device)
        self.rank, self.n_workers = rank_and_size()
        deterministic(self.device)
        torch.manual_seed(self._seed(_WEIGHTS, shared=True))
        self.model = network().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze_all_but(self.model, recipe.trainable)
        self._labels = torch.from_numpy(np.ascontiguousarray(faces.labels))
        training = self._labels[fold.train]
        weighted = recipe.class_weights and faces.head == "multilabel"
        self.class_weights = positive_weights(training) if weighted else torch.ones(len(faces.targets))
        self.without_positives = tuple(
            target for target, shown in zip(faces.targets, (training == 1).any(0).tolist(), strict=True) if not shown
        )
        # whole batches only; a part smaller than one batch is one batch
        self._share = min(recipe.batch_size, len(fold.train)) // self.n_workers
        if self._share < 1:
            raise ValueError(f"{self.n_workers} workers need as many samples, got {len(fold.train)} to train on")
        if self.swap is not None and self._share < 2:
            raise ValueError(
                "swap_outside exchanges between the crops of one worker's batch; "
                "give recipe.batch_size 2 or more a worker"
            )
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.model, recipe)
        self.schedule = learning_rates(self.optimizer, recipe, len(fold.train) // (self._share * self.n_workers))
        self.history: list[dict[str, float]] = []
        self._best: dict[str, Any] | None = None  # {"epoch", "value", "weights"}
        self._module: nn.Module = self.model
        if self.n_workers > 1:
            self._module = nn.parallel.DistributedDataParallel(self.model)

    @property
    def preprocessing(self) -> Preprocessing:
        """How crops become the network's input, in numbers."""
        if isinstance(self._preprocessing, TrainPreprocessing):
            self._preprocessing = measured(self._preprocessing, self.faces.images, self.fold.train, self.device)
        return self._preprocessing

    @property
    def finished(self) -> bool:
        """Whether no epoch is left, or the validation loss has stopped falling."""
        return self.epoch >= self.recipe.epochs or self._patience_is_over()

    def run(self, after_epoch: Callable[[], None] | None = None) -> FoldTraining:
        """Train what is left to do, and give itself; `after_epoch` is called after every epoch."""
        while not self.finished:
            self.run_epoch()
            if after_epoch:
                after_epoch()
        return self

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch and measure it.

        Returns
        -------
        `split/metric` to value; appended to `history`

        Raises
        ------
        FloatingPointError
            If the loss is not finite.
        """
        recipe = self.recipe
        rate = float(self.optimizer.param_groups[0]["lr"])
        torch.manual_seed(self._seed(_DROPOUT))
        seen, second = Running(self.faces.head), list[float]()
        minimised = train_epoch(
            self._module,
            self._batches(),
            self._loss(),
            self.optimizer,
            self.schedule,
            preprocessing=self._step,
            auxiliary=None if self.auxiliary is None else noted(self.auxiliary, second),
            penalty=self._l2 if recipe.l2 else None,
            autocast=recipe.autocast,
            on_batch=seen.add,
            where=f"fold {self.fold.index}, epoch {self.epoch + 1}",
        )
        if self.n_workers > 1:
            share_buffers(self.model)  # so that all measure, stop and keep alike
        self.epoch += 1
        found = {f"train/{name}": mean_of_workers(value, self.device) for name, value in seen.summary().items()}
        if recipe.l2 or self.auxiliary is not None or adds_loss(self.model):
            found["train/minimised"] = mean_of_workers(minimised, self.device)
        if self.auxiliary is not None:
            found["train/alignment"] = mean_of_values(second, self.device)
        found["train/learning_rate"] = rate
        if len(self.fold.validation):
            measured_there = self._measure(self.fold.validation, recipe.augment_validation)
            found |= {f"validation/{k}": v for k, v in measured_there.items()}
        if recipe.selection == "best_test":
            found |= {f"test/{k}": v for k, v in self._measure(self.fold.test).items()}
        self.history.append(found)
        self._keep_best(found)
        return found

    def result(self) -> FoldResult:
        """Test the network of the epoch that is kept.

        Raises
        ------
        RuntimeError
            If no epoch was trained.
        """
        if not self.epoch:
            raise RuntimeError(f"fold {self.fold.index} has not been trained")
        if self._best is not None:
            self.model.load_state_dict(self._best["weights"])
        logits = self._logits(self.fold.test)
        return FoldResult(
            fold=self.fold,
            model=copy.deepcopy(self.model.eval()).to("cpu", memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            epoch=self._best["epoch"] if self._best else self.epoch,
            logits=logits,
            loss=self._loss_of(logits, self.fold.test),
            preprocessing=self.preprocessing,
            f1=scores(logits, self.faces.labels[self.fold.test], self.faces.head).f1,
            history=list(self.history),
            class_weights=self.class_weights.numpy().astype(np.float64),
            without_positives=self.without_positives,
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch stands on, as tensors and plain values."""
        return {
            "epoch": self.epoch,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict()["last_epoch"],
            "best": self._best,
            "preprocessing": self.preprocessing.model_dump(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]
        self.schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.epoch, self.history, self._best = state["epoch"], list(state["history"]), state["best"]
        if "preprocessing" in state:  # of an earlier version without it nothing is measured
            self._preprocessing = Preprocessing(**state["preprocessing"])

    def _seed(self, purpose: int, shared: bool = False) -> int:
        parts = [self.recipe.seed, self.fold.index, self.epoch, purpose, 0 if shared else self.rank]
        return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)

    def _batches(self) -> Iterator[Batch]:
        order, start = torch.Generator().manual_seed(self._seed(_ORDER, shared=True)), self.rank * self._share
        rows = order_of(len(self.fold.train), self._share * self.n_workers, order)
        own = [self.fold.train[batch[start : start + self._share]] for batch in rows]
        augment = AUGMENTATIONS[self.recipe.augment](**self.recipe.augment_options)
        generator = torch.Generator().manual_seed(self._seed(_AUGMENT))
        maps = None if self.auxiliary is None else self.faces.maps
        found = batches(self.faces.images, self._labels, maps, own, augment, generator, self.device, self.swap)
        # on a GPU the next batch is read while this one is computed; on CPUs both want the same cores
        return prefetched(found) if self.device.type == "cuda" else found

    def _loss(self) -> Loss:
        if self.faces.head == "softmax":
            return class_loss
        weights = self.class_weights.to(self.device)
        return lambda logits, labels: weighted_bce(logits, labels, weights)

    def _l2(self) -> torch.Tensor:
        return self.recipe.l2 * squared_norm(self.model.named_parameters(), self.recipe.l2_layers)

    @property
    def _step(self) -> Preprocessing | None:
        """What is left to do to crops; None where they are the network's input."""
        plain = Preprocessing(size=self.faces.images.shape[1])
        return None if self.preprocessing == plain else self.preprocessing

    def _logits(
        self, rows: NDArray[np.int64], augment: Augment | None = None, generator: torch.Generator | None = None
    ) -> NDArray[np.float32]:
        images, how = self.faces.images, self._step
        return logits_of(self.model, images, 128, rows, how, self.device, augment, generator)

    def _loss_of(self, logits: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
        """The loss that training minimises, with its weights of L-1, without what is added to it."""
        return float(self._loss()(torch.from_numpy(logits).to(self.device), self._labels[rows].to(self.device)))

    def _measure(self, rows: NDArray[np.int64], augmented: bool = False) -> dict[str, float]:
        """Figures of one part, whose crops are augmented anew in each epoch where that is asked for."""
        augment = AUGMENTATIONS[self.recipe.augment](**self.recipe.augment_options) if augmented else None
        logits = self._logits(rows, augment, torch.Generator().manual_seed(self._seed(_VALIDATION, shared=True)))
        found = scores(logits, self._labels[rows].numpy(), self.faces.head)
        return {"loss": self._loss_of(logits, rows), **found.summary()}

    def _keep_best(self, found: dict[str, float]) -> None:
        if self.recipe.selection == "last":
            return
        value = found["test/loss" if self.recipe.selection == "best_test" else "validation/loss"]
        if self._best is None or value < self._best["value"]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
            self._best = {"epoch": self.epoch, "value": value, "weights": weights}

    def _patience_is_over(self) -> bool:
        if self.recipe.patience is None or not self.history:
            return False
        losses = [found["validation/loss"] for found in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) >= self.recipe.patience
