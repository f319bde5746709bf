import numpy as np
import pyarrow as pa
import pytest

from fer_batch.models.card import ModelSpec, resolve
from fer_batch.pipeline.study.networks import StudyNetwork

DEMO = {"softmax": "demo-expressions", "multilabel": "demo"}


def make_network(n=60, subjects=6, head="softmax", seed=0, crops="crops", **more):
    """A network with random answers to samples of some people; half of what it says is right."""
    spec = ModelSpec(checkpoint=DEMO[head])
    model = resolve(spec)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, len(model.targets))).astype(np.float32)
    labels = np.zeros_like(logits)
    right = rng.random(n) < 0.5
    shown = np.where(right, logits.argmax(1), rng.integers(0, logits.shape[1], n))
    labels[np.arange(n), shown] = 1
    samples = pa.table(
        {
            "row": np.arange(n),
            "dataset": ["posed"] * n,
            "subject_id": [f"posed:{i % subjects}" for i in range(n)],
            "sequence_id": [f"{i % subjects}/{i // subjects // 2}" for i in range(n)],
            "frame_index": [i // subjects % 2 for i in range(n)],
            "emotion": pa.nulls(n, pa.string()),
            "kind": ["image_sequence"] * n,
            "labels": labels.tolist(),
            "logits": logits.tolist(),
        }
    )
    return StudyNetwork(
        name=more.pop("name", "net"),
        fold=more.pop("fold", None),
        varied={},
        spec=spec,
        model=model,
        crops=crops,
        samples=samples,
        **more,
    )


@pytest.fixture
def network():
    return make_network
