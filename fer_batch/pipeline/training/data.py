"""Sources become crops that every epoch can read at the speed of memory: decoded once, kept as files, resumable.

    unit -> crop_unit (CPU tasks, one file of crops and one of rows each) -> write_shard (CPU tasks) -> crops.json

Everything lies under `_crops/<digest>/` of the output; a file of rows is written after its crops and says that the unit
is done, `crops.json` after the shards says that all are. Pixels go from worker to storage and never to the driver.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import TrainConfig, TrainSourceConfig, real_place
from fer_batch.config.sections import SourceConfig
from fer_batch.facs import au_id
from fer_batch.media.landmarks import check_detector
from fer_batch.media.settings import FaceSettings
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.sink import patiently_put
from fer_batch.pipeline.explaining.units import Unit, units_to_do
from fer_batch.pipeline.progress import progress, say
from fer_batch.pipeline.training.overlap import People, check_apart, check_spaces, shared_subjects
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_people
from fer_batch.registry import nearest
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.labels import SCALES
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.parquet import Partition, decode, encode
from fer_batch.storage.store import Store, has_scheme
from fer_batch.storage.tables import SCHEMAS
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError, SequenceRef

CROPS, DATA = "_crops", "_data"
SHARD_FRAMES = 8192  # 0.3 GB of 112x112 crops
_ROWS = pa.schema(
    [
        ("dataset", pa.string()),
        ("subject_id", pa.string()),
        ("sequence_id", pa.string()),
        ("frame_index", pa.int64()),
        ("split", pa.string()),
        ("emotion", pa.string()),
        ("landmarks", pa.list_(pa.float32())),
        ("targets", pa.list_(pa.string())),
        ("intensity", pa.list_(pa.float32())),
        ("occurrence", pa.list_(pa.bool_())),
    ]
)
_INPUTS = pa.schema(
    [*(field for field in SCHEMAS["sequences"] if field.name != "run_id"), pa.field("dataset", pa.string())]
)


@dataclass(frozen=True)
class CropOptions:
    """What `crop_unit` needs of the job."""

    output: str
    folder: str
    dataset: str
    decode: DecodeOptions


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


@dataclass(frozen=True)
class Crops:
    """The crops of a job.

    Attributes
    ----------
    folder
        Under the output.
    shards
        Names without suffix: `<name>.npy` holds crops, `<name>.parquet` their rows.
    size
        Side of the crops.
    frames
        Of all inputs together, how many have which status; empty where they were cut before that was kept.
    """

    folder: str
    shards: tuple[str, ...]
    size: int
    frames: tuple[tuple[str, int], ...] = ()

    def rows(self, store: Store) -> pa.Table:
        """Rows of all crops, in their order."""
        parts = [decode(store.read_bytes(f"{self.folder}/{name}.parquet")) for name in self.shards]
        return pa.concat_tables(parts) if parts else _ROWS.empty_table()

    def inputs(self, store: Store) -> list[dict[str, Any]]:
        """Rows of table `sequences`, without `run_id` and with `dataset`."""
        return decode(store.read_bytes(f"{self.folder}/inputs.parquet")).to_pylist()

    def files(self, store: Store) -> list[str]:
        """Local paths of the crops; those of an object store are copied here once."""
        if store.local:
            return [store.path(f"{self.folder}/{name}.npy") for name in self.shards]
        here = Path(tempfile.gettempdir()) / f"fer_batch-{digest([store.uri, self.folder])}"
        here.mkdir(mode=0o700, exist_ok=True)
        for name in self.shards:
            if not (here / f"{name}.npy").exists():
                part = here / f"{name}.{os.getpid()}.tmp"
                store.fs.get_file(store.path(f"{self.folder}/{name}.npy"), str(part))
                part.replace(here / f"{name}.npy")
        return [str(here / f"{name}.npy") for name in self.shards]


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
    uri = source.uri or _posed(config, source)
    refs = list_source(source.format, uri, source.pattern, source.keywords)
    _check_detector(config.faces, refs)
    clock = source.sampling.fps or source.sampling.start_s or source.sampling.stop_s
    if clock and any(ref.kind == "image_sequence" for ref in refs):
        raise InputError(f"source {source.dataset}: numbered images have no clock; sample by stride or max_frames")
    if config.faces.choose == "all":
        raise InputError("faces.choose: all gives several people per input; labels are of one, so choose largest")
    refs = _without_excluded([_of_training(ref, source) for ref in refs], source)
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


def _check_detector(faces: FaceSettings, refs: Sequence[SequenceRef]) -> None:
    if faces.detector not in ("none", "dataset") and any(
        not len(ref.landmarks) and not ref.landmarks_uri and not ref.skip_reason for ref in refs
    ):
        check_detector(faces.detector)


def _posed(config: TrainConfig, source: TrainSourceConfig) -> str:
    """Folder of the posed people of a source; made where it is not there yet."""
    assert source.posed is not None
    if has_scheme(config.output):
        raise InputError(f"posed people are made as local files; output {config.output!r} is a URL")
    wanted = source.posed.model_dump()
    root = Path(Store(config.output).path(f"{DATA}/{source.dataset}"))
    mark = root.with_suffix(".json")  # says what the folder holds, and is written last
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return str(root)
    shutil.rmtree(root, ignore_errors=True)
    mark.unlink(missing_ok=True)
    try:
        root.mkdir(parents=True)
        plans = plan_people(source.posed.subjects, source.posed.clips, source.posed.frames, source.posed.seed)
    except OSError as error:
        raise InputError(f"cannot write to output {config.output!r}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"source {source.dataset}: posed: {error}") from None
    with progress("posed clips", len(plans), "clip") as advance:
        write_clips(root, size=256, plans=plans, progress=advance)
    mark.write_text(json.dumps(wanted))
    return str(root)


def crops_folder(sources: Sequence[Source]) -> str:
    """Where the crops of some sources lie: named by their inputs and by how faces are cut, not by what is learned."""
    return f"{CROPS}/{digest(sorted(unit.unit_id for source in sources for unit in source.units))}"


def read_crops(store: Store, folder: str) -> Crops | None:
    """Crops that are all there; None where they are not."""
    if not store.exists(f"{folder}/crops.json"):
        return None
    found = json.loads(store.read_bytes(f"{folder}/crops.json"))
    return Crops(folder, tuple(found["shards"]), found["size"], tuple(sorted(found.get("frames", {}).items())))


def prepare(store: Store, sources: Sequence[Source], size: int, window: int) -> Crops:
    """Cut the faces of all sources that are not cut yet; needs a running Ray.

    Raises
    ------
    StoreFault
        If the store failed for some inputs; what was done is kept and the next run goes on.
    """
    folder = crops_folder(sources)
    store.sweep_temporary(folder)
    done = {name.removesuffix(".parquet") for name in store.names(f"{folder}/units") if name.endswith(".parquet")}
    tasks = [
        (unit, CropOptions(store.uri, folder, source.dataset, source.decode))
        for source in sources
        for unit in source.units
    ]
    waiting = [(unit, options) for unit, options in tasks if unit.unit_id not in done]
    faults: list[str] = []
    with progress("crops", sum(len(unit.members) for unit, _ in waiting), "input") as advance:
        for start in range(0, len(waiting), window):
            for row in _crop_rows(waiting[start : start + window]):
                if row["fault"]:
                    faults.append(row["fault"])
                advance(int(row["n_inputs"]))
    if faults:
        raise StoreFault(
            f"the store failed for {len(faults)} inputs, which will be tried again by the next run: {faults[0]}"
        )
    return _consolidate(store, folder, [(unit.unit_id, options.dataset) for unit, options in tasks], size)


def _crop_rows(tasks: Sequence[tuple[Unit, CropOptions]]) -> Iterator[dict[str, Any]]:
    import ray.data

    from fer_batch.pipeline.engine import quiet_ray_data

    quiet_ray_data()
    rows = [{"unit": pickle.dumps(unit), "options": pickle.dumps(options)} for unit, options in tasks]
    found = ray.data.from_items(rows, override_num_blocks=len(rows)).map(crop_unit, num_cpus=1)
    yield from found.iter_rows()


def crop_unit(row: dict[str, Any]) -> dict[str, Any]:
    """Decode one unit and write its crops, then its rows.

    Parameters
    ----------
    row
        `unit`: a pickled `Unit`; `options`: a pickled `CropOptions`.

    Returns
    -------
    `n_inputs` and `fault`, empty unless the store failed: then nothing of the unit is kept.
    """
    unit: Unit = pickle.loads(row["unit"])
    options: CropOptions = pickle.loads(row["options"])
    store, path = Store(options.output), f"{options.folder}/units/{unit.unit_id}"
    refs = {ref.sequence_id: ref for ref in unit.members}
    rows: list[dict[str, Any]] = []
    sequences: list[dict[str, Any]] = []
    frames: dict[str, Counter[str]] = {}
    try:
        with store.staged(f"{path}.u8") as local, open(local, "wb") as file:
            for part in decode_unit({"unit": row["unit"]}, options.decode):
                chunk = Chunk.from_batch({"payload": [part["payload"]]})  # type: ignore[dict-item]
                if chunk.fault or chunk.changed:
                    raise StoreFault(chunk.fault or f"{chunk.changed[0]} changed while it was read")
                file.write(chunk.images.tobytes())
                rows += [_crop_row(chunk.frames[i], refs, options.dataset) for i in chunk.ok]
                for frame in chunk.frames:
                    frames.setdefault(frame["sequence_id"], Counter())[frame["status"]] += 1
                sequences += chunk.sequences
            file.flush()
        _add_truth(rows, refs)
    except StoreFault as error:
        return {"n_inputs": len(refs), "fault": str(error)}
    table = pa.Table.from_pylist(rows, _ROWS)
    patiently_put(store, f"{path}.parquet", encode(table, {"sequences": sequences, "frames": frames}))
    return {"n_inputs": len(refs), "fault": ""}


def _crop_row(frame: dict[str, Any], refs: dict[str, SequenceRef], dataset: str) -> dict[str, Any]:
    ref = refs[frame["sequence_id"]]
    return {
        "dataset": dataset,
        "subject_id": ref.subject_id,
        "sequence_id": ref.sequence_id,
        "frame_index": frame["frame_index"],
        "split": ref.split,
        "landmarks": frame.get("landmarks"),
    }


def _add_truth(rows: list[dict[str, Any]], refs: dict[str, SequenceRef]) -> None:
    """Give every row what its frame is annotated with; an input whose truth cannot be read has no rows."""
    known = {name: read_truth(refs[name]) for name in dict.fromkeys(row["sequence_id"] for row in rows)}
    by_frame: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for name, truth in known.items():
        for label in truth.annotations.to_pylist():
            by_frame.setdefault((name, label["frame_index"]), []).append(label)
    for row in rows:
        labels = by_frame.get((row["sequence_id"], row["frame_index"]), [])
        row["emotion"] = known[row["sequence_id"]].emotion
        row["targets"] = [label["target"] for label in labels]
        row["intensity"] = [label["intensity"] for label in labels]
        row["occurrence"] = [label["occurrence"] for label in labels]


def _consolidate(store: Store, folder: str, units: Sequence[tuple[str, str]], size: int) -> Crops:
    """Few large files out of many small ones, in the order of the listing."""
    import ray

    shards: list[list[str]] = [[]]
    n_frames, inputs = 0, []
    frames: Counter[str] | None = Counter()
    for unit_id, dataset in units:
        table = decode(store.read_bytes(f"{folder}/units/{unit_id}.parquet"))
        known = table.schema.metadata or {}
        if b"frames" not in known:  # cut by an earlier version
            frames = None
        elif frames is not None:
            frames.update(sum(map(Counter, json.loads(known[b"frames"]).values()), Counter()))
        for sequence in json.loads(known[b"sequences"]):
            inputs.append({**sequence, "dataset": dataset, "unit_id": unit_id})
        if shards[-1] and n_frames + table.num_rows > SHARD_FRAMES:
            shards.append([])
            n_frames = 0
        shards[-1].append(unit_id)
        n_frames += table.num_rows
    names = [f"shard-{number:05d}" for number in range(len(shards))]
    task = ray.remote(num_cpus=1)(write_shard)
    with progress("shards of crops", len(shards), "shard") as advance:
        waiting = [task.remote(store.uri, folder, name, ids, size) for name, ids in zip(names, shards, strict=True)]
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            ray.get(done)
            advance(1)
    store.put(f"{folder}/inputs.parquet", encode(pa.Table.from_pylist(inputs, _INPUTS)))
    found = {"shards": names, "size": size} | ({} if frames is None else {"frames": dict(frames)})
    store.put(f"{folder}/crops.json", dump(found))
    store.delete(f"{folder}/units")
    return Crops(folder, tuple(names), size, tuple(sorted((frames or {}).items())))


def write_shard(output: str, folder: str, name: str, unit_ids: Sequence[str], size: int) -> None:
    """Write the crops of some units as one `.npy` and their rows as one Parquet file."""
    store = Store(output)
    tables = [decode(store.read_bytes(f"{folder}/units/{unit_id}.parquet")) for unit_id in unit_ids]
    rows = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    with store.staged(f"{folder}/{name}.npy") as local:
        # a memory map of no pixels cannot be made
        shape = (rows.num_rows, size, size, 3)
        if not rows.num_rows:
            with open(local, "wb") as file:
                np.lib.format.write_array(file, np.zeros(shape, np.uint8))
        else:
            images = np.lib.format.open_memmap(local, "w+", np.uint8, shape)
            start = 0
            for unit_id, table in zip(unit_ids, tables, strict=True):
                if not table.num_rows:
                    continue  # a file of no bytes cannot be mapped
                path = f"{folder}/units/{unit_id}.u8"
                whole = np.memmap(store.path(path), np.uint8, "r") if store.local else store.read_bytes(path)
                data = np.frombuffer(whole, np.uint8)
                images[start : start + table.num_rows] = data.reshape(-1, size, size, 3)
                start += table.num_rows
            images.flush()
    store.put(f"{folder}/{name}.parquet", encode(rows))


def annotated_targets(rows: pa.Table) -> list[str]:
    """Action Units that any crop is annotated with, by number; then other targets by name."""
    names = set(rows["targets"].combine_chunks().flatten().unique().to_pylist()) if rows.num_rows else set()
    return sorted(names, key=lambda name: (au_id(name) is None, au_id(name) or 0, name))


def inferred_targets(rows: pa.Table) -> tuple[str, ...]:
    """Every Action Unit that is annotated.

    Raises
    ------
    InputError
        If none is, or a name is meant as one and is none.
    """
    names = annotated_targets(rows)
    for name in names:
        if re.match(r"AU[\s_-]*\d", name, re.IGNORECASE) and au_id(name) is None:
            raise InputError(f"annotations name {name!r}, and Action Units are named like AU01; mend it or set targets")
    targets = tuple(name for name in names if au_id(name) is not None)
    if not targets:
        raise InputError("no source annotates an Action Unit; name the targets, or head: softmax for classes")
    return targets


def occurrence_labels(rows: pa.Table, targets: Sequence[str], rule: LabelSettings) -> NDArray[np.float32]:
    """Labels of Action Units, shape (N, A): 1, 0, or NaN where a crop is not annotated.

    Which of them are by an intensity says `facs.OccurrenceRule`, as it does where a run is evaluated.

    Raises
    ------
    InputError
        If a target is not annotated anywhere.
    """
    known = annotated_targets(rows)
    for target in targets:
        if target not in known:
            raise InputError(f"targets: no source annotates {target!r}; {nearest(target, known)}")
    lists = rows["targets"].combine_chunks()
    place = {name: column for column, name in enumerate(targets)}
    columns = np.array([place.get(name, -1) for name in lists.flatten().to_pylist()], np.int64)
    owners = np.repeat(np.arange(rows.num_rows), np.diff(lists.offsets.to_numpy()))
    value = rule.occurs(_floats(rows, "occurrence"), _floats(rows, "intensity"))
    labels = np.full((rows.num_rows, len(targets)), np.nan, np.float32)
    wanted = columns >= 0
    labels[owners[wanted], columns[wanted]] = value[wanted]
    return labels


def _floats(rows: pa.Table, name: str) -> NDArray[np.float32]:
    values = rows[name].combine_chunks().flatten().cast(pa.float32())
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def class_labels(rows: pa.Table, targets: Sequence[str], rule: LabelSettings) -> NDArray[np.float32]:
    """Labels of classes, shape (N, C): one 1 a row; all NaN where a crop shows none of them, or more than one.

    The class that a frame is annotated with decides. Where it has none, the expression of its input does if the rule
    says that it holds for all frames.

    Raises
    ------
    InputError
        If no crop shows a class.
    """
    place = {name: column for column, name in enumerate(targets)}
    labels = np.full((rows.num_rows, len(targets)), np.nan, np.float32)
    known: set[str] = set()
    occurs = rule.occurs(_floats(rows, "occurrence"), _floats(rows, "intensity")) == 1
    starts = rows["targets"].combine_chunks().offsets.to_numpy()
    for row, (names, emotion) in enumerate(
        zip(*(rows[name].to_pylist() for name in ("targets", "emotion")), strict=True)
    ):
        present = occurs[starts[row] - starts[0] : starts[row + 1] - starts[0]]
        shown = {name for name, there in zip(names, present, strict=True) if there and name.lower() not in SCALES}
        own = {rule.classes.get(name, name) for name in shown}
        if not own & set(place) and rule.whole_inputs and emotion:
            own = {rule.classes.get(emotion, emotion)}
        known |= {name for name in own if au_id(name) is None}
        wanted = own & set(place)
        if len(wanted) == 1:
            labels[row] = 0
            labels[row, place[wanted.pop()]] = 1
    for name, shown_at_all in zip(targets, (labels == 1).any(0), strict=True):
        if not shown_at_all:
            emotions = sorted({emotion for emotion in rows["emotion"].to_pylist() if emotion})
            hint = nearest(name, known) if known else "frames have no class"
            if emotions and not rule.whole_inputs:
                some = ", ".join(emotions[:8])
                hint += f"; labels.whole_inputs: true gives all frames the expression of their input ({some})"
            raise InputError(f"targets: no frame is annotated with the class {name!r}; {hint}")
    return labels
