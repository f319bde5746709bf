"""The demonstration models: how they are judged, that the command runs, and what the shipped ones hold up to."""

import json

import numpy as np
import pytest
import torch

from fer_batch.facs import EXPRESSIONS
from fer_batch.models import checkpoint
from fer_batch.models.backbone import ResNet18
from fer_batch.models.card import ModelSpec, resolve, shipped_path
from fer_batch.posed import demo_model
from fer_batch.posed.clips import write_stills
from fer_batch.posed.crops import (
    TRAIN_IDENTITIES,
    random_intensities,
    still_samples,
    training_samples,
)
from fer_batch.posed.face import POSED_AUS
from fer_batch.posed.plans import TARGETS
from fer_batch.training.losses import positive_weights, weighted_bce

NAN = float("nan")


def test_stability_counts_right_frames_changes_and_flickers():
    labels = np.array([[0, 0], [NAN, 0], [1, 0], [1, 0], [0, 0], [0, 0]])
    predicted = np.array([[0, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0]], bool)
    found = demo_model.stability([predicted], [labels])
    assert found.frames_right == pytest.approx(5 / 6)
    assert found.changes == 3
    assert found.changes_expected == 2
    assert found.flickers == 1  # the second target, present for one frame


def test_the_prior_shift_undoes_what_the_weight_of_positives_did():
    # one feature that says nothing: weighted BCE with w = N-/N+ settles at even odds, the share of positives is 1/5
    labels = torch.tensor([[1.0], [0.0], [0.0], [0.0], [0.0]])
    weight = positive_weights(labels)
    model = ResNet18(1, 0.125).eval()
    torch.nn.init.zeros_(model.fc.weight)
    with torch.no_grad():
        model.fc.bias.zero_()
    loss = weighted_bce(model(torch.zeros(5, 3, 32, 32)), labels, weight)
    loss.backward()
    assert model.fc.bias.grad.abs().max() < 1e-7  # the optimum of the weighted loss
    demo_model.without_prior_shift(model, weight)
    assert torch.sigmoid(model(torch.zeros(1, 3, 32, 32))).item() == pytest.approx(1 / 5)


def test_training_faces_cover_every_unit_and_expression_and_never_26_with_27():
    rng = np.random.default_rng(0)
    drawn = [random_intensities(rng) for _ in range(800)]
    assert {e for _, e in drawn} == {-1, *range(len(EXPRESSIONS))}
    for au in POSED_AUS:
        share = np.mean([d.get(au, 0) >= 2 for d, _ in drawn])
        assert 0.04 < share < 0.6, au
    assert not any(d.get(26) and d.get(27) for d, _ in drawn)


def test_samples_are_reproducible_and_start_where_training_identities_do(monkeypatch):
    seen = []
    from fer_batch.posed import crops as posed_data

    original = posed_data.identity

    def watched(seed):
        seen.append(seed)
        return original(seed)

    monkeypatch.setattr(posed_data, "identity", watched)
    one, two = (training_samples(6, seed=3, n_identities=2) for _ in range(2))
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.occurrence, two.occurrence)
    assert set(seen) == {TRAIN_IDENTITIES, TRAIN_IDENTITIES + 1}


def test_the_command_writes_both_checkpoints_with_their_cards(tmp_path, capsys):
    sizes = {"samples": 128, "identities": 4, "epochs": 1, "expression-epochs": 1, "clips": 1, "stills": 7}
    small = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    assert demo_model.main(["--out", str(tmp_path), *small]) == 0
    assert "AU12" in capsys.readouterr().out
    for stem, targets in (("au_resnet18_w025", TARGETS), ("expression_resnet18_w025", EXPRESSIONS)):
        path = tmp_path / f"{stem}.safetensors"
        assert path.stat().st_size < 4e6
        resolved = resolve(ModelSpec(checkpoint=str(path)))
        assert resolved.demo
        assert resolved.targets == targets
        assert "not a measurement" in resolved.card.notes
        checkpoint.load(resolved)


@pytest.fixture(scope="module")
def shipped():
    if not shipped_path("demo").exists():
        pytest.skip("the demonstration checkpoints have not been trained yet")
    return {name: resolve(ModelSpec(checkpoint=name)) for name in ("demo", "demo-expressions")}


def test_the_shipped_au_model_holds_what_its_card_claims(shipped):
    card = shipped["demo"].card
    assert card.demo
    assert card.targets == TARGETS
    assert card.metrics["f1_core_mean"] >= 0.85
    assert card.metrics["f1_mean"] >= 0.70
    model = checkpoint.load(shipped["demo"])
    figures = demo_model.judge_au_model(model, n_clips=7, first_identity=700, seed=5)
    assert figures["f1_mean"] > 0.65
    assert figures["frames_right"] > 0.5


def test_the_shipped_expression_model_names_most_expressions(shipped, tmp_path):
    model = checkpoint.load(shipped["demo-expressions"])
    write_stills(tmp_path, n=42, seed=9, first_identity=700)
    stills = still_samples(tmp_path)
    accuracy = (demo_model.logits_of(model, stills.images).argmax(1) == stills.expression).mean()
    assert accuracy > 0.8
    assert json.loads(shipped_path("demo-expressions").with_suffix(".json").read_text())["metrics"]["accuracy"] > 0.85
