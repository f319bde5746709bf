"""The table of the bench: what was tried, how often, and what it cost. `make faults` writes it into docs/faults.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- written by `make faults` -->", "<!-- end -->"
HEAD = ("scenario", "tries", "held", "rows lost", "rows doubled", "hung")


@dataclass
class Row:
    """One scenario.

    Attributes
    ----------
    tries, held
        How often it was tried, and how often everything that its test asks for was so.
    lost, doubled
        Rows over all tries, beside a run that nothing disturbed; None where the scenario compares none.
    hung
        Tries in which something did not end in its time.
    """

    tries: int = 0
    held: int = 0
    lost: int | None = None
    doubled: int | None = None
    hung: int = 0

    def add(self, held: bool, lost: int | None, doubled: int | None, hung: bool) -> None:
        """Take one try."""
        self.tries, self.held, self.hung = self.tries + 1, self.held + held, self.hung + hung
        if lost is not None and doubled is not None:
            self.lost, self.doubled = (self.lost or 0) + lost, (self.doubled or 0) + doubled


def scenario_of(nodeid: str) -> str:
    """What a test tries, in words: its name, and its parameters without the number of the try."""
    name, _, parameters = nodeid.rpartition("::")[2].removeprefix("test_").partition("[")
    kept = re.sub(r"(?:^|-)try \d+(?=-|$)", "", parameters.removesuffix("]")).strip("-")
    return name.replace("_", " ") + (f": {kept.replace('-', ' ')}" if kept else "")


def lines_of(rows: dict[str, Row]) -> list[str]:
    """The table in Markdown."""
    shown = [[name, *map(_shown, (row.tries, row.held, row.lost, row.doubled, row.hung))] for name, row in rows.items()]
    aligned = ["---", *["---:"] * (len(HEAD) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in [HEAD, aligned, *shown]]


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def read_rows(text: str) -> dict[str, Row]:
    """Rows of a table that was written before."""
    rows = {}
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")] if line.startswith("|") else []
        if line.endswith("| |"):
            cells.append("")
        if len(cells) == len(HEAD) and cells[1].isdigit():
            rows[cells[0]] = Row(*[int(cell) if cell else None for cell in cells[1:]])
    return rows


def write_rows(path: Path, rows: dict[str, Row], whole: bool) -> None:
    """Put the table between its marks; where not the whole bench was run, rows of other scenarios stay."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}")
    kept = {} if whole else read_rows(text)
    path.write_text("\n".join([before + BEGIN, "", *lines_of(kept | rows), "", END + after]))
