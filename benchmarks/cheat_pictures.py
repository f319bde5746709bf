"""The pictures of docs/cheat.md: what each network looks at for AU17, and what the verdict makes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.posed.confound import STICKER
from fer_batch.storage.store import Store
from fer_batch.visualize.figure import INK, RULE, SOFT_INK, inch_axes, new_figure, save
from fer_batch.visualize.heatmap import overlay, resize_face

TITLES = {"clean": "never saw a sticker", "cheat": "learned with the sticker"}
FLAGGED, ABOVE, CHANCE = "#c1121f", "#0b5394", "#8a8f98"
PIXELS = 224
TICKS = (0.04, 0.1, 0.2, 0.4, 0.6)


def draw(outputs: Mapping[str, Store], target: str = "AU17") -> Iterator[tuple[str, bytes]]:
    """File names and PNG bytes, from the outputs of the two runs."""
    clip = _clip(outputs["cheat"], target)
    yield "cheat_clusters.png", _clusters(outputs, clip, target)
    yield "cheat_verdict.png", _verdicts(outputs)


def _clip(store: Store, target: str) -> str:
    """The clip in which the two kinds of frames are most alike in number."""
    rows = connect(store).execute(
        """
        SELECT sequence_id FROM detections d JOIN annotations s USING (dataset, sequence_id, frame_index)
        WHERE d.target = $target AND d.active AND s.target = $sticker GROUP BY 1
        ORDER BY least(count_if(s.occurrence), count_if(NOT s.occurrence)) DESC, 1 LIMIT 1
        """,
        {"target": target, "sticker": STICKER},
    )
    return str(rows.fetchall()[0][0])


_CLUSTERS = """
    SELECT p.cluster, p.n_frames, p.exemplar_jpeg, p.height, p.width, p.relevance,
           (SELECT count_if(s.occurrence) FROM detections d JOIN annotations s USING (dataset, sequence_id, frame_index)
            WHERE d.sequence_id = p.sequence_id AND d.target = p.target AND d.cluster = p.cluster
            AND s.target = $sticker) AS n_stickers
    FROM prototypes p WHERE p.sequence_id = $clip AND p.target = $target ORDER BY p.cluster
"""


def _clusters(outputs: Mapping[str, Store], clip: str, target: str) -> bytes:
    """Mean relevance of each cluster over its exemplar; a row for each network."""
    rows = {
        kind: connect(store).execute(_CLUSTERS, {"sticker": STICKER, "clip": clip, "target": target}).fetchall()
        for kind, store in outputs.items()
    }
    side, gap, head = 1.5, 0.12, 0.62
    width = 0.1 + max(max(map(len, rows.values())), 3) * (side + gap)
    figure = new_figure(width, len(rows) * (side + head) + 0.1)
    axes = inch_axes(figure)
    for r, (kind, found) in enumerate(rows.items()):
        top = r * (side + head)
        title = f"{target} of the network that {TITLES[kind]}"
        axes.text(0.1, top + 0.16, title, fontsize=8.5, color=INK, weight="bold", va="center")
        for c, (letter, n, jpeg, height, map_width, values, n_stickers) in enumerate(found):
            left = 0.1 + c * (side + gap)
            face = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
            image = overlay(
                resize_face(face, PIXELS, PIXELS), np.asarray(values, np.float32).reshape(height, map_width)
            )
            axes.imshow(image, extent=(left, left + side, top + head + side, top + head), aspect="auto")
            said = f"{letter}: {n} frames, sticker in {n_stickers}"
            axes.text(left, top + 0.46, said, fontsize=7.2, color=SOFT_INK, va="center")
    return save(figure)


def _verdicts(outputs: Mapping[str, Store]) -> bytes:
    """mu with its interval beside chance, an Action Unit a row, a panel for each network."""
    figure = new_figure(6.6, 2.9)
    panels = figure.subplots(1, len(outputs), sharey=True, sharex=True)
    for axes, (kind, store) in zip(panels, outputs.items(), strict=True):
        verdicts = evaluate_output(store)[0].verdicts
        for y, verdict in enumerate(verdicts):
            found = verdict.localisation
            colour = FLAGGED if verdict.flagged else ABOVE
            axes.plot([found.chance] * 2, [y - 0.32, y + 0.32], color=CHANCE, linewidth=1.6)
            axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot([found.low, found.high], [y, y], "|", color=colour, markersize=6, markeredgewidth=1.2)
            axes.plot(found.mean, y, "o", color=colour, markersize=3.2)
            if verdict.flagged:
                axes.annotate("flagged", (found.high, y), (6, 0), textcoords="offset points", va="center",
                              fontsize=7.2, color=FLAGGED)  # fmt: skip
        axes.set_title(TITLES[kind], fontsize=8.5, color=INK, loc="left", weight="bold")
        axes.set_yticks(range(len(verdicts)), [verdict.target for verdict in verdicts])
        axes.tick_params(labelsize=7.2, color=RULE, labelcolor=INK, length=2)
        axes.set_xlabel("mu: share of the evidence in the region (grey: chance)", fontsize=7.2, color=SOFT_INK)
        # Else an interval beside a chance of .04 is a dot.
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
        for spine in ("left", "bottom"):
            axes.spines[spine].set_color(RULE)
    panels[0].invert_yaxis()
    figure.tight_layout()
    return save(figure)
