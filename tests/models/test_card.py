"""What a job and a card say together, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fer_batch.models.card import ModelSpec, Preprocessing, card_uri, resolve
from fer_batch.types import InputError

CARD = {"name": "tiny", "architecture": "resnet18", "options": {"width": 0.25}, "targets": ["AU01", "AU12"]}


def store(files: dict[str, bytes]):
    def read(uri: str) -> bytes:
        if uri not in files:
            raise FileNotFoundError(uri)
        return files[uri]

    return read


def resolved(card: dict | None = CARD, weights: bytes = b"weights", **spec):
    files = {"m.safetensors": weights}
    if card is not None:
        files["m.json"] = json.dumps(card).encode()
    return resolve(ModelSpec(checkpoint="m.safetensors", **spec), store(files))


def test_card_needs_no_torch():
    code = "import sys, fer_batch.models.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_card_fills_what_the_job_leaves_out():
    model = resolved(threshold=0.3)
    assert (model.architecture, model.options, model.targets) == ("resnet18", {"width": 0.25}, ("AU01", "AU12"))
    assert (model.head, model.threshold) == ("multilabel", 0.3)
    assert model.model_id == f"tiny-{model.digest[:8]}"


def test_the_job_wins_over_the_card_key_by_key():
    card = CARD | {"preprocessing": {"size": 96, "color": "gray"}}
    model = resolved(card, preprocessing={"size": 64}, head="softmax", name="mine")
    assert model.preprocessing == Preprocessing(size=64, color="gray")
    assert (model.head, model.name) == ("softmax", "mine")


def test_options_and_key_map_of_the_card_belong_to_its_own_network():
    model = resolved(CARD | {"key_map": {"net.": ""}}, architecture="torchvision:mobilenet_v3_small")
    assert model.options == {}
    assert model.key_map is None


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"width": 0.5}},
        {"targets": ["AU12", "AU01"]},
        {"head": "softmax"},
        {"preprocessing": {"size": 96}},
        {"key_map": {"a.": "b."}},
        {"architecture": "torchvision:resnet18"},
        {"weights": b"others"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_output_changes_the_digest(change):
    assert resolved(**change).digest != resolved().digest


def test_what_does_not_change_the_output_keeps_the_digest():
    assert resolved(CARD | {"notes": "kind words", "licence": "CC0-1.0"}, threshold=0.9).digest == resolved().digest


def test_without_a_card_the_job_must_say_everything():
    with pytest.raises(InputError, match="nothing says which network"):
        resolved(None)
    with pytest.raises(InputError, match=r"model\.head is missing"):
        resolved(None, architecture="resnet18")
    with pytest.raises(InputError, match=r"model\.targets is missing"):
        resolved(None, architecture="resnet18", head="multilabel")
    assert resolved(None, architecture="resnet18", head="multilabel", targets=["AU01"]).name == "m"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"targets": ["AU01", "AU01"]}, "AU01 is named more than once"),
        ({"targets": ["AU01"]}, r"has 1 names, the card of m\.safetensors has 2"),
        ({"name": "a/b"}, "becomes a folder name"),
        ({"options": {"layer": {1, 2}}}, "plain values"),
    ],
)
def test_what_cannot_be_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        resolved(**spec)


def test_a_missing_or_foreign_checkpoint_is_named():
    with pytest.raises(InputError, match=r"nowhere\.safetensors does not exist"):
        resolve(ModelSpec(checkpoint="nowhere.safetensors"), store({}))
    with pytest.raises(InputError, match=r"model\.checkpoint is missing"):
        resolve(ModelSpec())
    with pytest.raises(InputError, match=r"weights\.h5: expected a file ending in \.safetensors"):
        resolve(ModelSpec(checkpoint="weights.h5"), store({}))
    with pytest.raises(InputError, match=r"gone\.safetensors does not exist"):
        resolve(ModelSpec(checkpoint="/no/such/gone.safetensors"))


def test_a_card_that_describes_other_weights_is_refused():
    with pytest.raises(InputError, match="not the file its card describes"):
        resolved(CARD | {"digest": "0" * 64})


def test_a_damaged_card_is_refused():
    with pytest.raises(InputError, match=r"model card m\.json: tragets"):
        resolved(CARD | {"tragets": []})


def test_the_card_lies_beside_its_checkpoint():
    assert card_uri("s3://bucket/v1.2/model.pt") == "s3://bucket/v1.2/model.json"
