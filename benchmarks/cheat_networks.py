"""One small network of benchmarks/cheat_rates.py: trained with planted shortcuts, explained, and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from cheat_marks import AUS, TARGETS, Crops, Shortcut, disc_masks, painted, shown
from numpy.typing import NDArray

from fer_batch import explain
from fer_batch.evaluate.detection import f1_score
from fer_batch.evaluate.localisation import region_share, relevance_mass, resized
from fer_batch.models.backbone import ResNet18
from fer_batch.regions import kept_masks, region_masks, unit_maps
from fer_batch.training.augment import flip
from fer_batch.training.auxiliary import Auxiliary
from fer_batch.training.batches import as_images, batches, order_of
from fer_batch.training.data import MadeMaps
from fer_batch.training.loop import logits_of, train_epoch
from fer_batch.training.losses import positive_weights, weighted_bce
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.recipe import Recipe, adamw, learning_rates
from fer_batch.training.settings import AlignSettings, SwapSettings
from fer_batch.training.swapping import Swap


@dataclass(frozen=True)
class Settings:
    """What every network has in common."""

    size: int = 48
    width: float = 0.125
    first_epochs: int = 5  # of a network that others are fine-tuned from, on the whole pool
    epochs: int = 6
    n_training: int = 2400  # crops of the fine-tuning, drawn from the pool anew for every network
    batch: int = 64  # crops explained at a time
    method: str = "preset_a_flat"  # what a job explains with where it names nothing


@dataclass(frozen=True)
class PerSubject:
    """Sums over the true positives of each subject that has any, as the verdict takes them.

    Attributes
    ----------
    n : shape (S,)
        Frames with a defined mu.
    mass, share, weighted : shape (S,)
        Sums of mu, of the region's share of the crop, and of their quotient.
    n_others, others : shape (S,)
        Frames in which another target's map has positive relevance too, and the sums over them of the mean mu of
        those maps in the same region.
    """

    n: NDArray[np.int64]
    mass: NDArray[np.float64]
    share: NDArray[np.float64]
    weighted: NDArray[np.float64]
    n_others: NDArray[np.int64]
    others: NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """What is known of one Action Unit of one network.

    Attributes
    ----------
    network, arm
        Which one, and which part of the grid it belongs to.
    au
        FACS number.
    shortcut
        What was planted on it, if anything.
    f1
        On people who were not trained on, marks shown as in training.
    f1_bare
        The same crops without its own mark.
    effect
        How much the mark alone raises the share of crops in which the unit is detected: the same crops with the mark
        and without, mean over positives and negatives. 0 where nothing was planted.
    crosstalk
        The largest effect, in size, of a mark that was planted on another unit.
    mark_mass, mark_area
        Share of the positive relevance, and of the crop, that lies in the own mark where it is shown; NaN without one.
    subjects
        Of the true positives.
    """

    network: int
    arm: str
    au: int
    shortcut: Shortcut | None
    f1: float
    f1_bare: float
    effect: float
    crosstalk: float
    mark_mass: float
    mark_area: float
    subjects: PerSubject = field(repr=False)


def trained(
    pool: Crops,
    shortcuts: Sequence[Shortcut],
    seed: int,
    settings: Settings,
    ancestor: Mapping[str, torch.Tensor] | None = None,
    align: AlignSettings | None = None,
    swap: SwapSettings | None = None,
) -> ResNet18:
    """A small ResNet-18 on crops of the pool with the marks of these shortcuts.

    Parameters
    ----------
    pool
        What is drawn from, without marks.
    shortcuts
        Those it is trained with.
    seed
        Of the first weights, the crops that are drawn, their marks and their order.
    ancestor
        State of a network that is fine-tuned; random weights where there is none.
    align, swap
        Where it is made to look, and what is exchanged around it, as sections `align` and `swap_outside` of a training
        job say; nothing where there are none.
    """
    rng = np.random.default_rng([seed, 0])
    n = settings.n_training if ancestor is not None else len(pool.images)
    own = pool.rows(rng.choice(len(pool.images), min(n, len(pool.images)), replace=False))
    images = painted(own, shortcuts, shown(own, shortcuts, rng))
    labels = torch.from_numpy(own.occurrence)
    torch.manual_seed(seed)
    model = ResNet18(len(AUS), settings.width)
    recipe = Recipe(epochs=settings.first_epochs, batch_size=64, learning_rate=2e-3, weight_decay=0.02)
    if ancestor is not None:
        model.load_state_dict(dict(ancestor))
        recipe = replace(recipe, epochs=settings.epochs)
    second = None if align is None else (auxiliary_of(align, "multilabel"), maps_of(own))
    around = None if swap is None else Swap(kept_of(own, swap), swap.share)
    _fit(model, images, labels, replace(recipe, schedule="warm_cosine"), seed, second, around)
    return model


def maps_of(crops: Crops) -> MadeMaps:
    """Maps of the Action Units that each crop shows, float32 (N, S, S)."""
    size = crops.images.shape[1]

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        units = [[au for au, here in zip(AUS, crops.occurrence[row], strict=True) if here == 1] for row in rows]
        return unit_maps(crops.landmarks[rows], units, (size, size))

    return MadeMaps(make, (len(crops.images), size, size))


def kept_of(crops: Crops, swap: SwapSettings) -> MadeMaps:
    """What is kept of each crop, whatever it shows, float32 (N, S, S)."""
    size = crops.images.shape[1]
    targets = TARGETS if swap.keep == "regions" else None

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return kept_masks(crops.landmarks[rows], targets, (size, size), swap.margin)

    return MadeMaps(make, (len(crops.images), size, size))


def _fit(
    model: ResNet18,
    images: NDArray[np.uint8],
    labels: torch.Tensor,
    recipe: Recipe,
    seed: int,
    second: tuple[Auxiliary, MadeMaps] | None = None,
    swap: Swap | None = None,
) -> None:
    """`training.loop.fit` in float32: bfloat16 takes nine times as long on a CPU that does not compute in it."""
    generator, weights = torch.Generator().manual_seed(seed), positive_weights(labels)
    optimizer = adamw(model, recipe)
    schedule = learning_rates(optimizer, recipe, len(images) // recipe.batch_size)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for epoch in range(recipe.epochs):
        order = order_of(len(images), recipe.batch_size, generator)
        auxiliary, maps = second or (None, None)
        found = batches(images, labels, maps, order, flip(), generator, swap=swap)
        train_epoch(
            model, found, lambda z, y: weighted_bce(z, y, weights), optimizer, schedule, auxiliary=auxiliary,
            where=f"epoch {epoch + 1}",
        )  # fmt: skip
    model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def findings(
    model: torch.nn.Module,
    new: Crops,
    shortcuts: Sequence[Shortcut],
    seed: int,
    settings: Settings,
    arm: str,
    others: bool = True,
) -> list[Finding]:
    """Every Action Unit of one network, on crops of people it has not seen.

    Without `others`, which takes a third of the time, maps are not compared with those of the other outputs.
    """
    marks = shown(new, shortcuts, np.random.default_rng([seed, 1]))
    images = painted(new, shortcuts, marks)
    present, detected = new.occurrence == 1, logits_of(model, images) >= 0
    effects, bare = _effects(model, new, shortcuts, marks)
    right = present & detected
    maps = _maps(model, images, right.any(1, keepdims=True).repeat(len(AUS), 1) if others else right, settings)
    found = []
    for a, au in enumerate(AUS):
        own = next((k for k, shortcut in enumerate(shortcuts) if shortcut.au == au), None)
        others = [effects[k, a] for k in range(len(shortcuts)) if k != own]
        rows = np.flatnonzero(right[:, a])
        f1_bare = f1(present[:, a], bare[own][:, a]) if own is not None else f1(present[:, a], detected[:, a])
        mass, area = (np.nan, np.nan) if own is None else _in_mark(maps[rows, a], new, rows, marks, shortcuts, own)
        found.append(
            Finding(
                network=seed,
                arm=arm,
                au=au,
                shortcut=None if own is None else shortcuts[own],
                f1=f1(present[:, a], detected[:, a]),
                f1_bare=f1_bare,
                effect=0.0 if own is None else float(effects[own, a]),
                crosstalk=max(others, key=abs, default=0.0),
                mark_mass=mass,
                mark_area=area,
                subjects=_per_subject(maps[rows], a, new.rows(rows)),
            )
        )
    return found


def f1(present: NDArray[np.bool_], detected: NDArray[np.bool_]) -> float:
    counts = (present & detected).sum(), (~present & detected).sum(), (present & ~detected).sum()
    return float(f1_score(*(int(count) for count in counts)))


def _effects(
    model: torch.nn.Module, new: Crops, shortcuts: Sequence[Shortcut], marks: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], list[NDArray[np.bool_]]]:
    """What each mark does to each unit's detections, (K, A), and what is detected without it, the others as shown."""
    effects, bare = np.zeros((len(shortcuts), len(AUS))), []
    for k in range(len(shortcuts)):
        off, on = marks.copy(), marks.copy()
        off[:, k], on[:, k] = False, True
        without, with_it = (logits_of(model, painted(new, shortcuts, m)) >= 0 for m in (off, on))
        raised = with_it.astype(float) - without
        for a in range(len(AUS)):
            present = new.occurrence[:, a] == 1
            effects[k, a] = (raised[present, a].mean() + raised[~present, a].mean()) / 2
        bare.append(without)
    return effects, bare


