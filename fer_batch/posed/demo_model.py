"""Train the two demonstration models: `python -m fer_batch.posed.demo_model --help`.

They are trained on warps of one portrait and are there so that a fresh machine can run the whole program against exact
ground truth. On real faces their output is a demonstration, not a measurement; their cards say so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from fer_batch.evaluate.detection import f1
from fer_batch.facs import EXPRESSIONS
from fer_batch.models.backbone import ResNet18
from fer_batch.models.card import SHIPPED, Card, Preprocessing
from fer_batch.models.checkpoint import load_state, read_state, save
from fer_batch.posed.clips import write_clips, write_stills
from fer_batch.posed.crops import (
    HELD_OUT_IDENTITIES,
    TRAIN_IDENTITIES,
    Samples,
    clip_samples,
    still_samples,
    training_samples,
)
from fer_batch.posed.plans import TARGETS
from fer_batch.training.augment import photometric
from fer_batch.training.loop import fit, logits_of
from fer_batch.training.losses import positive_weights, weighted_bce

WIDTH, SIZE = 0.25, 112
# The units whose marks are large and lie apart; the card gives their mean F1 besides that of all.
CORE_TARGETS = ("AU01", "AU02", "AU04", "AU05", "AU12", "AU15", "AU25", "AU26")
NOTE = (
    "demonstration model: trained on warps of one portrait; on real faces its output is a demonstration, "
    "not a measurement. All training identities share the texture of one photograph (scikit-image's astronaut)."
)
LICENCE = "Apache-2.0, as the project; trained on a NASA portrait in the public domain"


@dataclass(frozen=True)
class Stability:
    """How cleanly predictions give the stages of clips.

    Attributes
    ----------
    frames_right
        Share of frames in which every observed label is predicted right.
    changes, changes_expected
        Mean number of times per clip that the predicted set changes, and that the annotated set (intensity at least
        2) does.
    flickers
        Mean number per clip of runs of one or two frames in the presence of a target, between longer ones.
    """

    frames_right: float
    changes: float
    changes_expected: float
    flickers: float


def stability(predicted: Sequence[NDArray[np.bool_]], labels: Sequence[NDArray[np.floating]]) -> Stability:
    """Compare predictions with annotations, clip by clip.

    Parameters
    ----------
    predicted : of shape (T, A), bool
        Of each clip: which targets are active in which frame.
    labels : of shape (T, A)
        1 present, 0 absent, NaN not observed.
    """
    right = [((p == (y == 1)) | np.isnan(y)).all(1) for p, y in zip(predicted, labels, strict=True)]

    def changes(sets: Sequence[NDArray[np.bool_]]) -> float:
        return float(np.mean([(s[1:] != s[:-1]).any(1).sum() for s in sets]))

    flickers = [sum(_short_runs(column) for column in p.T) for p in predicted]
    return Stability(
        float(np.concatenate(right).mean()),
        changes(predicted),
        changes([y == 1 for y in labels]),
        float(np.mean(flickers)),
    )


def _short_runs(presence: NDArray[np.bool_], longest: int = 2) -> int:
    edges = np.flatnonzero(np.diff(presence)) + 1
    return int((np.diff(edges) <= longest).sum())


def train_au_model(samples: Samples, epochs: int, seed: int) -> ResNet18:
    """The AU network on posed crops: weighted BCE with missing labels, its prior shift taken back."""
    torch.manual_seed(seed)
    labels = torch.from_numpy(samples.occurrence)
    weights = positive_weights(labels)
    model = ResNet18(len(TARGETS), WIDTH)
    fit(model, samples.images, labels, lambda z, y: weighted_bce(z, y, weights), photometric, epochs, seed=seed,
        on_epoch=_report)  # fmt: skip
    without_prior_shift(model, weights)
    return model


@torch.no_grad()
def without_prior_shift(model: ResNet18, positive_weight: torch.Tensor) -> None:
    """Move every logit back by log w, in the last bias.

    Weighting the positives of a well-fitted network by w multiplies the odds that it reports by w; without that shift
    a probability of 0.5 means even odds, and faces at rest stay below it.

    Parameters
    ----------
    model
        Changed in place.
    positive_weight : shape (A,)
        The weight w of each target in the loss; logits fall by its natural logarithm (King and Zeng 2001, prior
        correction).
    """
    model.fc.bias.sub_(positive_weight.log())


def train_expression_model(samples: Samples, au_model: torch.nn.Module, epochs: int, seed: int) -> torch.nn.Module:
    """The expression network, from the AU network's features on: cross-entropy over the seven expressions."""
    torch.manual_seed(seed)
    whole = samples.expression >= 0
    model = ResNet18(len(EXPRESSIONS), WIDTH)
    load_state(model, {k: v for k, v in au_model.state_dict().items() if not k.startswith("fc.")}, keep=("fc.",))
    labels = torch.from_numpy(samples.expression[whole])
    return fit(model, samples.images[whole], labels, functional.cross_entropy, photometric, epochs, learning_rate=1e-3,
               seed=seed, on_epoch=_report)  # fmt: skip


