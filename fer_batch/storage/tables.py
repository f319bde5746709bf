"""The Arrow schemas of every table: the one source that writers, readers and `schemas/` follow.

`dataset`, `model` and `explain` are hive partitions (`dataset=<d>/model=<name>-<hash8>/explain=<method>-<hash8>/`;
`annotations` has `dataset=` alone, what a training leaves has no `explain=`, `study_cells` has `study=`), so they are
columns to every SQL engine and are not stored in the files.
"""

from __future__ import annotations

import json
from types import MappingProxyType

import pyarrow as pa

from fer_batch.storage.columns import SCHEMA_VERSION as SCHEMA_VERSION
from fer_batch.storage.columns import AnyColumn, Column, schema_of

_STR, _I32, _I64, _F32, _F64, _BOOL = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")
_FLOATS, _DOUBLES, _INTS, _STRINGS = pa.list_(_F32), pa.list_(_F64), pa.list_(_I64), pa.list_(_STR)
_MAP: list[AnyColumn] = [("height", _I32), ("width", _I32), ("scale", _F32), ("relevance", _FLOATS)]


def _split(since: int = 1) -> list[AnyColumn]:
    """How clusters were found; `since` is the version that has all of it."""
    return [
        Column("spectrum", _DOUBLES, "smallest eigenvalues of the Laplacian"),
        Column("rule", _STR, since=since),
        Column("n_neighbors", _I32, since=since),
        Column("eigengap", _F64, "from the last eigenvalue that counts a cluster to the next; NULL for one map", since),
        Column("silhouette", _F64, "-1 mixed to 1 well apart; NULL for one cluster", since),
    ]


def _schema(about: str, *columns: AnyColumn) -> pa.Schema:
    return schema_of(about, columns)


_MAP_DOC = "row-major map divided by scale; R = relevance * scale"

