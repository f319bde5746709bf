"""What a device does with numbers: whether it computes in bfloat16 by itself, and gives equal results twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # x86, x86, ARM, ARM


def computes_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether a device multiplies bfloat16 in hardware, which is when it is faster than float32.

    The answer is the device's own list of instructions, not a measurement. A CPU without them emulates them: a step of
    ResNet-18 then takes nine times as long.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind != "cpu" or has_bfloat16(cpu_capabilities())


def has_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Whether a list of a CPU's instructions, by name, has a product of bfloat16."""
    return any(bool(capabilities.get(name)) for name in _BFLOAT16)


def cpu_capabilities() -> Mapping[str, Any]:
    """Instructions of this CPU by name, as far as torch knows them."""
    listed: Any = getattr(torch.cpu, "get_capabilities", None)  # of late versions
    if listed is not None:
        found: Mapping[str, Any] = listed()
        return found
    asked = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return {name: getattr(torch.cpu, function, lambda: False)() for name, function in asked.items()}


def deterministic(device: torch.device) -> None:
    """Have equal computations give equal results on this device, at some cost in speed on GPUs."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.backends.cudnn.benchmark = False
