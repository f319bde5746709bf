"""What `fer-batch verify` finds, and what it takes to have it made again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing of an output that is not as it was published.

    Attributes
    ----------
    path
        Relative to the output.
    what
        What is wrong with it; with the path a sentence.
    shard
        The shard that has to be made again, where one has.
    aside
        Files and folders beside the path that have to be set aside, so that it is made again.
    """

    path: str
    what: str
    shard: str | None = None
    aside: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass
class Checked:
    """What was looked at.

    Attributes
    ----------
    findings
        What is wrong.
    notes
        What is not as it will be, and what the next run does about it by itself.
    n_files
        Published files of tables.
    n_undigested
        Of them, those of an earlier version, which recorded no digest.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_undigested: int = 0
