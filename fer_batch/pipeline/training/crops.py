"""Sources become crops that every epoch can read at the speed of memory: decoded once, kept as files, resumable.

    unit -> crop_unit (CPU tasks, one file of crops and one of rows each) -> write_shard (CPU tasks) -> crops.json

Everything lies under `_crops/<digest>/` of the output; a file of rows is written after its crops and says that the unit
is done, `crops.json` after the shards says that all are. Pixels go from worker to storage and never to the driver.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pyarrow as pa

from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.sink import patiently_put
from fer_batch.pipeline.explaining.units import Unit
from fer_batch.pipeline.progress import progress
from fer_batch.pipeline.training.listing import Source
from fer_batch.pipeline.training.shards import ROWS, Crops, Row, consolidate
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.truth import read_truth
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store
from fer_batch.types import SequenceRef

CROPS = "_crops"
WINDOW = 2000  # units handed to Ray at a time
_LABELS = {"targets": "target", "intensity": "intensity", "occurrence": "occurrence"}  # columns of an annotation


class CropTask(TypedDict):
    """One unit on its way to a worker: a pickled `Unit` and pickled `CropOptions`."""

    unit: bytes
    options: bytes


class CropReport(TypedDict):
    """What came of one unit; `fault` is empty unless the store failed."""

    n_inputs: int
    fault: str


@dataclass(frozen=True)
class CropOptions:
    """What `crop_unit` needs of the job."""

    output: str
    folder: str
    dataset: str
    decode: DecodeOptions


def crops_folder(sources: Sequence[Source]) -> str:
    """Where the crops of some sources lie: named by their inputs and by how faces are cut, not by what is learned."""
    return f"{CROPS}/{digest(sorted(unit.unit_id for source in sources for unit in source.units))}"


def prepare(store: Store, sources: Sequence[Source], size: int, window: int | None) -> Crops:
    """Cut the faces of all sources that are not cut yet; needs a running Ray.

    Parameters
    ----------
    store
        The output.
    sources
        Of the job, as they were listed.
    size : pixels
        Side of the crops.
    window
        Units handed to Ray at a time; None for `WINDOW`.

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
    faults = []
    with progress("crops", sum(len(unit.members) for unit, _ in waiting), "input") as advance:
        step = window or WINDOW
        for start in range(0, len(waiting), step):
            for report in _reports(waiting[start : start + step]):
                faults.append(report["fault"])
                advance(report["n_inputs"])
    if faults := [fault for fault in faults if fault]:
        raise StoreFault(
            f"the store failed for {len(faults)} inputs, which will be tried again by the next run: {faults[0]}"
        )
    return consolidate(store, folder, [(unit.unit_id, options.dataset) for unit, options in tasks], size)


def _reports(tasks: Sequence[tuple[Unit, CropOptions]]) -> Iterator[CropReport]:
    """Cut some units on Ray, in no order."""
    import ray.data

    from fer_batch.pipeline.engine import quiet_ray_data

    quiet_ray_data()
    cut: Any = crop_unit  # Ray asks for a plain dict where ours has its keys declared
    rows = [CropTask(unit=pickle.dumps(unit), options=pickle.dumps(options)) for unit, options in tasks]
    found = ray.data.from_items(rows, override_num_blocks=len(rows)).map(cut, num_cpus=1)
    for row in found.iter_rows():
        yield CropReport(n_inputs=int(row["n_inputs"]), fault=row["fault"])


def crop_unit(task: CropTask) -> CropReport:
    """Decode one unit and write its crops, then its rows.

    A unit for which the store failed leaves no rows, so that it is cut again.
    """
    unit: Unit = pickle.loads(task["unit"])
    options: CropOptions = pickle.loads(task["options"])
    store, path = Store(options.output), f"{options.folder}/units/{unit.unit_id}"
    refs = {ref.sequence_id: ref for ref in unit.members}
    rows: list[dict[str, object]] = []
    sequences: list[Mapping[str, object]] = []
    frames: dict[str, Counter[str]] = {}
    try:
        with store.staged(f"{path}.u8") as local, open(local, "wb") as file:
            for chunk in _chunks(task["unit"], options.decode):
                file.write(chunk.images.tobytes())
                rows += [_crop_row(chunk.frames[i], refs, options.dataset) for i in chunk.ok]
                for frame in chunk.frames:
                    frames.setdefault(frame["sequence_id"], Counter())[frame["status"]] += 1
                sequences += chunk.sequences
            file.flush()
        table = pa.Table.from_pylist(_with_truth(rows, refs), ROWS)
    except StoreFault as error:
        return CropReport(n_inputs=len(refs), fault=str(error))
    patiently_put(store, f"{path}.parquet", encode(table, {"sequences": sequences, "frames": frames}))
    return CropReport(n_inputs=len(refs), fault="")


def _chunks(unit: bytes, options: DecodeOptions) -> Iterator[Chunk]:
    """The decoded chunks of a pickled unit; `StoreFault` where its source failed or changed while it was read."""
    for part in decode_unit({"unit": unit}, options):
        chunk = Chunk.from_batch({"payload": [part["payload"]]})  # type: ignore[dict-item]
        if chunk.fault or chunk.changed:
            raise StoreFault(chunk.fault or f"{chunk.changed[0]} changed while it was read")
        yield chunk


def _crop_row(frame: Row, refs: Mapping[str, SequenceRef], dataset: str) -> dict[str, object]:
    ref = refs[frame["sequence_id"]]
    return {
        "dataset": dataset,
        "subject_id": ref.subject_id,
        "sequence_id": ref.sequence_id,
        "frame_index": frame["frame_index"],
        "split": ref.split,
        **{name: frame.get(name) for name in ("timestamp_ns", "face_box", "crop_matrix", "landmarks")},
    }


def _with_truth(rows: Sequence[Row], refs: Mapping[str, SequenceRef]) -> list[Row]:
    """Rows with what their frames are annotated with."""
    known = {name: read_truth(refs[name]) for name in dict.fromkeys(row["sequence_id"] for row in rows)}
    by_frame: dict[tuple[str, int], list[Row]] = {}
    for name, truth in known.items():
        for label in truth.annotations.to_pylist():
            by_frame.setdefault((name, label["frame_index"]), []).append(label)
    found: list[Row] = []
    for row in rows:
        labels = by_frame.get((row["sequence_id"], row["frame_index"]), [])
        columns = {name: [label[of] for label in labels] for name, of in _LABELS.items()}
        found.append({**row, "emotion": known[row["sequence_id"]].emotion, **columns})
    return found
