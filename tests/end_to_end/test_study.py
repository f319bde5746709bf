"""One command trains, explains and compares a grid; it goes on where it was killed, and decodes what it needs once."""

import shutil
import subprocess
import sys

import pyarrow.compute as pc
import pytest
import yaml

from fer_batch.models import backbone, checkpoint
from fer_batch.models.card import Card
from fer_batch.output.query import connect
from fer_batch.output.status import status, status_text
from fer_batch.posed.clips import write_stills
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

from .conftest import assert_same_tables, called, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("engine")]

TARGETS = ["pain", "disgust", "happiness"]
STUDY = {
    "kind": "study",
    "name": "small",
    "question": "Does the network look at the mouth?",
    "trainings": {
        "base": {
            "kind": "train",
            "name": "posed3",
            "sources": [
                {
                    "dataset": "posed",
                    "posed": {"subjects": 4, "expressions": ["pain3", "pain4", "disgust", "happiness"], "frames": 12},
                    "sampling": {"slots": 3, "per_slot": 1},
                }
            ],
            "head": "softmax",
            "targets": TARGETS,
            "labels": {"whole_inputs": True, "classes": {"pain3": "pain", "pain4": "pain"}},
            "faces": {"detector": "dataset"},
            "network": {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}},
            "recipe": {"id": "test", "epochs": 1, "batch_size": 16},
            "split": {"kind": "folds", "k": 2},
        }
    },
    "runs": {
        "base": {"explain": {"targets": "all"}, "resources": {"num_cpus": 2, "object_store_mb": 200}},
        "vary": {"explain": [{"method": "gradient"}, {"method": "lime", "options": {"n_samples": 20}}]},
        "choose": {"per_class": 3},
    },
    "compare": {
        "fold_table": {},
        "classification_report": {},
        "grids": {"people": 2, "columns": {"pain3": "pain3", "happiness": "happiness"}},
        "misclassified": {},
        "panel": {},
        "class_discrimination": {},
        "randomisation": {"images": 4, "steps": 2, "seeds": 1},
        "faithfulness": {"images": 4, "segments": "grid", "n_segments": 9, "n_random": 2},
        "runtime": {},
    },
    "panel": {"posed_seed": 5, "n": 2},
}


def command(job, out, *more):
    return [sys.executable, "-m", "fer_batch.cli", "run", str(job), "--output", str(out), *more]


