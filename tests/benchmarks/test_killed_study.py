"""The folder that the benchmark makes for itself goes with it; a study is not run here."""

import importlib.util
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


def loaded(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # it imports compare_outputs, which lies beside
    spec = importlib.util.spec_from_file_location("killed_study", FOLDER / "killed_study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_folder_goes_unless_it_was_named(tmp_path, monkeypatch):
    killed, used = loaded(monkeypatch), []
    monkeypatch.setattr(killed.subprocess, "run", lambda command, **_: Path(command[-1]).mkdir(exist_ok=True))
    monkeypatch.setattr(killed, "differences", lambda one, other: used.append(one.parent) or iter(()))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for asked in ([], ["--work", str(tmp_path)]):
        monkeypatch.setattr(sys, "argv", ["killed_study.py", "--kills", "0", *asked])
        assert killed.main() == 0
    assert not used[0].exists() and used[0].parent == tmp_path
    assert used[1] == tmp_path and (tmp_path / "whole").exists()
