"""A manifest that somebody else wrote reads nothing outside of its folder, and asks nobody for anything."""

import http.server
import os
import threading

import pytest

from fer_batch.sources.allowed import Roots
from fer_batch.sources.listing import list_source
from fer_batch.types import InputError


@pytest.fixture
def source(tmp_path):
    """A folder with a still, and a secret beside it."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "own.jpg").write_bytes(b"abc")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return folder


def listed(folder, *paths, allow=()):
    (folder / "manifest.csv").write_text("\n".join(["path", "own.jpg", *(f'"{path}"' for path in paths)]) + "\n")
    options = {"allow": tuple(map(str, allow))} if allow else {}
    found = list_source("manifest", str(folder / "manifest.csv"), (), options)
    assert [ref.refusal for ref in found if ref.sequence_id == "own.jpg"] == [None]
    return [ref for ref in found if ref.sequence_id != "own.jpg"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "a/../../secret.jpg",
        "{parent}/secret.jpg",
        "file://{parent}/secret.jpg",
        "FILE://{parent}/secret.jpg",
        "local://{parent}/secret.jpg",
        "{parent}/lists_of_others/x.jpg",
        "http://169.254.169.254/latest/meta-data/x.jpg",
        "s3://bucket/x.jpg",
        "file://secret.jpg",
        "file://~/secret.jpg",
        "local://~/secret.jpg",
        "FILE://~/secret.jpg",
        "file://localhost{parent}/lists/own.jpg",
        "file://{parent}/lists/own.jpg::file://{parent}/secret.jpg",
        "simplecache::file://{parent}/secret.jpg",
        "../secret",
        "/etc/passwd",
    ],
)
def test_a_path_that_leads_out_is_a_row_with_a_reason(source, path):
    (ref,) = listed(source, path.format(parent=source.parent))
    assert ref.refusal and "refused: " in ref.refusal and (ref.size, ref.version) == (-1, "refused")


@pytest.mark.parametrize("path", ["file://~/x.jpg", "local://~/x.jpg", "file://x.jpg"])
def test_what_is_checked_is_what_is_opened(source, monkeypatch, path):
    """A filesystem puts the home folder or the current one before such a path, whichever folder the manifest is in."""
    home = source.parent / "home"
    (source / "~").mkdir()
    home.mkdir()
    for folder in (source / "~", source, home):
        (folder / "x.jpg").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(source)  # where it would pass for a path below the manifest
    (ref,) = listed(source, path)
    assert "has no absolute path" in ref.refusal and ref.size == -1


@pytest.mark.parametrize(
    "path", ["file://{folder}/own2.jpg", "FILE:///{folder}/./own2.jpg", "local://{folder}/own2.jpg"]
)
def test_a_url_of_a_local_file_is_its_path(source, path):
    (source / "own2.jpg").write_bytes(b"abcd")
    (ref,) = listed(source, path.format(folder=source))
    assert (ref.refusal, ref.size, ref.uri) == (None, 4, str(source / "own2.jpg"))


def test_the_job_may_name_the_home_folder_by_a_url(source, monkeypatch):
    monkeypatch.setenv("HOME", str(source.parent))
    (ref,) = listed(source, "../secret.jpg", allow=["file://~"])
    assert (ref.refusal, ref.size) == (None, 6)
    found = list_source("manifest", "file://~/lists/manifest.csv")
    assert [ref.uri for ref in found if not ref.refusal] == [str(source / "own.jpg")]


def test_links_are_followed_to_where_they_lead(source):
    os.symlink(source.parent / "secret.jpg", source / "link.jpg")
    os.symlink(source.parent, source / "up")
    os.symlink(source / "own.jpg", source / "inner.jpg")
    refs = {ref.sequence_id: ref for ref in listed(source, "link.jpg", "up/secret.jpg", "inner.jpg")}
    assert f"a link leads to {str(source.parent / 'secret.jpg')!r}" in refs["link.jpg"].refusal
    assert refs["up/secret.jpg"].refusal
    assert (refs["inner.jpg"].refusal, refs["inner.jpg"].size) == (None, 3)


@pytest.mark.parametrize("name", ["seq/2.png", "clip.annotations.csv", "clip.landmarks.csv"])
def test_frames_and_labels_that_are_links_to_elsewhere_refuse_their_clip(source, name):
    (source / "seq").mkdir()
    for own in ("seq/1.png", "clip.mp4"):
        (source / own).write_bytes(b"x")
    os.symlink(source.parent / "secret.jpg", source / name)
    refused = [ref.sequence_id for ref in listed(source, "seq", "clip.mp4") if ref.refusal]
    assert refused == [name.partition("/")[0] if "/" in name else "clip.mp4"]


@pytest.mark.parametrize("name", ["seq/2.png", "clip.annotations.csv"])
def test_a_refused_clip_is_another_input_once_its_root_is_allowed(source, name):
    (source / "seq").mkdir()
    for own in ("seq/1.png", "clip.mp4"):
        (source / own).write_bytes(b"x")
    os.symlink(source.parent / "secret.jpg", source / name)
    uri = "seq" if "/" in name else "clip.mp4"
    (refused,), (read,) = listed(source, uri), listed(source, uri, allow=[source.parent])
    assert (refused.kind, refused.version, refused.files) == (read.kind, "refused", ())
    assert read.refusal is None and read.version != "refused"


def test_a_source_that_is_a_link_itself_is_its_own_root(source, tmp_path):
    os.symlink(source, tmp_path / "linked")
    assert not listed(tmp_path / "linked", f"{source}/own.jpg")[0].refusal


def test_roots_that_the_job_names_are_read(source):
    (ref,) = listed(source, "../secret.jpg", allow=[source.parent])
    assert (ref.refusal, ref.size) == (None, 6)


def test_a_manifest_of_nothing_that_may_be_read_is_an_error(source):
    (source / "manifest.csv").write_text("path\n../secret.jpg\n/etc/passwd\n")
    with pytest.raises(InputError, match=r"none of its inputs may be read, .*secret.jpg' is outside of .*source.allow"):
        list_source("manifest", str(source / "manifest.csv"))


def test_only_a_manifest_takes_roots(source):
    with pytest.raises(InputError, match="'images' has no option 'allow'"):
        list_source("images", str(source), (), {"allow": ("/",)})


@pytest.mark.parametrize(
    ("location", "is_read"),
    [
        ("https://host/data/a/x.jpg", True),
        ("https://HOST/data/x.jpg", True),
        ("https://host/data/../x.jpg", False),
        ("https://host/data/%2e%2e/x.jpg", False),
        ("https://host/data/%252e%252e%5cx.jpg", False),
        ("https://host/database/x.jpg", False),
        ("https://host@evil/data/x.jpg", False),
        ("https://host:81/data/x.jpg", False),
        ("http://host/data/x.jpg", False),
        ("s3://bucket/set/x.jpg", True),
        ("s3://bucket/other/x.jpg", False),
        ("s3://bucket/set/../x.jpg", False),
        ("s3://bucket/set/a::file:///etc/passwd", False),
        ("/etc/passwd", False),
    ],
)
def test_urls_are_compared_as_a_server_takes_them(location, is_read):
    roots = Roots("s3://bucket/set", ["https://host/data"])
    assert (roots.refusal(location) is None) == is_read


def test_nothing_is_asked_over_the_network(source):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        refs = listed(source, f"http://127.0.0.1:{server.server_port}/x.mp4")
        assert refs[0].refusal and asked == []
        listed(source, f"http://127.0.0.1:{server.server_port}/x.mp4", allow=[f"http://127.0.0.1:{server.server_port}"])
        assert asked, "the same row asks where the job names the root"
    finally:
        server.shutdown()
        server.server_close()
