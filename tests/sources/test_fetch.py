"""The input's faults are told from the store's."""

import os
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fer_batch.sources import fetch
from fer_batch.sources.fetch import StoreFault, local_file, read_bytes
from fer_batch.types import MediaError


class Troubled(MemoryFileSystem):
    """A store that answers with the errors it is given, then well."""

    protocol = "troubled"
    cachable = False
    errors: list = []  # noqa: RUF012  (shared on purpose: fsspec makes the instances)

    def cat_file(self, path, *args, **kwargs):
        if self.errors:
            raise self.errors.pop(0)
        return b"content"

    def get_file(self, rpath, lpath, *args, **kwargs):
        with open(lpath, "wb") as handle:
            handle.write(self.cat_file(rpath))


@pytest.fixture
def troubled(monkeypatch):
    fsspec.register_implementation("troubled", Troubled, clobber=True)
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    Troubled.errors.clear()
    return Troubled.errors


def fetched(uri):
    with local_file(uri) as path, open(path, "rb") as handle:
        return handle.read()


@pytest.mark.parametrize("get", [read_bytes, fetched])
def test_a_file_that_is_not_there_is_the_inputs_fault(get, tmp_path):
    for uri in (str(tmp_path / "none.mp4"), f"memory://{uuid.uuid4().hex}/none.mp4"):
        with pytest.raises(MediaError, match="not there"):
            get(uri)
    with pytest.raises(MediaError, match="a folder"):
        get(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_locked_local_file_is_the_inputs_fault(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(MediaError, match="permission"):
        read_bytes(str(tmp_path / "a"))


@pytest.mark.parametrize("get", [read_bytes, fetched])
def test_a_store_that_does_not_answer_is_asked_again(get, troubled):
    troubled.extend([OSError("busy"), RuntimeError("connection reset")])
    assert get("troubled://a/b.mp4") == b"content"
    troubled.extend([OSError("busy")] * 3)
    with pytest.raises(StoreFault, match=r"troubled://a/b\.mp4 failed 3 times: busy"):
        get("troubled://a/b.mp4")


def refusal(code):
    error = PermissionError("refused")
    error.__cause__ = type("ClientError", (Exception,), {"response": {"Error": {"Code": code}}})()
    return error


@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", MediaError), ("ExpiredToken", StoreFault)])
def test_credentials_that_ran_out_say_nothing_about_the_input(code, kind, troubled):
    troubled.append(refusal(code))
    with pytest.raises(kind):
        read_bytes("troubled://a/b.mp4")


def test_a_remote_file_is_a_copy_that_goes_and_a_local_one_itself(troubled, tmp_path):
    with local_file("troubled://a/b.mp4") as path:
        assert path.endswith(".mp4")
    assert not os.path.exists(path)
    odd = tmp_path / "it's::odd #1.mp4"
    odd.write_bytes(b"x")
    with local_file(str(odd)) as path:
        assert path == str(odd)
    assert read_bytes(str(odd)) == b"x"
