"""Tables as lines of text."""

from fer_batch.output.text import aligned


def test_the_first_column_stands_left_and_numbers_stand_right():
    rows = [["target", "n"], ["AU01", "12345"], ["a longer name", ""]]
    assert aligned(rows) == ["target             n", "AU01           12345", "a longer name"]
