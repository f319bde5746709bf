"""Folders of a dataset as people have them: another folder on top, other case, junk between."""

import pytest

from fer_batch.sources.tree import Tree, is_junk
from fer_batch.types import InputError


def test_a_folder_is_found_at_its_uppermost_place_in_any_case(tree):
    uri = tree({"top/IMAGES/a/1.png": None, "top/deep/Images/b/2.png": None, "__MACOSX/Images/3.png": None})
    assert Tree(uri).find("Images") == "top/IMAGES"
    assert Tree(uri).find("images", below="top/deep") == "top/deep/Images"
    assert Tree(uri).find("Labels") is None and Tree(uri).find("Images", below=None) is None


def test_earlier_names_go_before_later_ones_of_the_same_depth(tree):
    uri = tree({"FACS_labels/a.txt": "", "FACS/a.txt": ""})
    assert Tree(uri).find("FACS", "FACS_labels") == "FACS"
    assert Tree(uri).find("FACS_labels", "FACS") == "FACS_labels"


def test_a_folder_of_subjects_is_not_searched(tree):
    uri = tree({f"subjects/S{i:03d}/Images/1.png": None for i in range(21)})
    assert Tree(uri).find("Images") is None
    with pytest.raises(InputError, match=r"no folder 'Images' in .*; it holds subjects"):
        Tree(uri).need("Images")


def test_files_are_grouped_by_their_last_folders_without_junk(tree):
    names = ("x/S1/001/b.TXT", "x/S1/001/a.txt", "x/S1/002/a.txt", "x/S1/002/._a.txt", "x/S1/002/a.png")
    groups = Tree(tree(dict.fromkeys(names, ""))).grouped("x", (".txt",), 2)
    assert {key: [entry.path for entry in entries] for key, entries in groups.items()} == {
        "S1/001": ["x/S1/001/a.txt", "x/S1/001/b.TXT"],
        "S1/002": ["x/S1/002/a.txt"],
    }


def test_junk_is_what_operating_systems_leave_behind():
    assert all(map(is_junk, ("a/._b.png", ".DS_Store", "a/Thumbs.db", "__MACOSX/a/b.png")))
    assert not any(map(is_junk, ("a/b.png", "a._b.png", "thumbs.png")))
