"""What a training reads: every source of the job as inputs with subjects, in units of work."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fer_batch.config import TrainConfig, TrainSourceConfig, real_place
from fer_batch.config.sections import SourceConfig
from fer_batch.config.train import PosedConfig
from fer_batch.media.landmarks import check_detector
from fer_batch.media.settings import FaceSettings
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.units import Unit, units_to_do
from fer_batch.pipeline.progress import progress, say
from fer_batch.pipeline.training.overlap import People, check_apart, check_spaces, shared_subjects
from fer_batch.pipeline.training.shards import Row
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_expressions, plan_people
from fer_batch.registry import nearest
from fer_batch.sources.listing import list_source
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store, has_scheme
from fer_batch.types import InputError, SequenceRef

DATA = "_data"


@dataclass(frozen=True)
class Source:
    """One dataset as it was listed, in units."""

    dataset: str
    units: tuple[Unit, ...]
    decode: DecodeOptions

    @property
    def refs(self) -> list[SequenceRef]:
        """Inputs of all units."""
        return [ref for unit in self.units for ref in unit.members]


def list_sources(config: TrainConfig, size: int) -> list[Source]:
    """List every source of a job; posed ones are made first, in the output.

    Raises
    ------
    InputError
        If a source is not what the job says, or two are one.
    """
    places = Counter(real_place(source.uri) for source in config.sources if source.uri)
    twice = [uri for uri, n in places.items() if n > 1]
    if twice:
        raise InputError(f"sources: {twice[0]!r} is named as two datasets, whose subjects would count as other people")
    sources = [_listed(config, source, size) for source in config.sources]
    check_apart({source.dataset: source.refs for source in sources})
    people: People = defaultdict(dict)
    named: People = defaultdict(dict)  # without those whose subjects are inputs, which may well have the same names
    for source, listed in zip(config.sources, sources, strict=True):
        people[source.space][source.dataset] = {str(ref.subject_id) for ref in listed.refs}
        if source.subjects == "required":
            named[source.space][source.dataset] = people[source.space][source.dataset]
    check_spaces(people)
    for sentence in shared_subjects(named):
        say(sentence)
    return sources


def _listed(config: TrainConfig, source: TrainSourceConfig, size: int) -> Source:
    uri = _posed(config, source, source.posed) if source.posed is not None else source.uri
    refs = list_source(source.format, uri, source.pattern, source.keywords)
    _check_detector(config.faces, refs)
    clock = source.sampling.fps or source.sampling.start_s or source.sampling.stop_s
    if clock and any(ref.kind == "image_sequence" for ref in refs):
        raise InputError(f"source {source.dataset}: numbered images have no clock; sample by stride or max_frames")
    if source.sampling.slots and any(ref.kind == "still" for ref in refs):
        raise InputError(
            f"source {source.dataset}: sampling.slots are of clips and numbered images, and it has stills; "
            "labels.per_subject keeps so many crops of each subject and class"
        )
    if config.faces.choose == "all":
        raise InputError("faces.choose: all gives several people per input; labels are of one, so choose largest")
    refs = _without_excluded([_of_training(ref, source) for ref in refs], source)
    refs = _at_most(refs, source.inputs_per_subject)
    options = DecodeOptions.of(config.faces, source, config.resources, size=size)
    units = units_to_do(refs, Partition(source.dataset, "crops", crop_key(config.faces, source, size)), set(), set())
    return Source(source.dataset, tuple(units), options)


def crop_key(faces: FaceSettings, source: SourceConfig, size: int) -> str:
    """Every option that changes the crops of a source, as a digest.

    Parameters
    ----------
    faces, source
        Sections of the job.
    size : pixels
        Side of the crops.
    """
    cut = {name: value for name, value in asdict(faces).items() if name not in ("store", "size")}
    return digest([cut, size, asdict(source.sampling)])


def _of_training(ref: SequenceRef, source: TrainSourceConfig) -> SequenceRef:
    """The input with the subject that it has in this training, and with its stated part in its identity.

    Crops keep the part that they were cut with, so that another one needs others.
    """
    version = f"{ref.truth_version} split {ref.split}" if ref.split else ref.truth_version
    return replace(ref, subject_id=_subject(ref, source), truth_version=version)


def _subject(ref: SequenceRef, source: TrainSourceConfig) -> str:
    """The subject of an input, prefixed by its subject space (methods D-3)."""
    if ref.subject_id:  # adapters of datasets say whose they are already
        if source.subject_space:
            return f"{source.subject_space}:{ref.subject_id.removeprefix(source.format + ':')}"
        return ref.subject_id if ":" in ref.subject_id else f"{source.dataset}:{ref.subject_id}"
    if source.subjects == "per_input" or ref.skip_reason:
        return f"{source.dataset}:{ref.sequence_id}"
    raise InputError(
        f"source {source.dataset}: the input {ref.sequence_id!r} has no subject, and splits are made by subject; add "
        "subject_id to its sequences.csv or manifest, or set subjects: per_input where every input shows another person"
    )


def _without_excluded(refs: list[SequenceRef], source: TrainSourceConfig) -> list[SequenceRef]:
    """The same inputs; those of subjects that the job excludes are skipped, and counted so."""
    if not source.exclude:
        return refs
    known = {str(ref.subject_id).partition(":")[2]: ref.subject_id for ref in refs}
    wanted = {known.get(name, name) for name in source.exclude}
    for name in sorted(wanted - set(known.values()), key=str):
        raise InputError(f"source {source.dataset}: exclude names no subject {name!r}; {nearest(str(name), known)}")
    why = "excluded by sources.exclude"
    return [replace(ref, skip_reason=why) if ref.subject_id in wanted and not ref.skip_reason else ref for ref in refs]


def _at_most(refs: list[SequenceRef], n: int | None) -> list[SequenceRef]:
    """The same inputs; those beyond n of one subject and expression are skipped, and counted so.

    Which are kept is decided by a digest of their ids: neither by their order, which may be that of the recording, nor
    by what else there is.
    """
    if n is None:
        return refs
    own: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for ref in refs:
        if not ref.skip_reason:
            own[ref.subject_id, ref.emotion].append(ref.sequence_id)
    kept = {name for names in own.values() for name in sorted(names, key=digest)[:n]}
    why = f"more than sources.inputs_per_subject: {n} of this subject and expression"
    return [ref if ref.skip_reason or ref.sequence_id in kept else replace(ref, skip_reason=why) for ref in refs]


def short_inputs(config: TrainConfig, inputs: Sequence[Row]) -> list[str]:
    """Sentences about inputs with fewer frames than `sampling.slots` asks for, of which all frames are kept.

    Parameters
    ----------
    config
        The job.
    inputs
        What became of every input: `dataset`, `sequence_id`, `status` and `n_frames`.
    """
    found = []
    for source in config.sources:
        wanted = (source.sampling.slots or 0) * (source.sampling.per_slot or 0)
        own = [row for row in inputs if row["dataset"] == source.dataset and row["status"] in ("done", "partial")]
        short = sorted((row for row in own if row["n_frames"] < wanted), key=lambda row: int(row["n_frames"]))
        if short:
            found.append(
                f"{source.dataset}: {len(short)} of {len(own)} inputs have fewer than the {wanted} frames that "
                f"sampling asks for; the shortest is {short[0]['sequence_id']} with {short[0]['n_frames']}"
            )
    return found


def _check_detector(faces: FaceSettings, refs: Sequence[SequenceRef]) -> None:
    if faces.detector not in ("none", "dataset") and any(
        not len(ref.landmarks) and not ref.landmarks_uri and not ref.skip_reason for ref in refs
    ):
        check_detector(faces.detector)


def posed_people_made(config: TrainConfig) -> bool:
    """Whether the posed people of all sources are there, so that listing them makes none."""
    sources = [(source, source.posed) for source in config.sources if source.posed is not None]
    return all(not has_scheme(config.output) and _made(_root(config, source), posed) for source, posed in sources)


def _root(config: TrainConfig, source: TrainSourceConfig) -> Path:
    return Path(Store(config.output).path(f"{DATA}/{source.dataset}"))


def _made(root: Path, posed: PosedConfig) -> bool:
    mark = root.with_suffix(".json")  # says what the folder holds, and is written last
    return mark.exists() and PosedConfig(**json.loads(mark.read_text())) == posed


def _posed(config: TrainConfig, source: TrainSourceConfig, posed: PosedConfig) -> str:
    """Folder of the posed people of a source; made where it is not there yet."""
    if has_scheme(config.output):
        raise InputError(f"posed people are made as local files; output {config.output!r} is a URL")
    root = _root(config, source)
    mark = root.with_suffix(".json")
    wanted = posed.model_dump(mode="json", exclude_defaults=True)
    if not _made(root, posed):
        shutil.rmtree(root, ignore_errors=True)
        mark.unlink(missing_ok=True)
        _make_posed(root, config.output, source.dataset, posed)
        mark.write_text(json.dumps(wanted))
    return str(root)


def _make_posed(root: Path, output: str, dataset: str, posed: PosedConfig) -> None:
    try:
        root.mkdir(parents=True)
        if posed.expressions:
            plans = plan_expressions(posed.subjects, posed.expressions, posed.frames, posed.seed)
        else:
            plans = plan_people(posed.subjects, posed.clips, posed.frames, posed.seed)
    except OSError as error:
        raise InputError(f"cannot write to output {output!r}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"source {dataset}: posed: {error}") from None
    with progress("posed clips", len(plans), "clip") as advance:
        write_clips(root, size=256, plans=plans, progress=advance)
