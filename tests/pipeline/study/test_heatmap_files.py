import io

import numpy as np
from PIL import Image

from fer_batch.evaluate.overlap import stretched
from fer_batch.pipeline.study.heatmap_files import NetworkMaps, Written
from fer_batch.pipeline.study.standard_maps import StandardSum, pooled
from fer_batch.storage.parquet import read, unpack_maps
from fer_batch.storage.store import Store


def network(name="weinet-0a", seed=0):
    rng = np.random.default_rng(seed)
    folds = tuple(
        (fold, {c: StandardSum(n, rng.random((275, 224)) * n) for c, n in (("fear", 2 + fold), ("neutral", 3))})
        for fold in (0, 1)
    )
    return NetworkMaps(name, name.partition("-")[0], folds, pooled([sums for _, sums in folds]))


def test_grey_files_are_the_stretched_maps_and_those_without_a_mask_lie_apart(tmp_path):
    files, net = Written(Store(str(tmp_path)), "s", "posed"), network()
    paths = files.pictures("lime (n=3)", [net], {"fear"})
    folders = sorted(path.removeprefix(f"{files.folder}/").split("/", 1)[1] for path in paths)
    assert folders == [
        "grey/fear/weinet.png",
        "grey_unmasked/neutral/weinet.png",
        "jet/fear/weinet.png",
        "jet/neutral/weinet.png",
    ]
    (grey,) = [path for path in paths if "/grey/" in path]
    with Image.open(io.BytesIO(files.store.read_bytes(grey))) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), stretched(net.total["fear"].mean))
    (mask,) = files.masks({"fear": np.eye(4, dtype=bool)})
    with Image.open(io.BytesIO(files.store.read_bytes(mask))) as picture:
        assert sorted(np.unique(np.asarray(picture))) == [0, 255]


def test_rows_are_of_folds_of_networks_and_of_all_together(tmp_path):
    files, nets = Written(Store(str(tmp_path)), "s", "posed"), [network(), network("b-1", 1)]
    over = pooled([net.total for net in nets])
    files.tables("lime", "lime", nets, over, "none")
    rows = read(files.store, "heatmaps")
    found = {(row["model"], row["fold"], row["group"]): row["n"] for row in rows.to_pylist()}
    assert found["weinet-0a", 1, "fear"] == 3 and found["weinet-0a", None, "fear"] == 5
    assert found["study-s", None, "fear"] == 10 and ("study-s", 0, "fear") not in found
    assert len(found) == 2 * (2 + 4) + 2
    for row, values in zip(rows.to_pylist(), unpack_maps(rows), strict=True):
        if row["model"] == "study-s":
            np.testing.assert_allclose(values, over[row["group"]].mean, atol=1e-3)


def test_what_went_is_removed_and_others_files_stay(tmp_path):
    files = Written(Store(str(tmp_path)), "s", "posed")
    gone = [f"{files.folder}/lime/grey/fear/gone.png", "tables/heatmaps/dataset=d/model=m/explain=e/study-s.parquet"]
    others = ["tables/heatmaps/dataset=d/model=m/explain=e/collection.parquet", "report/studies/s/index.html"]
    for path in [*gone, *others]:
        files.store.put(path, b"x")
    kept = files.pictures("lime", [network()], {"fear"})
    files.remove_others(kept)
    assert all(files.store.exists(path) for path in [*kept, *others])
    assert not any(files.store.exists(path) for path in gone)
