import numpy as np
import pytest
from skimage.filters import threshold_otsu

from fer_batch.pipeline.partition.evaluation import evaluate_partition
from fer_batch.pipeline.partition.heatmap_figures import has_heatmaps, heatmap_rows, heatmaps_of, masks_of
from fer_batch.pipeline.partition.heatmaps import publish_heatmaps
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.stages import stage_named
from fer_batch.regions import standard_face
from fer_batch.storage.store import Store

POINTS = (standard_face()[0] * (28 / 224, 28 / 275)).ravel().tolist()
FRAMES = (0, 2, 4, 8, 12, 16)


@pytest.fixture(scope="module")
def world(golden, tmp_path_factory):
    found = golden.world(Store(str(tmp_path_factory.mktemp("figures"))))
    active, maps = golden.make(np.random.default_rng(0))
    chosen = {(i, a): maps[f, a] for i, f in enumerate(FRAMES) for a in range(3) if (f, a) in maps}
    found.stage("a.mp4", active[list(FRAMES)], chosen, landmarks=POINTS)
    found.publish()
    publish_heatmaps(found.work())
    return found


def test_the_figures_are_those_of_their_definitions(world):
    """Each heatmap by itself, pixel sets by boolean arithmetic."""
    rows = {(row["metric"], row["target"], row["group"]): row for row in heatmap_rows(world.store, world.partition)}
    heatmaps = heatmaps_of(world.store, world.partition)
    masks = masks_of(heatmaps)
    assert {one.target for one in heatmaps} == set(masks) == {"AU01", "AU02", "AU04"}
    assert {one.moment for one in heatmaps} >= {"", "onset", "apex"}
    for one in heatmaps:
        values, mask = one.values.astype(float), masks[one.target]
        grey = (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)
        found = grey > threshold_otsu(grey)
        expected = {
            "iou": (found & mask).sum() / (found | mask).sum(),
            "precision": (found & mask).sum() / found.sum(),
            "recall": (found & mask).sum() / mask.sum(),
            "f1": 2 * (found & mask).sum() / (found.sum() + mask.sum()),
            "mu": values[mask].sum() / values.sum(),
        }
        for metric, value in expected.items():
            row = rows[f"heatmap_{metric}", one.target, one.moment or None]
            assert row["value"] == pytest.approx(value, abs=1e-6) and row["n"] == one.n
            chance = mask.mean() if metric in ("precision", "mu") else None
            assert row["baseline"] == pytest.approx(chance)
    whole = [one for one in heatmaps if not one.moment]
    mean = np.mean([rows["heatmap_iou", one.target, None]["value"] for one in whole])
    assert rows["heatmap_iou", None, None]["value"] == pytest.approx(mean)
    one, other = (one.values.ravel().astype(float) for one in whole[:2])
    pair = f"{whole[0].target}, {whole[1].target}"
    assert rows["heatmap_correlation", None, pair]["value"] == pytest.approx(np.corrcoef(one, other)[0, 1])
    uncentred = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert rows["heatmap_correlation_uncentred", None, pair]["value"] == pytest.approx(uncentred)


def test_they_are_rows_of_table_evaluation_which_follows_the_heatmaps(world):
    evaluate_partition(world.store, world.partition)
    stored = {(row["metric"], row["target"], row["group"]): row["value"] for row in world.rows("evaluation")}
    for row in heatmap_rows(world.store, world.partition):
        assert stored[row["metric"], row["target"], row["group"]] == row["value"]
    published, work = PublishedStages(world.store, world.partition), world.work()
    stages = [stage_named("heatmaps"), stage_named("evaluation")]
    published.mark(stages[1], stages[1].key(work.config))
    assert published.waiting(stages, work.config) == stages


def test_an_output_without_landmarks_has_none(golden, tmp_path):
    world = golden.world(Store(str(tmp_path)))
    active, maps = golden.make(np.random.default_rng(0))
    world.stage("a.mp4", active, maps)
    world.publish()
    publish_heatmaps(world.work())
    assert not has_heatmaps(world.store, world.partition)
    assert list(heatmap_rows(world.store, world.partition)) == []
