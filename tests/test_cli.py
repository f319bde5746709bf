"""What the commands print and how they end, without a run."""

import base64
import csv
import io
import json
import shlex
import shutil
from types import SimpleNamespace

import pytest

from fer_batch import cli
from fer_batch.pipeline.run import Outcome
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

JPEG = b"\xff\xd8\x00picture"


@pytest.fixture
def out(tmp_path):
    """An output with one story and one picture."""
    folder = tmp_path / "my out"
    store, partition = Store(str(folder)), Partition("d", "m-1", "e-1")
    rows = {
        "sequences": {"sequence_id": "a.mp4", "kind": "video", "status": "done", "run_id": "r"},
        "temporal_prototypes": {"sequence_id": "a.mp4", "text": "(AU01_A)", "n_frames": 3, "reduction": 0.5},
        "prototypes": {"sequence_id": "a.mp4", "target": "AU01", "cluster": "A", "exemplar_jpeg": JPEG},
    }
    for table, row in rows.items():
        store.put(f"{partition.folder(table)}/s.parquet", encode(rows_of(table, [row])))
    return str(folder)


@pytest.fixture
def piped(out, monkeypatch, capsys):
    """Pipes text into `query`; gives exit code, output and errors."""

    def pipe(text, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code = cli.main(["query", out, *arguments])
        return code, *capsys.readouterr()

    return pipe


def test_every_statement_of_a_line_is_answered(piped):
    code, printed, _ = piped("SELECT 41 AS a; SELECT 42 AS b;\ntemporal_prototypes; sequences\n", "--format", "csv")
    assert printed.split()[:4] == ["a", "41", "b", "42"]
    assert "(AU01_A)" in printed
    assert code == 1, "the name of a table is no query"


def test_a_failed_statement_among_piped_ones_is_exit_code_1(piped):
    code, printed, errors = piped("SELECT nothing;\nSELECT 7 AS seven;\n", "--format", "json")
    assert (code, json.loads(printed)) == (1, [{"seven": 7}])
    assert errors.startswith("error: ")
    code, _, errors = piped("SELECT CAST(text AS INTEGER) FROM temporal_prototypes;\nSELECT 1;\n")
    assert (code, errors.count("error: ")) == (1, 1)
    assert piped("SELECT 1;\nSELECT 2")[0] == 0


@pytest.mark.parametrize("word", ["exit", "quit;", "\\q"])
def test_the_prompt_can_be_left(piped, word):
    code, printed, errors = piped(f"SELECT 1 AS one;\n{word}\nSELECT 2 AS two;\n", "--format", "csv")
    assert (code, printed.split(), errors) == (0, ["one", "1"], "")


def test_help_at_the_prompt_names_tables_and_queries(piped):
    code, printed, _ = piped("help\n")
    assert code == 0
    assert "temporal_prototypes" in printed
    assert "localisation" in printed


def test_pictures_are_base64(out, capsys):
    sql = "SELECT exemplar_jpeg FROM prototypes"
    assert cli.main(["query", out, sql, "--format", "csv"]) == 0
    assert base64.b64decode(list(csv.reader(io.StringIO(capsys.readouterr().out)))[1][0]) == JPEG
    assert cli.main(["query", out, sql, "--format", "json"]) == 0
    assert base64.b64decode(json.loads(capsys.readouterr().out)[0]["exemplar_jpeg"]) == JPEG


@pytest.mark.parametrize(("command", "goes_on"), [("query", False), ("run", True)])
def test_only_a_run_is_said_to_go_on(command, goes_on, monkeypatch, capsys):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert cli.main([command, "x"]) == 130
    assert ("to go on where it was" in capsys.readouterr().err) == goes_on


def test_hints_can_be_pasted_into_a_shell(out, capsys, tmp_path):
    outcome = Outcome(found=1, done=1)
    hint = cli.summary(outcome, out).splitlines()[-1].removeprefix("query")
    assert cli.main(shlex.split(hint)[1:]) == 0
    capsys.readouterr()
    folder = tmp_path / "my clips"
    folder.mkdir()
    (folder / "a.mp4").touch()
    assert cli.main(["inspect", str(folder)]) == 0
    hint = capsys.readouterr().out.split("run it: ")[1]
    assert f"source.uri={folder}" in shlex.split(hint)


@pytest.mark.parametrize(
    ("format", "query"),
    [
        ("videos", "temporal_prototypes"),
        ("image_sequences", "temporal_prototypes"),
        ("images", "active"),
        ("manifest", "temporal_prototypes"),
    ],
)
def test_a_run_over_stills_is_not_sent_to_stories(out, format, query):
    config = SimpleNamespace(source=SimpleNamespace(format=format), output=out, name="d")
    assert cli._telling_query(config) == query


def test_a_manifest_of_stills_is_sent_to_active(out, tmp_path):
    config = SimpleNamespace(source=SimpleNamespace(format="manifest"), output=out, name="other")
    assert cli._telling_query(config) == "active"
    config.output = str(tmp_path / "nothing")
    assert cli._telling_query(config) == "active"


def test_commands_that_draw_or_export_say_that_an_output_is_a_training(tmp_path, capsys):
    store, partition = Store(str(tmp_path / "trained")), Partition("d", "m-1", "none")
    row = {"sequence_id": "a.mp4", "kind": "video", "status": "done", "run_id": "r"}
    store.put(f"{partition.folder('sequences')}/s.parquet", encode(rows_of("sequences", [row])))
    store.put("_train/1/targets.json", b"[]")
    for command in (["report"], ["retry"], ["export", "--to", "openface-csv", str(tmp_path / "csv")]):
        assert cli.main([command[0], store.uri, *command[1:]]) == 1
        assert "holds a training" in capsys.readouterr().err
    assert not (tmp_path / "csv").exists()


def test_every_ready_made_query_is_named_by_the_help(capsys):
    from fer_batch.output.query import QUERIES

    assert cli.main(["query", "--help"]) == 0
    named = capsys.readouterr().out.split("name of a query:")[1].split(".")[0]
    assert {name.strip() for name in named.split(",")} == set(QUERIES)


def test_the_example_of_retry_names_a_source_on_one_line(capsys):
    assert cli.main(["retry", "--help"]) == 0
    line = capsys.readouterr().out.split("Example:")[1].strip()
    assert line == "fer-batch retry out && fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out"


@pytest.mark.parametrize(
    ("name", "job", "expected"),
    [
        ("a.jpg", "clips", "it holds 1 image; images: jobs/stills.yaml; what it is: fer-batch inspect "),
        ("a.mp4", "stills", "it holds 1 video; videos: jobs/clips.yaml"),
    ],
)
def test_a_job_for_other_media_names_the_right_one(tmp_path, capsys, request, name, job, expected):
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / name).touch()
    path = request.config.rootpath / "jobs" / f"{job}.yaml"
    assert cli.main(["run", str(path), "--set", f"source.uri={folder}", "--output", str(tmp_path / "o")]) == 1
    assert expected in capsys.readouterr().err


