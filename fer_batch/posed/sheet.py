"""Contact sheets of the posed face: `python -m fer_batch.posed.sheet FOLDER` writes those of docs/posed.md."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import CODEBOOKS, au_name
from fer_batch.posed.clips import clip_frames
from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame
from fer_batch.posed.plans import emotion_aus, plan_clips, with_implied

Image = NDArray[np.uint8]
INTENSITIES = (0.0, 2.0, 3.0, 5.0)


def cell(seed: int, intensities: Mapping[int, float], text: str, size: int = 132) -> Image:
    """One face with its caption."""
    image, _ = render_frame(identity(seed), with_implied(intensities), Pose())
    return _captioned(image[48:292, 38:282], text, size)


def _captioned(image: NDArray[np.uint8], text: str, size: int) -> Image:
    small = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    cv2.rectangle(small, (0, 0), (6 * len(text) + 4, 13), (255, 255, 255), -1)
    cv2.putText(small, text, (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return small


def au_sheet(seed: int = 9) -> Image:
    """Two Action Units per row, each at intensity 0, 2, 3 and 5."""
    strips = [np.hstack([cell(seed, {au: i}, f"{au_name(au)} {i:.0f}") for i in INTENSITIES]) for au in POSED_AUS]
    return np.vstack([np.hstack(strips[i : i + 2]) for i in range(0, len(strips), 2)])


def expression_sheet(seed: int = 9) -> Image:
    """The six expressions at intensity 2, 3 and 5, in two codebooks side by side."""
    rows = []
    for emotion in CODEBOOKS["emfacs_sh"]:
        row = []
        for book in ("emfacs_sh", "martinez"):
            aus = emotion_aus(emotion, book)
            row += [cell(seed, dict.fromkeys(aus, i), f"{emotion} {i:.0f} {book}", 160) for i in INTENSITIES[1:]]
        rows.append(np.hstack(row))
    return np.vstack(rows)


def identity_sheet(seeds: Sequence[int] = tuple(range(12))) -> Image:
    """Identities, neutral and smiling."""
    rows = []
    for start in range(0, len(seeds), 6):
        part = seeds[start : start + 6]
        rows.append(np.hstack([cell(s, {}, f"identity {s}", 160) for s in part]))
        rows.append(np.hstack([cell(s, {6: 4.0, 12: 4.0, 25: 3.0}, "6+12+25", 160) for s in part]))
    return np.vstack(rows)


def clip_sheet(n_clips: int = 12, columns: int = 10) -> Image:
    """Frames of the clips that `write_clips` makes, one row per clip."""
    rows = []
    for plan in plan_clips(n_clips):
        frames = [image for image, _ in clip_frames(plan)]
        chosen = np.linspace(0, len(frames) - 1, columns).round().astype(int)
        rows.append(np.hstack([_captioned(frames[i], f"{plan.name[3:]} {i}", 108) for i in chosen]))
    return np.vstack(rows)


def main(arguments: Sequence[str]) -> int:
    """Write the sheets as JPEG files into the folder named on the command line."""
    if len(arguments) != 1:
        print("usage: python -m fer_batch.posed.sheet FOLDER", file=sys.stderr)
        return 1
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "aus": au_sheet(),
        "expressions": expression_sheet(),
        "identities": identity_sheet(),
        "clips": clip_sheet(),
    }
    for name, sheet in sheets.items():
        cv2.imwrite(str(folder / f"posed_{name}.jpg"), sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 84])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