SCHEMAS = MappingProxyType(
    {
        "sequences": _schema(
            "One input: a video, an image sequence or a still; where its people are followed, one of them.",
            ("sequence_id", _STR, "path relative to the source root; #face2 behind it for the second person"),
            ("subject_id", _STR),
            ("uri", _STR),
            ("kind", _STR, "video, image_sequence, still"),
            ("emotion", _STR),
            ("split", _STR, "train, val, test, where the dataset says so"),
            ("fps", _F64),
            ("n_declared", _I64, "frames the container claims"),
            ("n_decoded", _I64, "frames that were decoded before sampling"),
            ("n_frames", _I64, "frames that have rows, after sampling"),
            ("status", _STR, "done, partial (less was read than is there), failed, skipped"),
            ("reason", _STR),
            ("unit_id", _STR),
            ("run_id", _STR),
        ),
        "frames": _schema(
            "One sampled frame.",
            ("sequence_id", _STR),
            ("frame_index", _I64, "0-based in true decode order, before sampling"),
            ("source_frame", _I64, "number in the file name of a numbered image"),
            ("timestamp_ns", _I64, "from the first frame; NULL of pictures, which have no clock"),
            ("status", _STR, "ok, no_face, face_too_small, decode_error"),
            ("reason", _STR),
            ("track_id", _I32, "whose face of the input, 0 for the first; counts changes of the largest face"),
            ("face_box", _FLOATS, "left, top, right, bottom in displayed source pixels"),
            ("crop_matrix", _DOUBLES, "2x3 row-major, source to crop, pixel centres at integers"),
            ("landmarks", _FLOATS, "x0, y0 .. x67, y67 in crop pixels"),
        ),
        "annotations": _schema(
            "One ground-truth label of one frame.",
            ("sequence_id", _STR),
            ("frame_index", _I64),
            ("target", _STR),
            ("intensity", _F32, "0 to 5 of an Action Unit; without an occurrence, 2 or more is present and 0 absent"),
            ("occurrence", _BOOL, "as the annotation states it, NULL where it does not; wins over an intensity"),
            ("raw", _STR, "the label as the dataset writes it, where that says more"),
        ),
        "detections": _schema(
            "One (ok frame, target).",
            ("sequence_id", _STR),
            ("frame_index", _I64),
            ("target", _STR),
            ("logit", _F32),
            ("probability", _F32),
            ("active", _BOOL),
            ("cluster", _STR, "letter of the cluster of this frame's map, NULL where inactive or undefined"),
            ("mu", _F32, "share of the positive relevance inside the target's region"),
            ("region_share", _F32, "share of the crop that the region covers: the chance level of mu"),
            ("regions_version", _STR),
            ("conservation", _F32, "sum of the map over the logit, for LRP"),
        ),
        "relevance": _schema(
            "One explained (frame, target).",
            ("sequence_id", _STR),
            ("frame_index", _I64),
            ("target", _STR),
            ("height", _I32),
            ("width", _I32),
            ("scale", _F32, "max |R|"),
            ("relevance", _FLOATS, _MAP_DOC),
        ),
        "prototypes": _schema(
            "One cluster of one target of one sequence.",
            ("sequence_id", _STR),
            ("target", _STR),
            ("cluster", _STR),
            ("n_frames", _I64),
            ("first_frame", _I64),
            ("exemplar_frame", _I64, "the member nearest to the mean map"),
            ("exemplar_jpeg", pa.binary(), "its face crop, where faces are stored"),
            *_MAP[:3],
            ("relevance", _FLOATS, "mean map, " + _MAP_DOC),
            ("n_clusters", _I32),
            Column(
                "n_clustered", _I64, "frames clustered; beyond spray.max_frames, others joined the nearest", since=2
            ),
            *_split(),
            Column(
                "p_split",
                _F64,
                "that drift and noise alone make a step as clear; 1 where none is near, or frames are too few",
                since=5,
            ),
            Column("stability", _F64, "mean Jaccard index with the cluster found when frames are left out", since=5),
            ("analysis_id", _STR),
            Column("standard_height", _I32, "of the grid on the standard face; NULL without landmarks", since=5),
            Column("standard_width", _I32, since=5),
            Column("standard_scale", _F32, "max of the mean on it, of maps divided by their sums of |R|", since=5),
            Column("standard_relevance", _FLOATS, "that mean, row-major, divided by its scale", since=5),
        ),
        "class_prototypes": _schema(
            "One cluster of a class over a whole dataset.",
            ("target", _STR),
            ("cluster", _STR),
            ("n_frames", _I64, "stills"),
            ("exemplars", _STRINGS, "sequence_id#frame_index, nearest to the mean map first"),
            *_MAP[:3],
            ("relevance", _FLOATS, "mean map, " + _MAP_DOC),
            Column("n_clusters", _I32, since=2),
            Column("n_clustered", _I64, "stills clustered; of a very large class a sample, others joined", since=2),
            *_split(since=2),
            ("analysis_id", _STR),
            Column("complete", _BOOL, "false where stills of older shards could not be counted", since=3),
        ),
        "stages": _schema(
            "One stage: a maximal run of ok frames with one label set.",
            ("sequence_id", _STR),
            ("stage_index", _I32),
            ("first_frame", _I64),
            ("last_frame", _I64, "inclusive"),
            ("n_frames", _I64, "ok frames"),
            ("n_missing_frames", _I64, "without a usable face: in it, up to the next stage, before the first one"),
            ("labels", _STRINGS, "AU02_A"),
            ("text", _STR),
        ),
        "temporal_prototypes": _schema(
            "The temporal prototype of one sequence.",
            ("sequence_id", _STR),
            ("subject_id", _STR),
            ("emotion", _STR),
            ("text", _STR, "(NONE) -> (AU02_A) -> (AU01_A, AU02_A)"),
            ("cooccurrence_text", _STR, "the same without letters"),
            ("prototype_id", _STR, "first 16 hex digits of sha256(text)"),
            ("cooccurrence_id", _STR),
            ("n_frames", _I64, "ok frames"),
            ("n_stages", _I64),
            ("n_distinct_stages", _I64),
            ("reduction", _F64, "1 - n_stages / n_frames"),
            ("n_missing_frames", _I64),
            ("analysis_id", _STR),
        ),
        "looks": _schema(
            "One look: clusters of many sequences in which the network looks at the same place for a target.",
            ("target", _STR),
            ("look", _I32, "AU01@2 in texts; of one generation it never changes its meaning"),
            ("generation", _I32, "how often the looks of the partition were found anew, from 1"),
            ("opened", _I32, "0 with the generation, then later and later"),
            ("previous", _I32, "the nearest look of the generation before"),
            ("n_clusters", _I64),
            ("n_frames", _I64),
            ("n_sequences", _I64),
            ("n_subjects", _I64, "sequences without a subject count as one each"),
            ("share", _F64, "of the sequences that have a look of the target"),
            ("rare", _BOOL, "in so few sequences that these are outliers"),
            ("isolation", _F64, "distance of its centre to that of the nearest look that is not rare"),
            ("stability", _F64, "0 to 1: how surely another half of the subjects has it; NULL where too few are there"),
            ("radius", _F64, "distance from the centre up to which a cluster joins"),
            ("mu", _F64, "mean over its frames; NULL without regions"),
            ("place", _STR, "the mouth, brows, ...: where most of its positive relevance lies; docs/looks.md"),
            ("place_share", _F64, "of its positive relevance that lies there"),
            ("exemplars", _STRINGS, "sequence_id#frame_index, nearest to the centre first"),
            ("face", _STR, "standard (the standard face), or crop where a target has no landmarks"),
            *_MAP[:3],
            ("relevance", _FLOATS, "mean of its clusters' maps, each over its sum of |R|; " + _MAP_DOC),
            ("centre", _FLOATS, "what clusters are compared with, of length 1; it never moves"),
        ),
        "cluster_looks": _schema(
            "The look of one cluster of table prototypes.",
            ("sequence_id", _STR),
            ("target", _STR),
            ("cluster", _STR),
            ("look", _I32, "NULL where it has none"),
            ("distance", _F64, "to the centre of the look; of a cluster without one, to the nearest"),
            ("generation", _I32),
        ),
        "look_prototypes": _schema(
            "The temporal prototype of one sequence in looks, which mean the same in every sequence.",
            ("sequence_id", _STR),
            ("subject_id", _STR),
            ("emotion", _STR),
            ("text", _STR, "(NONE) -> (AU02@1) -> (AU01@2, AU02@1)"),
            ("prototype_id", _STR, "first 16 hex digits of sha256(text)"),
            ("n_stages", _I64),
            ("n_frames", _I64, "ok frames"),
            ("generation", _I32),
        ),
        "episodes": _schema(
            "One episode of a recording: activity between two rests.",
            ("sequence_id", _STR),
            ("episode_index", _I32, "from 0"),
            ("subject_id", _STR),
            ("emotion", _STR, "of the sequence"),
            ("first_frame", _I64),
            ("last_frame", _I64, "inclusive"),
            ("start_s", _F64, "seconds from the first frame of the input; NULL of pictures, which have no clock"),
            ("end_s", _F64, "when the frame after the last is due; NULL likewise"),
            ("duration_s", _F64),
            ("n_frames", _I64, "ok frames"),
            ("n_missing_frames", _I64, "without a usable face, between the first and the last"),
            ("n_stages", _I64),
            ("text", _STR, "its temporal prototype, of steady activity: (AU02_A) -> (AU01_A, AU02_A)"),
            ("cooccurrence_text", _STR, "the same without letters"),
            ("looks_text", _STR, "the same with looks; NULL where there are none"),
            ("prototype_id", _STR, "first 16 hex digits of sha256(text)"),
            ("cooccurrence_id", _STR),
            ("stages", _STRINGS, "text of each stage"),
            ("stage_first_frames", _INTS, "first frame of each stage"),
            ("stage_n_frames", _INTS, "ok frames of each stage"),
            ("targets", _STRINGS, "those that are active in it"),
            ("target_frames", _INTS, "ok frames in which each of them is active"),
            ("target_peaks", _INTS, "frame in which each of them has most evidence"),
            ("target_evidence", _DOUBLES, "there, log-odds over what makes it active"),
            ("lasting", _STRINGS, "targets active for longer than episodes.max_run, through it too; not in its stages"),
            ("peak_frame", _I64, "in which all of its targets together have most evidence"),
            ("begins", _STR, "rest, gap (frames are missing before it), recording (its first frames)"),
            ("ends", _STR, "rest, gap, recording"),
        ),
        "patterns": _schema(
            "One mined sub-sequence of stages.",
            ("group", _STR, "an emotion, or all"),
            Column(
                "letters", _BOOL, "stages with letters of clusters; false: active targets alone", since=2, before=True
            ),
            Column(
                "mined",
                _STR,
                "sequences (temporal prototypes), episodes (those of episodes)",
                since=5,
                before="sequences",
            ),
            ("pattern", _STR),
            ("length", _I32, "stages"),
            ("kind", _STR, "contiguous, gapped"),
            ("support", _I64, "sequences of the group that have it, or have an episode that has it"),
            ("lift", _F64, "NULL for all"),
            ("p_value", _F64),
            ("q_value", _F64, "p after Benjamini and Hochberg, over the patterns and emotions of its letters"),
            ("maximal", _BOOL, "no longer pattern of the kind has it as a part; NULL where that was not looked at"),
            Column("closed", _BOOL, "none that has it as a part has the same support; NULL likewise", since=2),
            Column("longest", _I32, "stages up to which every frequent pattern of the kind has a row", since=2),
            Column("labels", _STR, "what its stages are made of: targets, letters or looks", since=5),
        ),
        "evaluation": _schema(
            "One figure.",
            ("target", _STR),
            ("metric", _STR),
            ("value", _F64),
            ("n", _I64),
            ("baseline", _F64),
            ("group", _STR, "class, emotion, moment of episodes, or what is compared"),
            ("layer", _STR),
            ("split", _STR),
            ("fold", _I32),
            ("trained_on", _STR),
            ("regions_version", _STR),
        ),
        "training": _schema(
            "One metric of one epoch of one fold.",
            ("recipe", _STR),
            ("fold", _I32),
            ("epoch", _I32),
            ("split", _STR),
            ("metric", _STR),
            ("value", _F64),
        ),
        "predictions": _schema(
            "One target of one sample that a fold was tested on.",
            ("recipe", _STR),
            ("fold", _I32),
            ("sequence_id", _STR),
            ("frame_index", _I64),
            ("subject_id", _STR, "prefixed by the dataset"),
            ("target", _STR),
            ("logit", _F32),
            ("probability", _F32),
            ("occurrence", _BOOL, "the label; NULL where the annotation does not say"),
        ),
        "heatmaps": _schema(
            "One aggregated map.",
            ("group", _STR),
            ("method", _STR),
            ("n", _I64, "maps; left out are those that are undefined, on the crop also those that are all zero"),
            *_MAP[:3],
            ("relevance", _FLOATS, "mean map, " + _MAP_DOC),
            Column("normalisation", _STR, "of each map before the mean; none: logit units", since=3, before="max"),
            Column("complete", _BOOL, "false where maps of older shards could not be counted", since=3),
            Column("face", _STR, "whose grid it has: crop, or standard (the standard face)", since=4, before="crop"),
            Column("fold", _I32, "of the network; NULL over all of its folds", since=4),
            Column("moment", _STR, "of episodes in videos: onset, apex, offset; NULL over all frames", since=5),
        ),
        "study_cells": _schema(
            "One cell of a study: a network under one explanation.",
            ("cell", _STR, "what it is made of, as a digest; studies share cells"),
            ("network", _STR, "its training, or its name where it was given"),
            ("fold", _I32, "of the training; NULL of a network that was given"),
            ("method", _STR),
            ("variant", _STR, "the method, and what else varies where that does not tell cells apart"),
            ("varied", _STR, "JSON: dotted key to value"),
            ("status", _STR, "done, failed, waiting"),
            ("n_images", _I64, "images that were explained and timed"),
            ("seconds", _F64, "of the explanation alone, without decoding"),
            ("seconds_per_image", _F64, "without the first call of each process where there are others"),
            ("reason", _STR),
            ("dataset", _STR, "with model and explain: where its rows are in other tables"),
            ("model", _STR),
            ("explain", _STR),
        ),
        "drift": _schema(
            "One figure of one night (a run with inputs) beside its control limits: fer-batch nightly, docs/nights.md.",
            ("run_id", _STR),
            ("started_at", _TIME),
            ("figure", _STR, "mu (over chance), f1, confidence, active, look, faces, failed"),
            ("target", _STR, "NULL of faces and failed"),
            ("look", _I32, "of figure look; NULL there: all looks that are not common in the reference"),
            ("value", _F64),
            ("low", _F64, "of its 95 % interval by subject; NULL for fewer than four"),
            ("high", _F64),
            ("n", _I64, "frames or inputs behind it; of f1 2 TP + FP + FN, which it is a share of"),
            ("n_subjects", _I64, "sequences without a subject count as one each"),
            ("centre", _F64, "mean of the reference nights; NULL with all limits where these are too few"),
            ("lower", _F64, "Shewhart limits of this night"),
            ("upper", _F64),
            ("smoothed", _F64, "EWMA of the nights since the reference, and its limits"),
            ("smoothed_lower", _F64),
            ("smoothed_upper", _F64),
            ("state", _STR, "reference, before (it), open (no limits), within, below, above"),
            ("alarm", _STR, "looks_elsewhere: mu is below while F1, or confidence, is not; change; NULL for none"),
        ),
        "runs": _schema(
            "One run.",
            ("run_id", _STR),
            ("started_at", _TIME),
            ("finished_at", _TIME),
            ("config", _STR, "the job as JSON"),
            ("versions", _STR, "JSON"),
            ("model_digest", _STR),
            ("weights_license", _STR),
            ("counts", _STR, "JSON: found, done, partial, failed, skipped, already_done"),
            Column("n_explained", _I64, "maps when the run ended; NULL of methods that need not conserve", since=3),
            Column("n_unconserved", _I64, "of them, sum undefined or not 0.2 to 2 times the logit", since=3),
            Column("conservation_median", _F64, "median of the maps' sums over their logits", since=3),
            Column("n_inputs", _I64, "inputs that this run did, whatever became of them", since=5),
            Column("n_frames", _I64, "frames with rows, of these inputs", since=5),
            Column("explain_seconds", _F64, "wall time of phase explain, its engine started; NULL without", since=5),
            Column("prototypes_seconds", _F64, "the same of phase prototypes", since=5),
            Column("report_seconds", _F64, "the same of phase report", since=5),
            Column("frames_per_second", _F64, "n_frames over explain_seconds", since=5),
        ),
    }
)

_FEWER = {
    "annotations": ("dataset",),
    "training": ("dataset", "model"),
    "predictions": ("dataset", "model"),
    "study_cells": ("study",),
}
PARTITIONS = MappingProxyType({name: _FEWER.get(name, ("dataset", "model", "explain")) for name in SCHEMAS})


def comment(field: pa.Field) -> str:
    """What a column holds, and since when where it is not as old as its table."""
    metadata = field.metadata or {}
    doc = metadata.get(b"comment", b"").decode()
    if b"since" not in metadata:
        return doc
    older = json.loads(metadata[b"before"])
    said = json.dumps(older) if isinstance(older, str) else json.dumps(older).upper()
    return f"{doc + '; ' if doc else ''}since schema {metadata[b'since'].decode()}, before {said}"


def has_grown(table: str) -> bool:
    """Whether files of an older version lack a column of a table."""
    return any(b"since" in (field.metadata or {}) for field in SCHEMAS[table])


def defaults(table: str) -> dict[str, str | int | float | bool]:
    """What the columns that a table gained are in rows of older files, where that is not NULL."""
    gained = {field.name: json.loads((field.metadata or {}).get(b"before", b"null")) for field in SCHEMAS[table]}
    return {name: value for name, value in gained.items() if value is not None}
