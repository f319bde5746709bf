"""Two processes train one network: they stay alike, share the batches, and end well."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from fer_batch.training import together

SCRIPT = """
import json, sys
import numpy as np, torch
from torch import distributed
from fer_batch.models.backbone import ResNet18
from fer_batch.training.data import FaceSet
from fer_batch.training.fold import FoldTraining
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.settings import AlignSettings
from fer_batch.training.recipe import Recipe
from fer_batch.training.splits import subject_folds

torch.set_num_threads(1)
distributed.init_process_group("gloo")
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, (80, 1)).astype(np.float32)
images = rng.integers(0, 60, (80, 32, 32, 3), dtype=np.uint8)
images[labels[:, 0] == 1, 4:12, 12:20] += 150
maps = np.zeros((80, 32, 32), np.float32)
maps[:, 4:12, 12:20] = 1
faces = FaceSet(images, labels, ("AU01",), np.repeat([f"d:{i}" for i in range(5)], 16), np.full(80, "d"), maps=maps)
fold = subject_folds(faces.subjects, faces.datasets, 5, 0.25)[0]
recipe = Recipe(epochs=8, batch_size=8, learning_rate=0.02, momentum=0.9, augment="flip",
                selection="best_validation", patience=6)
seen = []
class Watched(FoldTraining):
    def _batches(self):
        for batch in super()._batches():
            seen.append(round(float(batch.images.sum()), 3))
            yield batch
auxiliary = auxiliary_of(AlignSettings(to="grad_cam", layers=("layer3",), weight=0.1), "multilabel")
training = Watched(faces, fold, lambda: ResNet18(1, 0.125), recipe, auxiliary=auxiliary)
while not training.finished:
    training.run_epoch()
result = training.result()
print(json.dumps({
    "history": result.history, "f1": result.f1.tolist(), "epoch": result.epoch, "seen": seen,
    "weights": [float(p.double().sum()) for p in training.model.state_dict().values()],
}))
distributed.destroy_process_group()
"""


@pytest.mark.timeout(240)
def test_two_processes_stay_alike_and_see_different_samples():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env={**base, "RANK": str(rank)}, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]  # fmt: skip
    done = [process.communicate(timeout=200) for process in started]
    assert all(process.returncode == 0 for process in started), done[0][1][-2000:] + done[1][1][-2000:]
    one, other = (json.loads(printed.strip().splitlines()[-1]) for printed, _ in done)
    assert all(0 < epoch["train/alignment"] < 1.2 for epoch in one["history"])
    for key in ("history", "weights", "f1", "epoch"):
        assert one[key] == other[key], key
    assert len(one["seen"]) == len(other["seen"]) and not set(one["seen"]) & set(other["seen"])
    assert one["f1"][0] > 0.8


def test_a_process_without_values_does_not_count(monkeypatch):
    others = iter([2.5, 2.0])  # their sum and number
    monkeypatch.setattr(together, "rank_and_size", lambda: (0, 2))
    monkeypatch.setattr(together.distributed, "all_reduce", lambda value: value.add_(next(others)))
    assert together.mean_of_values([], torch.device("cpu")) == 1.25


def test_the_mean_of_no_values_is_no_number():
    assert str(together.mean_of_values([], torch.device("cpu"))) == "nan"
    assert together.mean_of_values([0.5, 1.0], torch.device("cpu")) == 0.75
