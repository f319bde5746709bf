"""Networks that people already have, a module to each family of them, which holds their records.

Every module here is imported with this package. A network that others published is one module here, or one more record
in it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable

from fer_batch.models.known_network import KNOWN, KnownNetwork, known_card, known_network, known_section


def import_families(path: Iterable[str], package: str) -> list[str]:
    """Import every module of a package, each of which registers networks; gives their names.

    Raises
    ------
    ImportError
        If one registers none.
    """
    names = [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]
    for name in names:
        before = len(list(KNOWN))
        already = name in sys.modules
        importlib.import_module(name)
        if not already and len(list(KNOWN)) == before:
            raise ImportError(f"{name} registers no network; expected a fer_batch.models.known_network.KnownNetwork")
    return names


import_families(__path__, __name__)

__all__ = ["KNOWN", "KnownNetwork", "import_families", "known_card", "known_network", "known_section"]