def run(job, out, *more):
    done = called(["run", str(job), "--output", str(out), *more], {"FER_BATCH_TRACEBACK": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def study(engine, tmp_path_factory):
    """The job and the output of a study that nothing disturbed, and what it said."""
    folder = tmp_path_factory.mktemp("study")
    job = folder / "study.yaml"
    job.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return job, folder / "out", run(job, folder / "out")


def test_every_cell_explains_people_whom_its_network_never_saw(study):
    _, out, _ = study
    cells = read(Store(str(out)), "study_cells").to_pylist()
    assert len(cells) == 4 and {cell["status"] for cell in cells} == {"done"}
    assert {(cell["fold"], cell["variant"]) for cell in cells} == {(f, m) for f in (0, 1) for m in ("gradient", "lime")}
    connection = connect(Store(str(out)))
    tested = connection.execute("SELECT DISTINCT fold, sequence_id FROM predictions").fetchall()
    for cell in cells:
        found = connection.execute(
            "SELECT DISTINCT sequence_id FROM relevance WHERE model = ? AND explain = ?",
            [cell["model"], cell["explain"]],
        ).fetchall()
        assert found and {(cell["fold"], one) for (one,) in found} <= set(tested)


def test_every_predicted_class_has_so_many_images_and_all_three_maps(study):
    _, out, _ = study
    rows = (
        connect(Store(str(out)))
        .execute("""
        SELECT model, explain, count(DISTINCT (sequence_id, frame_index)), count(*) FROM relevance
        WHERE dataset = 'posed' GROUP BY ALL""")
        .fetchall()
    )
    assert len(rows) == 4
    for _, _, n_images, n_maps in rows:
        assert 3 <= n_images <= 9 and n_maps == 3 * n_images


def test_every_comparison_has_a_page_and_figures(study):
    _, out, _ = study
    folder = out / "report" / "studies" / "small"
    pages = {path.stem for path in folder.glob("*.html")}
    assert pages == {"index", *(name.replace("_", "-") for name in STUDY["compare"])}
    assert "Does the network look at the mouth?" in (folder / "index.html").read_text()
    metrics = (
        connect(Store(str(out)))
        .execute("""
        SELECT metric, list(DISTINCT explain ORDER BY explain) FROM evaluation
        WHERE model NOT LIKE 'resnet18-%' OR metric NOT IN ('f1', 'accuracy') GROUP BY metric""")
        .fetchall()
    )
    metrics = dict(metrics)
    for metric in ("class_discrimination", "randomised_similarity", "aopc_beyond_random", "deletion_auc"):
        assert metrics[metric] == ["gradient", "lime"]
    assert (folder / "pictures").exists()


def test_what_is_done_is_done_in_seconds_and_status_knows_it(study):
    job, out, _ = study
    before = {path: path.stat().st_mtime_ns for path in out.glob("tables/relevance/**/*.parquet")}
    said = run(job, out)
    assert "4 done earlier" in said.stderr + said.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "study small: cells 4 done, 0 failed, 0 waiting" in status_text(status(Store(str(out))))
    dry = run(job, out, "--dry-run").stdout
    assert "explanations of each network: gradient, lime" in dry and "4 done" in dry


def test_a_new_explanation_costs_its_own_cells_only_and_one_that_cannot_is_a_row(study, tmp_path):
    _, out, _ = study
    values = {**STUDY, "name": "more", "compare": ["runtime"], "panel": None}
    methods = [{"method": "gradient"}, {"method": "cam", "options": {"layer": "nowhere"}}]
    values["runs"] = {**STUDY["runs"], "vary": {"explain": methods}}
    other = tmp_path / "more.yaml"
    other.write_text(yaml.safe_dump(values, sort_keys=False))
    done = called(["run", str(other), "--output", str(out)])
    assert done.returncode == 3, done.stderr[-3000:]
    assert "2 done earlier" in done.stderr + done.stdout
    cells = [row for row in read(Store(str(out)), "study_cells").to_pylist() if row["study"] == "more"]
    failed = [cell for cell in cells if cell["status"] == "failed"]
    assert len(failed) == 2 and all("nowhere" in cell["reason"] for cell in failed)
    assert sum(cell["status"] == "done" for cell in cells) == 2


def test_a_study_that_is_killed_ends_where_it_would_have_ended(study, tmp_path):
    _, out, _ = study
    job, other = tmp_path / "study.yaml", tmp_path / "out"
    job.write_text(yaml.safe_dump({**STUDY, "compare": ["runtime", "panel"]}, sort_keys=False))
    for name in ("_data", "_crops", "_train", "checkpoints"):  # a training that is killed has tests of its own
        shutil.copytree(out / name, other / name)
    process = subprocess.Popen(command(job, other), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: list(other.glob("_studies/cells/*.json")), 200)  # the first of the two networks is explained
    process.kill()
    process.wait()
    run(job, other)
    assert_same_tables(out, other)
    timed = ("seconds", "seconds_per_image", "n_images")
    cells = [
        read(Store(str(where)), "study_cells", filters=pc.field("study") == "small").drop_columns(timed).to_pylist()
        for where in (out, other)
    ]
    assert cells[0] == cells[1]


def test_six_cells_over_one_source_decode_it_once(frames_seen, tmp_path):
    write_stills(tmp_path / "stills", n=5, size=96)
    (tmp_path / "stills" / "manifest.csv").unlink()
    cards = []
    for seed in (1, 2):
        import torch

        torch.manual_seed(seed)
        net = backbone.build("resnet18", 3, {"width": 0.125})
        card = Card(
            name=f"net{seed}",
            architecture="resnet18",
            options={"width": 0.125},
            targets=tuple(TARGETS),
            head="softmax",
            preprocessing={"size": 48},
        )
        checkpoint.save(net, tmp_path / f"net{seed}.safetensors", card)
        cards.append(str(tmp_path / f"net{seed}.safetensors"))
    methods = ["gradient", "grad_cam", "preset_a_flat"]
    base = {
        "source": {"format": "images", "uri": str(tmp_path / "stills")},
        "faces": {"detector": "counting_faces:Detector"},
        "explain": {"targets": "all"},
        "resources": {"num_cpus": 2, "object_store_mb": 200},
    }
    values = {"kind": "study", "name": "six", "networks": cards, "compare": ["class_discrimination", "runtime"]}
    values["runs"] = {"base": base, "vary": {"explain.method": methods}}
    job = tmp_path / "study.yaml"
    job.write_text(yaml.safe_dump(values))
    frames_seen.write_text("")
    run(job, tmp_path / "out")
    cells = read(Store(str(tmp_path / "out")), "study_cells").to_pylist()
    assert [cell["status"] for cell in cells] == ["done"] * 6
    assert len(frames_seen.read_text().splitlines()) == 5
