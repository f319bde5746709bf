"""torchvision without PyTorch's compiler: import this module before torchvision, or zennit, which imports it.

`torchvision.ops.roi_align` imports `torch._dynamo` for a function that it asks only once it is called. That costs every
process which loads a network as much time as PyTorch itself, for nothing that is used here: region operators are none
of these networks'. So the function is looked up when it is called.
"""

from __future__ import annotations

import sys
from types import ModuleType

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


def is_compile_supported(device_type: str) -> bool:
    """What `torch._dynamo.utils` says of a device, imported on demand."""
    from torch._dynamo.utils import is_compile_supported as answer

    return answer(device_type)


def _load() -> None:
    import torch  # noqa: F401  # first: what it needs of its compiler it has then

    if _COMPILER in sys.modules:
        return
    package, utils = ModuleType(_COMPILER), ModuleType(_UTILS)
    package.__path__ = []
    utils.is_compile_supported = is_compile_supported  # type: ignore[attr-defined]
    sys.modules |= {_COMPILER: package, _UTILS: utils}
    try:
        import torchvision  # noqa: F401
    finally:
        for name in (_COMPILER, _UTILS):
            sys.modules.pop(name)


_load()
