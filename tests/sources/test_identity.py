"""Whether an input is still what was listed, however it was listed and wherever it is."""

import pytest

from fer_batch.sources.fetch import StoreFault, local_file
from fer_batch.sources.identity import InputChanged, check_readable, check_root, check_unchanged, now
from fer_batch.sources.listing import list_source
from fer_batch.storage.store import Store


def every_kind(tree, png):
    """One source of every way in which a version is made: files, folders under three conventions, lines of a table."""
    names = ["clip.mp4", "S1/x_01.png", "S1/x_02.png", "01.png", "02.png"]
    uri = tree(dict.fromkeys(names, png) | {"list.csv": "path\nclip.mp4\nS1\nS1/x_01.png\nnever.png\n"})
    ck = {f"cohn-kanade-images/S005/001/S005_001_{number:08d}.png": png for number in (1, 2)}
    ck |= {f"Landmarks/S005/001/S005_001_{number:08d}_landmarks.txt": "1.0 2.0\n" * 68 for number in (1, 2)}
    # another folder, because a source does not list what lies in another
    other = Store(uri.replace("/in", "/ck"))
    for name, content in ck.items():
        other.put(name, content.encode() if isinstance(content, str) else content)
    table = Store(uri.replace("/in", "/fer"))
    table.put("fer2013.csv", b"emotion,pixels,Usage\n3,1 2 3 4,Training\n5,9 8 7 6,PublicTest\n")
    for format in ("videos", "images", "image_sequences"):
        yield from list_source(format, uri)
    yield from list_source("manifest", f"{uri}/list.csv")
    yield from list_source("ck_plus", other.uri)
    yield from list_source("fer2013", f"{table.uri}/fer2013.csv")


def test_what_nobody_touched_is_the_same(tree, png):
    refs = list(every_kind(tree, png))
    assert len(refs) == 1 + 4 + 2 + 4 + 1 + 2
    assert {ref.kind for ref in refs} == {"video", "still", "image_sequence"}
    assert [(ref.sequence_id, now(ref)) for ref in refs if now(ref) != "same"] == []


def test_what_was_replaced_or_removed_is_not(tree, png):
    refs = list(every_kind(tree, png))
    for ref in refs:
        for uri in ref.files[:1] or (ref.uri,):
            store = Store(uri.rpartition("/")[0])
            name = uri.rpartition("/")[2]
            if store.exists(name):
                store.put(name, b"another content, as long as it may be")
    never = {ref.sequence_id for ref in refs if now(ref) == "same"}
    assert never == {"never.png"}
    (clip,) = (ref for ref in refs if ref.sequence_id == "clip.mp4" and ref.truth_version == "")
    with pytest.raises(InputChanged, match=r"clip\.mp4 changed while it was read"):
        check_unchanged(clip)
    Store(clip.uri.rpartition("/")[0]).delete("clip.mp4")
    assert now(clip) == "gone"
    with pytest.raises(InputChanged, match=r"clip\.mp4 was removed"):
        check_unchanged(clip)


def test_a_source_that_is_there_is_no_fault(tree, png):
    uri = tree({"a.png": png, "list.csv": "path\na.png\n"})
    check_root(uri)
    check_root(f"{uri}/list.csv")
    with pytest.raises(StoreFault, match="is gone"):
        check_root(f"{uri}/nothing")


def test_a_store_that_gives_fewer_bytes_than_there_are_is_at_fault(tree):
    uri = tree({"a.mp4": "content"})
    with local_file(f"{uri}/a.mp4", 7):
        pass
    if "://" in uri:
        with pytest.raises(StoreFault, match="gave 7 of its 8 bytes"), local_file(f"{uri}/a.mp4", 8):
            pass


def test_a_share_that_fails_to_read_is_no_damage(monkeypatch):
    """A file of /proc that opens and answers every read with an I/O error, as a stale share does."""
    from fer_batch.sources import fetch
    from fer_batch.types import SequenceRef

    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    with pytest.raises(StoreFault, match="/proc/self/mem failed 3 times"):
        check_readable(SequenceRef("mem", "video", "/proc/self/mem", 1, "1"))
