"""The records of a network: what they refuse, and that they survive JSON."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fer_batch.models.card import Card, ModelSpec, Preprocessing, TrainPreprocessing


def test_unknown_keys_and_impossible_values_are_refused():
    for wrong in ({"chekpoint": "x"}, {"threshold": 1.5}, {"architecture": "a", "factory": "b:c"}):
        with pytest.raises(ValidationError):
            ModelSpec(**wrong)
    with pytest.raises(ValidationError, match="std must be positive"):
        Preprocessing(std=(1.0, 0.0, 1.0))


def test_cards_survive_json():
    card = Card(name="a", architecture="resnet18", targets=("AU01",), key_map=(("^x", "y"), ("z", None)))
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_keys_that_say_nothing_are_not_written():
    """So that a run is recorded, and a card written, as before `known`, `outputs` and the card's threshold came."""
    plain = Card(name="a", targets=("AU01",))
    assert not {"threshold", "outputs"} & plain.model_dump().keys()
    assert not {"known", "outputs"} & ModelSpec(checkpoint="x").model_dump(mode="json").keys()
    card = Card(name="a", targets=("AU01",), threshold=0.4, outputs=(3,))
    assert Card.model_validate_json(card.model_dump_json()) == card
    assert ModelSpec(known="x", outputs=(1,)).model_dump(mode="json")["outputs"] == [1]


def test_a_training_may_leave_mean_and_deviation_to_its_training_part():
    how = TrainPreprocessing(size=224, mean="train")
    assert how.measured == ("mean",) and how.unit_range
    assert how.with_numbers((0.5, 0.4, 0.3)) == Preprocessing(size=224, mean=(0.5, 0.4, 0.3))
    both = TrainPreprocessing(mean="train", std="train", color="bgr")
    assert both.with_numbers((1, 2, 3), (4, 5, 6)) == Preprocessing(color="bgr", mean=(1, 2, 3), std=(4, 5, 6))
    fixed = TrainPreprocessing(mean=(0.1, 0.2, 0.3), std=(1 / 255,) * 3)
    assert not fixed.measured and not fixed.unit_range
    assert fixed.with_numbers((9, 9, 9), (9, 9, 9)) == Preprocessing(mean=(0.1, 0.2, 0.3), std=(1 / 255,) * 3)
    assert fixed.model_dump() == Preprocessing(**fixed.model_dump()).model_dump()  # as a card has it
    with pytest.raises(ValidationError, match=r"expected three numbers, or train .*; got 'trian'"):
        TrainPreprocessing(mean="trian")
    with pytest.raises(ValidationError, match="std must be positive"):
        TrainPreprocessing(std=(0, 1, 1))
