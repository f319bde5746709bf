"""torchvision is whole without the compiler, and the compiler is PyTorch's own where one asks for it."""

import subprocess
import sys

import pytest

BOXES = "torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), torch.tensor([[0, 0, 0, 4, 4.0]]), 2)"


@pytest.mark.parametrize("first", ["", "import torch._dynamo\n", "import torchvision\n"])
def test_region_operators_and_the_compiler_work_whatever_came_first(first):
    code = f"""{first}import fer_batch.lean_torchvision
import torch, torchvision
assert {BOXES}.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
import torch._dynamo.utils
assert torch._dynamo.utils.__spec__.origin.endswith("utils.py") and torch._dynamo.is_compiling() is False
assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu") is True
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
