"""Folders are the same however they are spelled; URLs are taken as they are."""

import pytest

from fer_batch.config.sections import real_place, same_place


def test_one_folder_has_one_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for spelling in ("data", "./data/", "data/../data", "link", f"file://{tmp_path}/data"):
        assert same_place(spelling, str(tmp_path / "data")), spelling
    assert not same_place("data", "data2")


@pytest.mark.parametrize(("uri", "place"), [("s3://b/in/", "s3://b/in"), ("s3://b/../b/in", "s3://b/../b/in")])
def test_a_url_is_only_freed_of_its_last_slash(uri, place):
    assert real_place(uri) == place
