"""Stills with a softmax network: AffectNet's case, in a pack of 64 and what is left."""

import pytest
import yaml

from fer_batch.posed.clips import write_stills

from .conftest import called

pytestmark = pytest.mark.slow
N = 72


@pytest.fixture(scope="module")
def posed_stills(tmp_path_factory):
    """Posed stills with a manifest."""
    folder = tmp_path_factory.mktemp("posed") / "stills"
    write_stills(folder, n=N, seed=5)
    return folder


@pytest.fixture(scope="module")
def output(engine, posed_stills, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stills")
    job = {
        "name": "posed_stills",
        "source": {"format": "manifest", "uri": str(posed_stills / "manifest.csv")},
        "output": str(folder / "out"),
        "model": {"checkpoint": "demo-expressions"},
        "faces": {"detector": "dataset"},
        "resources": {"num_cpus": 2, "object_store_mb": 256},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    command = ["run", str(folder / "job.yaml")]
    finished = called(command)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder / "out", command


def test_every_still_is_a_row_with_one_active_class(output, helpers):
    path, _ = output
    sequences = helpers.rows(path, "sequences")
    assert sequences.num_rows == N
    assert set(sequences["kind"].to_pylist()) == {"still"}
    detections = helpers.rows(path, "detections")
    assert detections.num_rows == N * 7
    assert helpers.count(detections, "active", True) == N
    assert helpers.rows(path, "relevance").num_rows == N
    assert helpers.rows(path, "temporal_prototypes").num_rows == 0


def test_packs_of_64_are_the_units(output, helpers):
    units = helpers.rows(output[0], "sequences")["unit_id"].to_pylist()
    assert sorted(units.count(unit) for unit in set(units)) == [N - 64, 64]


def test_classes_have_prototypes_over_the_dataset(output, helpers):
    classes = helpers.rows(output[0], "class_prototypes")
    active = helpers.rows(output[0], "detections")
    predicted = set(active.filter(active["active"])["target"].to_pylist())
    assert set(classes["target"].to_pylist()) == predicted
    assert sum(classes["n_frames"].to_pylist()) == N
    for target in predicted:
        rows = [row for row in classes.to_pylist() if row["target"] == target]
        assert {row["n_clusters"] for row in rows} == {len(rows)}
        assert {row["n_clustered"] for row in rows} == {sum(row["n_frames"] for row in rows)}
        assert all(row["rule"] and row["n_neighbors"] and row["eigengap"] > 0 for row in rows)
    (page,) = output[0].glob("report/*/*/*/classes.html")
    html = page.read_text()
    assert html.count('class="spectrum"') == len(predicted)
    assert html.count('class="group"') == classes.num_rows
    assert html.count("data:image/jpeg") == len({name for row in classes["exemplars"].to_pylist() for name in row})


def test_running_again_does_nothing_and_one_more_still_is_one_more_row(output, posed_stills, helpers):
    path, command = output
    again = called(command)
    assert f"nothing to do: {N} of {N}" in again.stderr
    manifest = posed_stills / "manifest.csv"
    original = manifest.read_text()
    header, first, *others = original.splitlines()
    source = first.split(",")[0]
    (posed_stills / "one_more.jpg").write_bytes((posed_stills / source).read_bytes())
    manifest.write_text("\n".join([header, first, *others, first.replace(source, "one_more.jpg", 1)]) + "\n")
    try:
        more = called([*command, "--json"])
    finally:
        manifest.write_text(original)
    assert more.returncode == 0, more.stderr
    assert f'"already_done": {N}' in more.stdout
    assert helpers.rows(path, "sequences").num_rows == N + 1


def test_accuracy_is_evaluated(output):
    from fer_batch.pipeline.partition.evaluation import evaluate_output
    from fer_batch.storage.store import Store

    (result,) = evaluate_output(Store(str(output[0])))
    accuracy = next(row for row in result.rows if row["metric"] == "accuracy")
    assert accuracy["n"] >= N
    assert accuracy["value"] > 0.7
