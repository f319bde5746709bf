"""What is said while it works, where there is no terminal."""

from fer_batch.pipeline.progress import progress


def test_the_last_line_is_said_once_however_often_one_asks_afterwards(capsys):
    """A training looks twice a second whether its folds are saved, with nothing new to tell."""
    with progress("train", 6, "epoch") as advance:
        for n in (2, 0, 4, 0, 0, 0):
            advance(n)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(",")[0] or line for line in lines] == ["train: 6 epochs", "train: 6 of 6 epochs"]
