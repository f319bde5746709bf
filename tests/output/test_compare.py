"""`fer-batch compare`: golden examples G-01, G-03 and G-04 through the tables of an output."""

import json

import pytest

from fer_batch import cli
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store

X1, X2, X3 = "(a) -> (b) -> (c)", "(a) -> (b)", "(b) -> (c)"
TOY = (
    "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_B, AU04_A) -> (AU01_A, AU02_B) -> "
    "(AU01_A, AU02_A) -> (AU02_A) -> (NONE)"
)
TEXTS = {
    "toy.mp4": (TOY, 18),
    "P": ("(AU01_A, AU02_A) -> (AU02_A)", 5),
    "Q": ("(AU01_A, AU02_A) -> (AU02_A, AU25_A)", 5),
    "dots": ("(MOUTH_A) -> (MOUTH_A_B)", 4),
    "empty": ("", 0),
}


def put(store, partition, texts):
    rows = [{"sequence_id": name, "text": text, "n_frames": n} for name, (text, n) in texts.items()]
    detections = [{"sequence_id": "dots", "frame_index": 0, "target": "MOUTH_A"}]
    store.put(f"{partition.folder('temporal_prototypes')}/s.parquet", encode(rows_of("temporal_prototypes", rows)))
    store.put(f"{partition.folder('detections')}/s.parquet", encode(rows_of("detections", detections)))


@pytest.fixture
def out(tmp_path):
    put(Store(str(tmp_path)), Partition("d", "m-1", "e-1"), TEXTS)
    return str(tmp_path)


@pytest.fixture
def compared(out, capsys):
    def run(*arguments):
        code = cli.main(["compare", out, *arguments, "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    return run


def test_g01_and_g02_counts(compared):
    toy, bare = compared("toy.mp4", "P")["prototypes"][0], compared("toy.mp4", "P", "--no-letters")["prototypes"][0]
    assert (toy["n_frames"], toy["n_stages"], toy["n_distinct_stages"], toy["paper_count"]) == (18, 8, 6, 7)
    assert toy["reduction"] == pytest.approx(1 - 8 / 18)
    assert bare["text"] == "(NONE) -> (AU02) -> (AU01, AU02, AU04) -> (AU01, AU02) -> (AU02) -> (NONE)"
    assert (bare["n_stages"], bare["reduction"]) == (6, pytest.approx(1 - 6 / 18))


def test_g03_inclusion(compared):
    (pair,) = compared("P", "Q")["pairs"]
    assert set(pair["first_in_second"].values()) == {True}
    assert set(pair["second_in_first"].values()) == {False}
    assert len(pair["first_in_second"]) == 3
    (between,) = compared("(AU01_A) -> (AU02_A)", "(AU01_A) -> (AU04_A) -> (AU02_A)")["pairs"]
    assert between["first_in_second"] == {"subsequence": True, "contiguous": False, "stagewise": False}
    rest = "(NONE) -> (AU02_A)", "(AU05_A) -> (AU02_A)"
    assert not compared(*rest)["pairs"][0]["first_in_second"]["subsequence"]
    assert compared(*rest, "--none-loose")["pairs"][0]["first_in_second"]["subsequence"]


def test_g04_sub_sequences(compared):
    found = compared(X1, X2, X3, "--support", "2")["patterns"]
    for kind in ("contiguous", "gapped"):
        own = {(one["pattern"], one["support"]) for one in found if one["kind"] == kind}
        assert own == {("(a) -> (b)", 2), ("(b) -> (c)", 2)}
    assert {one["pattern"] for one in compared(X1, X2, X3)["patterns"]} == {"(b)"}
    first = "(NONE) -> (AU01, AU02) -> (AU02)"
    (pair,) = compared(first, "(NONE) -> (AU01, AU02) -> (AU01, AU02, AU25) -> (AU02)")["pairs"]
    assert (pair["n_gapped"], pair["gapped"], pair["n_contiguous"], pair["edits"]) == (3, first, 2, 1)
    (subset,) = compared("(a) -> (c)", "(a, b) -> (d) -> (c)", "--relation", "subset")["pairs"]
    assert (subset["gapped"], subset["n_gapped"]) == ("(a) -> (c)", 2)
    assert compared("(a) -> (c)", "(a, b) -> (d) -> (c)")["pairs"][0]["n_gapped"] == 1


def test_the_text_has_every_part(out, capsys):
    assert cli.main(["compare", out, "P", "Q", "empty"]) == 0
    text = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines() if line}
    assert rows["P / Q"][3:] == ["stagewise", "-", "1", "1", "1"]
    assert rows["P / empty"][-1] == "2"
    assert "empty: no frame shows a face" in text
    assert cli.main(["compare", out, "P", "Q"]) == 0
    text = capsys.readouterr().out
    assert "longest common, gapped: (AU01_A, AU02_A)\n" in text
    assert "contiguous        2       1  (AU01_A, AU02_A)" in text


def test_targets_that_end_like_letters_are_read_as_the_network_has_them(compared):
    found = compared("dots", "dots", "--no-letters")["prototypes"][0]
    assert found["text"] == "(MOUTH_A)"


def test_what_is_wrong_is_named(out, capsys):
    def error(*arguments):
        assert cli.main(["compare", out, *arguments]) == 1
        return capsys.readouterr().err

    assert "name two prototypes" in error("P")
    assert "did you mean 'toy.mp4'" in error("toy.mp3", "P")
    assert "is no temporal prototype" in error("(a, ", "P")
    assert "did you mean 'subset'" in error("P", "Q", "--relation", "subsets")
    assert "begins with '('" in error("AU12_A", "P")
    assert "at most the 2 that are compared" in error("P", "Q", "--support", "3")
    assert "--explain: no temporal prototype is of 'e-2'; did you mean 'e-1'?" in error("P", "Q", "--explain", "e-2")
    put(Store(out), Partition("d", "m-1", "more-3"), {f"{i:05}.mp4": ("(NONE)", 1) for i in range(3000)})
    assert "known: 00000.mp4, 00001.mp4" in (many := error("R", "P"))
    assert len(many) < 1000
    assert "in another partition" in error("P", "Q", "--explain", "more-3")
    put(Store(out), Partition("d", "m-1", "other-2"), TEXTS)
    several = error("P", "Q")
    assert "in 2 partitions" in several
    assert "--dataset d --model m-1 --explain other-2" in several
    assert cli.main(["compare", out, "P", "Q", "--explain", "other-2"]) == 0


def test_an_output_of_stills_has_nothing_to_compare(tmp_path, capsys):
    still = [{"sequence_id": "a.png", "kind": "still", "status": "done", "run_id": "r"}]
    Store(str(tmp_path)).put(
        f"{Partition('d', 'm', 'e').folder('sequences')}/s.parquet", encode(rows_of("sequences", still))
    )
    assert cli.main(["compare", str(tmp_path), "a.png", "b.png"]) == 1
    assert "this output has no temporal prototypes: stills have none" in capsys.readouterr().err