def _report(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: loss {loss:.4f}", file=sys.stderr, flush=True)


def judge_au_model(model: torch.nn.Module, n_clips: int, first_identity: int, seed: int) -> dict[str, Any]:
    """F1 per target and stability over clips that were encoded, written and decoded again."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [clip_samples(path, SIZE) for path in write_clips(folder, n_clips, seed, first_identity=first_identity)]
    predicted = [logits_of(model, clip.images) >= 0 for clip in clips]
    labels = np.concatenate([clip.occurrence for clip in clips])
    scores = f1(np.concatenate(predicted), labels).f1
    return {
        "f1": {t: _rounded(s) for t, s in zip(TARGETS, scores, strict=True)},
        "n_positive": {t: int(n) for t, n in zip(TARGETS, (labels == 1).sum(0), strict=True)},
        "n_observed": {t: int(n) for t, n in zip(TARGETS, (~np.isnan(labels)).sum(0), strict=True)},
        "f1_mean": _rounded(float(np.nanmean(scores))),
        "f1_core_mean": _rounded(float(np.nanmean([scores[TARGETS.index(t)] for t in CORE_TARGETS]))),
        "core_targets": list(CORE_TARGETS),
        "n_clips": n_clips,
        "n_frames": len(labels),
        **{k: _rounded(v) for k, v in vars(stability(predicted, [clip.occurrence for clip in clips])).items()},
    }


def judge_expression_model(model: torch.nn.Module, n: int, first_identity: int, seed: int) -> dict[str, Any]:
    """Accuracy and confusion over stills that were encoded and read again."""
    with tempfile.TemporaryDirectory() as folder:
        write_stills(folder, n, seed, first_identity=first_identity)
        stills = still_samples(Path(folder), SIZE)
    predicted = logits_of(model, stills.images).argmax(1)
    confusion = np.zeros((len(EXPRESSIONS),) * 2, int)
    np.add.at(confusion, (stills.expression, predicted), 1)
    f1 = 2 * np.diag(confusion) / np.maximum(confusion.sum(0) + confusion.sum(1), 1)
    return {
        "accuracy": _rounded(float((predicted == stills.expression).mean())),
        "n": n,
        "confusion": confusion.tolist(),
        "f1": {e: _rounded(float(v)) for e, v in zip(EXPRESSIONS, f1, strict=True)},
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _card(kind: str, options: argparse.Namespace, figures: dict[str, Any]) -> Card:
    metrics = {k: v for k, v in figures.items() if k != "f1"}
    trained_on = (
        "posed clips (fer_batch.posed.clips)",
        f"identities {TRAIN_IDENTITIES} to {TRAIN_IDENTITIES + options.identities - 1}, {options.samples} crops; "
        "all share one texture",
    )
    return Card(
        name="demo" if kind == "au" else "demo-expressions",
        architecture="resnet18",
        options={"width": WIDTH},
        targets=TARGETS if kind == "au" else EXPRESSIONS,
        head="multilabel" if kind == "au" else "softmax",
        preprocessing=Preprocessing(size=SIZE),
        trained_on=trained_on,
        f1=figures["f1"],
        metrics={**metrics, "measured_on": f"encoded and decoded, identities from {HELD_OUT_IDENTITIES} on"},
        licence=LICENCE,
        notes=NOTE,
        demo=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fer_batch.posed.demo_model", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "models" / "demo", help="folder")
    parser.add_argument("--only", choices=("au", "expression"), help="one of the two; expression reads the AU model")
    parser.add_argument("--samples", type=int, default=12000, help="training crops (default %(default)s)")
    parser.add_argument("--identities", type=int, default=400, help="training identities (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=9, help="of the AU model (default %(default)s)")
    parser.add_argument("--expression-epochs", type=int, default=4, help="(default %(default)s)")
    parser.add_argument("--clips", type=int, default=72, help="held-out clips to judge on (default %(default)s)")
    parser.add_argument("--stills", type=int, default=700, help="held-out stills to judge on (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (default %(default)s)")
    parser.add_argument("--cache", type=Path, help="NPZ file that keeps the training crops between runs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw samples, train, judge on held-out identities, write the checkpoints and their cards."""
    options = _parser().parse_args(arguments)
    cv2.setNumThreads(options.threads)
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)

    started = time.monotonic()
    au_path = options.out / f"{SHIPPED['demo']}.safetensors"
    samples = _crops(options)
    if options.only == "expression":
        au_model: torch.nn.Module = ResNet18(len(TARGETS), WIDTH)
        load_state(au_model, read_state(au_path.read_bytes(), str(au_path)))
    else:
        au_model = _make_au_model(samples, au_path, options)
    if options.only != "au":
        _make_expression_model(samples, au_model, options)
    print(f"{time.monotonic() - started:.0f} s")
    return 0


