"""Which files of a folder are markers: `<name>.json`; what systems and editors left there is passed over."""

from __future__ import annotations

from fer_batch.storage.store import Entry, Store


def marker_names(store: Store, folder: str) -> list[str]:
    """Sorted names of the markers of a folder, without suffix."""
    return [name.removesuffix(".json") for name in store.names(folder) if _is_marker(name)]


def marker_entries(store: Store, folder: str) -> dict[str, Entry]:
    """The same with size and version of each file, sorted by name."""
    found = store.files(folder)
    return {name.removesuffix(".json"): found[name] for name in sorted(found) if _is_marker(name)}


def _is_marker(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")
