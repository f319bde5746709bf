"""What a job of kind study is, without doing any of it."""

from __future__ import annotations

from typing import Literal, TypedDict

from fer_batch.config import read_study
from fer_batch.config.reading import load_yaml
from fer_batch.pipeline.study.comparison import check_comparisons
from fer_batch.pipeline.study.forecast import forecast, grid_lines
from fer_batch.types import InputError

NOWHERE = "OUT"  # stands for the output that a job leaves open


class StudyFacts(TypedDict):
    """What `inspect` says of the job of a study.

    Attributes
    ----------
    sizes
        Those that the job has, `full` and perhaps `small`, each with its grid in lines.
    lacks
        Of a size that cannot be read as it stands, the sentence that a run would answer with.
    """

    kind: Literal["study"]
    uri: str
    name: str
    sizes: dict[str, list[str]]
    lacks: dict[str, str]


def study_facts(uri: str) -> StudyFacts:
    """The grid of a job of kind study, in every size that it has; where it names its output, what is done there.

    Parameters
    ----------
    uri
        Path of the job file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    values = load_yaml(uri)
    found: StudyFacts = {"kind": "study", "uri": uri, "name": str(values.get("name")), "sizes": {}, "lacks": {}}
    for size in ("full", "small") if values.get("small") else ("full",):
        try:
            study = read_study(uri, (f"size={size}",), None if values.get("output") else NOWHERE)
            check_comparisons(study)
            found["sizes"][size] = forecast(study).splitlines() if values.get("output") else list(grid_lines(study))
        except InputError as error:
            found["lacks"][size] = str(error)
    return found


def study_text(found: StudyFacts) -> str:
    """The same for a person."""
    lines = [f"{found['uri']}: a job of kind study; fer-batch run does it, with --dry-run it says what is done"]
    for size in ("full", "small"):
        command = "as it stands" if size == "full" else "with --set size=small"
        if size in found["lacks"]:
            lines.append(f"{command}, it lacks something: {found['lacks'][size]}")
        elif size in found["sizes"]:
            lines += [f"{command}:", *found["sizes"][size]]
    return "\n".join(lines)
