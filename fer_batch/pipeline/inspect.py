"""What a URI is, without running anything."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import Any

from fer_batch.models.card import SUFFIXES, card_uri, read_card
from fer_batch.pipeline.status import status, status_text
from fer_batch.sources.listing import (
    ANNOTATIONS,
    IMAGE_SUFFIXES,
    LANDMARKS,
    SEQUENCES,
    VIDEO_SUFFIXES,
    frame_number,
    list_source,
)
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def inspect_uri(uri: str) -> dict[str, Any]:
    """Facts about an output, a checkpoint, a manifest or a folder of media.

    Raises
    ------
    InputError
        If it does not exist or is none of them.
    """
    if uri.endswith(SUFFIXES):
        return _checkpoint(uri)
    store = Store(uri)
    if not store.exists():
        raise InputError(f"{uri!r} does not exist")
    if store.exists("tables") or store.exists("_commits"):
        return {"kind": "output", **status(store)}
    if uri.endswith((".csv", ".parquet")):
        return _source("manifest", uri)
    entries = [entry.path for entry in store.walk()]
    if entries == ["."]:
        raise InputError(f"{uri!r} is a file; expected a folder, a checkpoint ({', '.join(SUFFIXES)}) or a manifest")
    suffixes = Counter(posixpath.splitext(path)[1].lower() for path in entries)
    n_videos = sum(suffixes[s] for s in VIDEO_SUFFIXES if s not in IMAGE_SUFFIXES)
    n_images = sum(suffixes[s] for s in IMAGE_SUFFIXES)
    if "manifest.csv" in entries:
        return _source("manifest", posixpath.join(uri, "manifest.csv"))
    if n_videos:
        found = _source("videos", uri)
        found["with_annotations"] = sum(path.endswith(ANNOTATIONS) for path in entries)
        found["with_landmarks"] = sum(path.endswith(LANDMARKS) for path in entries)
        found["has_sequences_csv"] = SEQUENCES in entries
        return found
    if n_images:
        folders = Counter(posixpath.dirname(path) for path in entries if path.lower().endswith(IMAGE_SUFFIXES))
        numbered = all(frame_number(path) is not None for path in entries if path.lower().endswith(IMAGE_SUFFIXES))
        sequences = numbered and len(folders) > 1 and min(folders.values()) > 1
        return _source("image_sequences" if sequences else "images", uri)
    kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in suffixes.most_common(5))
    raise InputError(f"{uri!r} holds no videos, images or output; its {len(entries)} files: {kinds or 'none'}")


def _checkpoint(uri: str) -> dict[str, Any]:
    store, name = Store(posixpath.dirname(uri) or "."), posixpath.basename(uri)
    if not store.exists(name):
        raise InputError(f"checkpoint {uri!r} does not exist")
    card = read_card(card_uri(uri))
    return {"kind": "checkpoint", "uri": uri, "card": card and card.model_dump(mode="json")}


def _source(format: str, uri: str) -> dict[str, Any]:
    refs = list_source(format, uri)
    emotions = Counter(ref.emotion for ref in refs if ref.emotion)
    return {
        "kind": "source",
        "format": format,
        "uri": uri,
        "inputs": len(refs),
        "kinds": dict(Counter(ref.kind for ref in refs)),
        "bytes": sum(max(ref.size, 0) for ref in refs),
        "subjects": len({ref.subject_id for ref in refs if ref.subject_id}),
        "emotions": dict(sorted(emotions.items())),
        "landmarks": sum(bool(ref.landmarks or ref.landmarks_uri) for ref in refs),
        "example": refs[0].sequence_id,
        "job": "jobs/stills.yaml" if refs[0].kind == "still" else "jobs/clips.yaml",
    }


def inspect_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    if found["kind"] == "output":
        return "an output of fer-batch\n" + status_text(found)
    if found["kind"] == "checkpoint":
        card = found["card"]
        if card is None:
            return f"checkpoint {found['uri']}: no card beside it ({card_uri(found['uri'])}); see docs/own_network.md"
        lines = [f"checkpoint {found['uri']}", f"  {card['name']}: {card['architecture'] or card['factory']}"]
        if card["demo"]:
            lines.append("  DEMO MODEL")
        lines.append(f"  {card['head']}, {len(card['targets'])} targets: {', '.join(card['targets'])}")
        scores = ", ".join(f"{t} {v:.2f}" for t, v in card["f1"].items() if v is not None)
        lines += [f"  F1 {scores}"] if scores else []
        lines += [f"  licence {card['licence'] or 'not stated'}", f"  {card['notes']}"]
        return "\n".join(lines)
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    lines = [f"source of format {found['format']}: {kinds} ({found['bytes'] / 1e6:.1f} MB), such as {found['example']}"]
    if found["subjects"]:
        lines.append(f"  {found['subjects']} subjects")
    if found["emotions"]:
        lines.append("  " + ", ".join(f"{name} {count}" for name, count in found["emotions"].items()))
    missing = "" if found["landmarks"] == found["inputs"] else "; the others need faces.detector: dlib or none"
    lines.append(f"  {found['landmarks']} with landmarks{missing}")
    lines.append(f"  run it: fer-batch run {found['job']} --set source.uri={found['uri']} --output OUT")
    return "\n".join(lines)