def _maps(
    model: torch.nn.Module, images: NDArray[np.uint8], wanted: NDArray[np.bool_], settings: Settings
) -> NDArray[np.float32]:
    """Maps of the wanted outputs, (N, A), of each crop, shape (N, A, S, S); 0 elsewhere."""
    method = explain.method(settings.method)
    maps = np.zeros((len(images), len(AUS), settings.size, settings.size), np.float32)
    rows = np.flatnonzero(wanted.any(1))
    for start in range(0, len(rows), settings.batch):
        own = rows[start : start + settings.batch]
        pairs = np.argwhere(wanted[own])
        values = method(model, as_images(images[own]), pairs).values
        maps[own[pairs[:, 0]], pairs[:, 1]] = resized(values, maps.shape[2:])
    return maps


def _per_subject(maps: NDArray[np.float32], a: int, crops: Crops) -> PerSubject:
    size = maps.shape[-1]
    region = region_masks(crops.landmarks, TARGETS[a], (size, size))
    assert region is not None, TARGETS[a]
    mu, share = relevance_mass(maps[:, a], region), region_share(region)
    kept = ~np.isnan(mu) & ~np.isnan(share)
    mu, share = mu[kept], share[kept]
    others = np.array([relevance_mass(maps[kept, b], region[kept]) for b in range(len(AUS)) if b != a])
    compared = ~np.isnan(others).all(0)
    mean = np.nansum(others, 0) / np.maximum((~np.isnan(others)).sum(0), 1)
    _, person = np.unique(crops.people[kept], return_inverse=True)
    sums = (np.bincount(person, values) for values in (mu, share, mu / share))
    return PerSubject(
        np.bincount(person), *sums, np.bincount(person, compared).astype(np.int64), np.bincount(person, mean)
    )


def _in_mark(
    maps: NDArray[np.float32],
    new: Crops,
    rows: NDArray[np.int64],
    marks: NDArray[np.bool_],
    shortcuts: Sequence[Shortcut],
    own: int,
) -> tuple[float, float]:
    """Mean share of the positive relevance in the mark over the true positives that show it, and of its area."""
    seen = marks[rows, own]
    if not seen.any():
        return np.nan, np.nan
    masks = disc_masks(new.landmarks[rows[seen]], shortcuts[own], own, maps.shape[-1])
    return float(np.nanmean(relevance_mass(maps[seen], masks))), float(masks.mean())
