"""Questions about an output, a file or the tables."""

import base64
import csv
import io
import json
import shutil

import pytest

from fer_batch import cli

JPEG = b"\xff\xd8\x00picture"


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


def test_every_ready_made_query_is_named_by_the_help(capsys):
    from fer_batch.output.named_queries import QUERIES

    assert cli.main(["query", "--help"]) == 0
    named = capsys.readouterr().out.split("name of a query:")[1].split(".")[0]
    assert {name.strip() for name in named.split(",")} == set(QUERIES)


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