def _make_au_model(samples: Samples, path: Path, options: argparse.Namespace) -> torch.nn.Module:
    """Train, judge and write the AU model."""
    model = train_au_model(samples, options.epochs, options.seed)
    figures = judge_au_model(model, options.clips, HELD_OUT_IDENTITIES, options.seed)
    save(model, path, _card("au", options, figures))
    print(_table(figures["f1"], figures["n_positive"], figures["n_observed"]))
    print({k: v for k, v in figures.items() if not isinstance(v, (dict, list))})
    return model


def _make_expression_model(samples: Samples, au_model: torch.nn.Module, options: argparse.Namespace) -> None:
    """Train, judge and write the expression model."""
    model = train_expression_model(samples, au_model, options.expression_epochs, options.seed)
    figures = judge_expression_model(model, options.stills, HELD_OUT_IDENTITIES, options.seed)
    save(model, options.out / f"{SHIPPED['demo-expressions']}.safetensors", _card("expression", options, figures))
    print(f"expression accuracy {figures['accuracy']} over {figures['n']} stills; F1 {figures['f1']}")


def _crops(options: argparse.Namespace) -> Samples:
    """Training crops, from the cache where there is one."""
    if options.cache and options.cache.exists():
        return Samples(**np.load(options.cache))
    order = tqdm(range(options.samples), "training crops", mininterval=10)
    samples = training_samples(options.samples, options.seed, options.identities, SIZE, order)
    if options.cache:
        np.savez(options.cache, **vars(samples))
    return samples


def _table(f1: dict[str, float | None], n_positive: dict[str, int], n_observed: dict[str, int]) -> str:
    rows = ["target     F1  positive  observed"]
    for target, score in f1.items():
        shown = "  -  " if score is None else f"{score:.3f}"
        rows.append(f"{target:8} {shown} {n_positive[target]:8d}  {n_observed[target]:8d}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
