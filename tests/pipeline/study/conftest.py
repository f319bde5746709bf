import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.config import Study, build
from fer_batch.config.study import StudyConfig
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.cue_figures import Column, FoldCues, NetworkCues
from fer_batch.pipeline.study.cue_images import Codebook, cue_samples
from fer_batch.pipeline.study.cue_measures import FACE, UNITS, MapSum
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.standard_maps import sums_task
from fer_batch.pipeline.study.work import StudyWork, Training
from fer_batch.regions import expression_masks, standard_face
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.parquet import encode, pack_maps, rows_of
from fer_batch.storage.store import Store

DEMO = {"softmax": "demo-expressions", "multilabel": "demo"}


def make_network(n=60, subjects=6, head="softmax", seed=0, crops="crops", **more):
    """A network with random answers to samples of some people; half of what it says is right."""
    spec = ModelSpec(checkpoint=more.pop("checkpoint", DEMO[head]))
    model = resolve(spec)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, len(model.targets))).astype(np.float32)
    labels = np.zeros_like(logits)
    right = rng.random(n) < 0.5
    shown = np.where(right, logits.argmax(1), rng.integers(0, logits.shape[1], n))
    labels[np.arange(n), shown] = 1
    samples = pa.table(
        {
            "row": np.arange(n),
            "dataset": ["posed"] * n,
            "subject_id": [f"posed:{i % subjects}" for i in range(n)],
            "sequence_id": [f"{i % subjects}/{i // subjects // 2}" for i in range(n)],
            "frame_index": [i // subjects % 2 for i in range(n)],
            "emotion": pa.nulls(n, pa.string()),
            "kind": ["image_sequence"] * n,
            "labels": labels.tolist(),
            "logits": logits.tolist(),
        }
    )
    return StudyNetwork(
        name=more.pop("name", "net"),
        fold=more.pop("fold", None),
        varied={},
        spec=spec,
        model=model,
        crops=crops,
        samples=samples,
        **more,
    )


@pytest.fixture
def network():
    return make_network


def write_crops(uri, network_samples, size=48, landmarks=lambda row: None, emotions=lambda row: None):
    """A crop set with a grey face of noise for every sample of a network."""
    store, n = Store(uri), network_samples.num_rows
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    with store.staged("shard-00000.npy") as local, open(local, "wb") as file:
        np.lib.format.write_array(file, images)
    rows = network_samples.select(["subject_id", "sequence_id", "frame_index"])
    columns = {
        "emotion": pa.array([emotions(row) for row in range(n)], pa.string()),
        "landmarks": pa.array([landmarks(row) for row in range(n)], pa.list_(pa.float32())),
        "targets": pa.array([[]] * n, pa.list_(pa.string())),
        "occurrence": pa.array([[]] * n, pa.list_(pa.bool_())),
    }
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    store.put("shard-00000.parquet", encode(rows))
    store.put("crops.json", dump({"shards": ["shard-00000"], "size": size}))
    return uri


def make_cell(folder, network, variant, maps=None, rows=None, seconds=None, **explain):
    """A cell that is done; `maps` gives the map of (row, target) of each of the rows that it explained."""
    explain = {"method": variant.partition(" (")[0], **explain}
    chosen = f"{network.title}-{variant}.parquet"
    source = {"format": "crops", "uri": network.crops, "options": {"chosen": chosen}}
    values = {"name": "posed", "output": str(folder), "source": source, "explain": explain}
    job = build({**values, "model": {"checkpoint": network.spec.checkpoint}}, "test")
    rows = list(range(network.samples.num_rows)) if rows is None else rows
    rate = None if seconds is None else seconds / len(rows)
    cell = Cell(network, {}, variant, job, "done", None, seconds, len(rows), rate)
    if maps is not None:
        write_maps(Store(str(folder)), cell, rows, maps)
    return cell


def write_maps(store, cell, rows, maps):
    samples, relevance = cell.network.samples.to_pylist(), []
    for row in rows:
        for target in cell.network.model.targets:
            found = maps(row, target)
            if found is not None:
                (values,), (scale,) = pack_maps(found[None])
                key = {name: samples[row][name] for name in ("sequence_id", "frame_index")}
                size = {"height": found.shape[0], "width": found.shape[1]}
                relevance.append({**key, "target": target, **size, "scale": scale, "relevance": values.ravel()})
    subjects = {samples[row]["sequence_id"]: samples[row]["subject_id"] for row in rows}
    known = {"status": "done", "run_id": "r"}
    sequences = [{"sequence_id": one, "subject_id": who, **known} for one, who in sorted(subjects.items())]
    relevance.sort(key=lambda one: (one["sequence_id"], one["frame_index"]))
    for table, found in (("sequences", sequences), ("relevance", relevance)):
        store.put(f"{cell.partition.folder(table)}/shard.parquet", encode(rows_of(table, found)))


def make_work(folder, cells, trainings=(), **runs):
    config = StudyConfig(
        name="s",
        output=str(folder),
        networks=[{"checkpoint": "demo"}],
        compare=["runtime"],
        runs={"base": {"source": {}}, **runs},
    )
    titled = [
        Training(varied, SimpleNamespace(name=model), SimpleNamespace(model=model), ()) for model, varied in trainings
    ]
    return StudyWork(Store(str(folder)), Study(config, ()), tuple(titled), tuple(cells), start=no_engine)


def write_tiny(path, size=32):
    """A network of three classes with random weights."""
    import torch

    from fer_batch.models import backbone, checkpoint
    from fer_batch.models.card import Card

    torch.manual_seed(0)
    known = {"name": "tiny", "architecture": "resnet18", "options": {"width": 0.125}, "head": "softmax"}
    card = Card(**known, targets=("pain", "disgust", "happiness"), preprocessing={"size": size})
    checkpoint.save(backbone.build("resnet18", 3, {"width": 0.125}), path, card)
    return str(path)


def no_engine():
    raise AssertionError("this comparison needs no engine")


@pytest.fixture
def study():
    return SimpleNamespace(network=make_network, cell=make_cell, work=make_work, crops=write_crops, tiny=write_tiny)


CROP = 64


def standard_points(size=CROP):
    """The standard face in a square crop."""
    points, (height, width) = standard_face()
    return points * (size / width, size / height)


def write_plain_crops(uri, n, landmarks=True):
    """A crop set of n grey pictures with a bright left half."""
    images = np.full((n, CROP, CROP, 3), 60, np.uint8)
    images[:, :, : CROP // 2] = 200
    pixels = io.BytesIO()
    np.save(pixels, images)
    store = Store(uri)
    store.put("a.npy", pixels.getvalue())
    points = [standard_points().ravel().tolist() if landmarks else None] * n
    store.put("a.parquet", encode(pa.table({"landmarks": pa.array(points, pa.list_(pa.float32()))})))
    store.put("crops.json", json.dumps({"shards": ["a"], "size": CROP}).encode())


NETWORKS = {"weinet-0a": None, "resnet18-0b": "r.safetensors"}


class MadeStudy:
    """A study of trainings over folds whose tables are written by hand.

    Maps mark the mask of their class; those of networks that started from a file (the values of `networks`) mark it 20
    pixels beside.
    """

    def __init__(self, root, methods=("lime",), n=24, seed=0, folds=(0, 1), lost=0, networks=NETWORKS):
        self.store = Store(str(root / "out"))
        self.crops = str(root / "crops")
        write_plain_crops(self.crops, n)
        self.methods, self.n, self.seed, self.lost = methods, n, seed, lost
        self.folds = folds
        self.config = StudyConfig(name="sh", output=self.store.uri, compare={"runtime": {}}, trainings={"base": {}})
        trainings, cells = [], []
        self.shift = {name: 20 * bool(start) + place for place, (name, start) in enumerate(networks.items())}
        for place, (name, start) in enumerate(networks.items()):
            networks = [
                make_network(n=n, seed=seed + 10 * place + fold, name=name, fold=fold, crops=self.crops)
                for fold in folds
            ]
            config = SimpleNamespace(network=SimpleNamespace(checkpoint=start))
            trainings.append(Training({}, config, SimpleNamespace(model=name), tuple(networks)))
            cells += [self.cell(network, method) for network in networks for method in methods]
        self.cells = tuple(cells)
        self.work = StudyWork(self.store, Study(self.config, ()), tuple(trainings), self.cells)

    def cell(self, network, method):
        source = {"format": "crops", "uri": self.crops, "options": {"chosen": f"{network.title}.parquet"}}
        values = {"name": "posed", "output": self.store.uri, "source": source, "explain": {"method": method}}
        job = build({**values, "model": {"checkpoint": DEMO["softmax"]}}, "test")
        cell = Cell(network, {"explain.method": method}, method, job, "done", None, 1.0, 4)
        self.write(cell)
        return cell

    def write(self, cell):
        """Tables of a cell; the landmarks of the first `lost` images are missing."""
        network, rng = cell.network, np.random.default_rng([self.seed, cell.network.fold, len(cell.network.name)])
        masks = expression_masks((CROP, CROP))
        rows = {name: network.samples[name].to_pylist() for name in ("sequence_id", "frame_index")}
        targets = [network.model.targets[place] for place in network.logits.argmax(1)]
        maps, frames, found_by = [], [], []
        for place, target in enumerate(targets):
            key = {"sequence_id": rows["sequence_id"][place], "frame_index": rows["frame_index"][place]}
            found = rng.random((CROP, CROP)).astype(np.float32) * 0.3
            found += np.roll(masks[target], self.shift[network.name], 1) if target in masks else 0
            values, scale = pack_maps((found - 0.1)[None])
            size = {"height": CROP, "width": CROP, "scale": float(scale[0]), "relevance": values[0].ravel()}
            maps.append({**key, "target": target, **size})
            found_by.append({**key, "target": target, "active": True})
            points = None if place < self.lost else standard_points().ravel().tolist()
            frames.append({**key, "status": "ok", "landmarks": points})
        people = dict(zip(rows["sequence_id"], network.samples["subject_id"].to_pylist(), strict=True))
        known = {"emotion": "fear", "status": "done", "run_id": "r"}
        sequences = [{"sequence_id": one, "subject_id": people[one], **known} for one in sorted(people)]
        tables = {"sequences": sequences, "frames": frames, "relevance": maps, "detections": found_by}
        for table, found in {**tables, "prototypes": []}.items():
            found.sort(key=lambda row: (row["sequence_id"], row.get("frame_index")))
            path = f"{cell.partition.folder(table)}/{self.shard(cell)}.parquet"
            self.store.put(path, encode(rows_of(table, found)))

    @staticmethod
    def shard(cell):
        """A shard has a name of its own in the whole output."""
        return digest(vars(cell.partition), 8)

    def compute(self, scale="none"):
        """What the tasks of the comparison leave, without Ray."""
        for cell in self.cells:
            task = sums_task(self.work, cell, scale)
            self.store.put(task.path, dump(task.function(*task.arguments)))


@pytest.fixture
def made_study(tmp_path):
    return lambda **options: MadeStudy(tmp_path, **options)


@pytest.fixture(scope="module")
def made_study_once(tmp_path_factory):
    return lambda **options: MadeStudy(tmp_path_factory.mktemp("made"), **options)


def make_cue_study(folder, n=24, subjects=6, folds=(0, 1), methods=("cam", "z"), lost=1, size=64):
    """A study of one training over two folds whose tasks are computed in this process."""
    tiny = write_tiny(folder / "tiny.safetensors", size)

    def points(row):
        return None if row < lost else (standard_points(size) + row % 3).ravel().tolist()

    networks = [
        make_network(n=n, subjects=subjects, checkpoint=tiny, crops=f"{folder}/crops", name="net-1", fold=f, seed=f)
        for f in folds
    ]
    write_crops(f"{folder}/crops", networks[0].samples, size, points)
    return make_work(folder, [make_cell(folder, one, method) for one in networks for method in methods])


@pytest.fixture
def cue_study(tmp_path, monkeypatch):
    def computed(work, name, tasks):
        return [task.function(*task.arguments) for task in tasks]

    monkeypatch.setattr("fer_batch.pipeline.study.cue_networks.computed", computed)
    return lambda **options: make_cue_study(tmp_path, **options)


LAYERS = ("relu", "layer1", "layer2", "layer3", "layer4")


def make_cues(
    name="net-1", att=0.6, cams=(("cam", 0.5),), folds=(None,), n=70, subjects=7, seed=0, crops="crops", **more
):
    """Figures of a network as if they had been computed: about `att` at the last layer and less before, and `cams`."""
    made = []
    for fold in folds:
        network = make_network(
            n=n, subjects=subjects, name=name, fold=fold, seed=seed + (fold or 0), crops=crops, **more
        )
        landmarks = np.repeat(standard_points()[None], n, 0).astype(np.float32)
        samples, rng = cue_samples(network, Codebook(), landmarks), np.random.default_rng(seed)
        m, targets = len(samples.images.pairs), network.model.targets
        columns = {Column("att_cos", layer): att - 0.05 * (4 - place) for place, layer in enumerate(LAYERS)}
        columns |= {Column("cam_cos", method): value for method, value in cams}
        sums = {}
        for output, own in zip(*np.unique(samples.images.pairs[:, 1], return_counts=True), strict=True):
            for place, key in enumerate((UNITS, FACE, *columns)):
                sums[key, targets[output]] = MapSum(int(own), np.full((4, 4), own * place / 9), np.eye(4))
        made.append(
            FoldCues(
                network=network,
                samples=samples,
                labels=np.asarray(targets)[samples.images.pairs[:, 1]],
                subjects=tuple(network.samples["subject_id"].take(samples.pair_rows).to_pylist()),
                cosines={key: value + rng.normal(0, 0.02, m) for key, value in columns.items()},
                constant={key: np.full(m, 0.5) for key in columns},
                sums=sums,
            )
        )
    return NetworkCues(name, name.partition("-")[0], tuple(made))


@pytest.fixture
def cues():
    return make_cues


def make_families(aligned, **more):
    """A study whose trainings are `aligned`: what varies in each, its section `align` or None, and its figures."""
    networks, trainings = [], []
    for place, (varied, section, figures) in enumerate(aligned):
        networks.append(make_cues(f"net{place}-a", **{**more, **figures}))
        settings = None if section is None else SimpleNamespace(**{"reduce": "sum", "to": "attention", **section})
        config = SimpleNamespace(name=f"net{place}", align=settings)
        trainings.append(Training(varied, config, SimpleNamespace(model=f"net{place}-a"), ()))
    return SimpleNamespace(trainings=tuple(trainings)), networks


BASE = {"weight": 4.0, "layers": ("layer4",)}
SWEEP = (
    ({}, BASE, {"att": 0.85, "cams": (("cam", 0.7), ("lime", 0.55))}),
    ({"align.weight": 0}, {**BASE, "weight": 0.0}, {"att": 0.55, "cams": (("cam", 0.5), ("lime", 0.5))}),
    ({"align.weight": 1}, {**BASE, "weight": 1.0}, {"att": 0.8, "cams": (("cam", 0.6), ("lime", 0.5))}),
    (
        {"align.layers": ["layer1"]},
        {**BASE, "layers": ("layer1",)},
        {"att": 0.6, "cams": (("cam", 0.4), ("lime", 0.5))},
    ),
    ({"network.options.head": "prm"}, BASE, {"att": 0.75, "cams": (("cam", 0.65), ("lime", 0.5))}),
    ({"network.options.head": "prm", "align.weight": 0}, None, {"att": 0.5, "cams": (("cam", 0.45), ("lime", 0.5))}),
)


@pytest.fixture
def sweep():
    """A study of strengths, layers and a head, as `families` takes it, and its figures."""
    return lambda **more: make_families(SWEEP, **more)
