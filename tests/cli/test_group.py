"""Words of the command line, and how a command ends."""

import pytest

from fer_batch import cli


@pytest.mark.parametrize(("command", "goes_on"), [("query", False), ("run", True)])
def test_only_a_run_is_said_to_go_on(command, goes_on, monkeypatch, capsys):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert cli.main([command, "x"]) == 130
    assert ("to go on where it was" in capsys.readouterr().err) == goes_on


def test_the_example_of_retry_names_a_source_on_one_line(capsys):
    assert cli.main(["retry", "--help"]) == 0
    line = capsys.readouterr().out.split("Example:")[1].strip()
    assert line == "fer-batch retry out && fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out"