def test_inspect_says_what_a_mixed_folder_holds(tmp_path, capsys):
    for name in ("a.mp4", "a.annotations.csv", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "sequences.csv").write_text("path,subject_id\na.mp4,S1\n" + "".join(f"{i}.mp4,S2\n" for i in range(5)))
    assert cli.main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in (": 1 video (", "  1 subject\n", "  1 with annotations\n", "  2 images beside: "):
        assert part in printed
    assert "sequences.csv: 5 rows without a file: 0.mp4, 1.mp4, 2.mp4, ...\n" in printed


def test_inspect_counts_no_pictures_of_an_output_below(tmp_path, capsys):
    for name in ("a.mp4", "out/report/b.jpg", "out/_commits/u.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images_beside"] == 0


def test_inspect_shows_the_shipped_cards(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", "demo-expressions"]) == 0
    assert "DEMO MODEL" in capsys.readouterr().out
    (tmp_path / "demo").mkdir()
    assert cli.main(["inspect", "demo"]) == 1
    assert "'demo' is empty" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "demo")
    assert cli.main(["inspect", "demo"]) == 0


def test_inspect_of_one_clip_asks_for_its_folder(tmp_path, capsys):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "c.mp4").touch()
    assert cli.main(["inspect", str(tmp_path / "a b" / "c.mp4")]) == 1
    assert f"give its folder: fer-batch inspect '{tmp_path / 'a b'}'" in capsys.readouterr().err
