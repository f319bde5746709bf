"""Whether a device computes in bfloat16 by itself, and that a fit uses it nowhere else."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_batch.training import device
from fer_batch.training.device import computes_bfloat16, cpu_capabilities, has_bfloat16
from fer_batch.training.loop import fit


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, False),  # AVX-512 alone only emulates it
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"neon": True, "bf16": True}, True),
        ({"neon": True, "bf16": False, "sve_bf16": False}, False),
        ({}, False),
    ],
)
def test_instructions_say_whether_bfloat16_is_emulated(listed, expected):
    assert has_bfloat16(listed) is expected


def test_a_torch_that_lists_no_instructions_is_asked_one_by_one(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert cpu_capabilities()["avx512_bf16"] and computes_bfloat16("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert not computes_bfloat16("cpu")


@pytest.mark.parametrize("native", [True, False])
def test_a_fit_computes_in_bfloat16_only_where_the_cpu_does(native, monkeypatch):
    monkeypatch.setattr(device, "cpu_capabilities", lambda: {"avx512_bf16": native})
    model, seen = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), set()
    model[1].register_forward_hook(lambda _m, _x, out: seen.add(out.dtype))
    images, labels = np.zeros((4, 4, 4, 3), np.uint8), torch.tensor([0, 1, 0, 1])
    fit(model, images, labels, functional.cross_entropy, lambda x, maps, _: (x, maps), 1, batch_size=4)
    assert seen == {torch.bfloat16 if native else torch.float32}
