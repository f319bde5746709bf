"""What a folder of markers holds beside them never counts."""

from fer_batch.storage.marker_files import marker_entries, marker_names
from fer_batch.storage.store import Store


def test_only_markers_are_named_in_order_and_with_what_tells_their_versions(tmp_path):
    store = Store(str(tmp_path))
    assert marker_names(store, "_x") == [] and marker_entries(store, "_x") == {}
    for name in ("b.json", "a.json", "._a.json", ".DS_Store", "a.json~", "a.parquet", "deep/c.json"):
        store.put(f"_x/{name}", name.encode())
    assert marker_names(store, "_x") == list(marker_entries(store, "_x")) == ["a", "b"]
    before = marker_entries(store, "_x")["a"]
    assert (before.path, before.size) == ("a.json", 6)
    store.put("_x/a.json", b"other!")
    assert marker_entries(store, "_x")["a"] != before
