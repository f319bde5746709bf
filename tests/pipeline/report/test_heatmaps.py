import numpy as np
import pytest

from fer_batch.pipeline.partition.heatmap_difference import write_difference
from fer_batch.pipeline.partition.heatmap_figures import has_heatmaps
from fer_batch.pipeline.partition.heatmap_groups import compare_groups
from fer_batch.pipeline.partition.heatmaps import publish_heatmaps
from fer_batch.pipeline.report.heatmaps import FILE, heatmaps_page
from fer_batch.pipeline.report.navigation import navigation
from fer_batch.pipeline.report.summary import summary_of
from fer_batch.regions import standard_face
from fer_batch.storage.store import Store

POINTS = (standard_face()[0] * (28 / 224, 28 / 275)).ravel().tolist()
FRAMES = (0, 2, 4, 8, 12, 16)


def publish(golden, folder, landmarks=POINTS, n=4):
    """Clips of people whose third shows AU02 in the first frame already."""
    world = golden.world(Store(str(folder)))
    for number in range(n):
        active, maps = golden.make(np.random.default_rng(number))
        frames = FRAMES[number == 2 :]
        chosen = {(i, a): maps[f, a] for i, f in enumerate(frames) for a in range(3) if (f, a) in maps}
        world.stage(f"{number}.mp4", active[list(frames)], chosen, landmarks=landmarks)
    world.publish(size=n)
    publish_heatmaps(world.work())
    return world


@pytest.fixture(scope="module")
def published(golden, tmp_path_factory):
    return publish(golden, tmp_path_factory.mktemp("heatmaps"))


def files(world):
    return dict(heatmaps_page(world.store, world.partition, summary_of(world.partition, {}, {})))


def test_the_page_has_every_target_its_figures_and_the_moments_of_episodes(published):
    found = files(published)
    html = found[FILE].decode()
    assert (FILE, "Heatmaps") in navigation(published.store, published.partition)[1]
    for words in (
        "Every target",
        "Onset, apex, offset",
        "1 of 3 targets has more of its evidence in its regions",
        "AU01, AU02 at the onset, apex and offset",
    ):
        assert words in html
    assert [name for name in sorted(found) if name.endswith(".png")] == [
        "pictures/heatmaps-1.png",
        "pictures/heatmaps-2.png",
    ]
    rows = {
        row["group"]: row for row in published.rows("heatmaps") if row["face"] == "standard" and row["moment"] is None
    }
    moments = {(row["group"], row["moment"]): row["n"] for row in published.rows("heatmaps") if row["moment"]}
    assert set(rows) == {"AU01", "AU02", "AU04"}
    assert moments["AU02", "apex"] == moments["AU02", "offset"] == 4 and moments["AU02", "onset"] == 3


def test_a_difference_of_groups_is_shown_on_the_page_of_its_partition(published):
    found = compare_groups(published.store, "target = 'AU01'", "target = 'AU02'", n_arrangements=16)
    write_difference(published.store, found)
    html = files(published)[FILE].decode()
    assert "Difference: target = &#39;AU01&#39; and target = &#39;AU02&#39;" in html
    assert "4 people, each with themselves" in html


def test_without_landmarks_there_is_no_page(golden, tmp_path):
    world = publish(golden, tmp_path, None, n=1)
    assert not has_heatmaps(world.store, world.partition)
    assert (FILE, "Heatmaps") not in navigation(world.store, world.partition)[1]
