"""The verdict from tables: what is flagged, what is picked, what the page shows."""

import io
import json
from dataclasses import dataclass
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from PIL import Image

from fer_batch.cli import main
from fer_batch.models.card import Card
from fer_batch.output.query import connect
from fer_batch.pipeline.partition.evaluation import evaluate_output
from fer_batch.pipeline.partition.evaluation_text import evaluation_json, evaluation_text
from fer_batch.pipeline.report.verdict import _queries, has_verdict, verdict_page
from fer_batch.pipeline.report.write import write_page, write_report
from fer_batch.regions import standard_face
from fer_batch.report.page import RunSummary
from fer_batch.report.verdict import FILE as VERDICT
from fer_batch.storage.parquet import Partition, encode, pack_maps, read, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

SIDE = 56
N_FRAMES = 4  # of a sequence
INSIDE, OUTSIDE, SHARE = 0.6, 0.02, 0.1
POINTS = (standard_face()[0] * SIDE / 275).ravel().tolist()


@dataclass
class Output:
    """An output whose tables are written by hand."""

    store: Store

    def write(self, partition, subjects, mu, *, annotated=True, maps=(), grid=SIDE, exemplar=None, missing=(), seed=0):
        """One sequence per subject; every target of `mu` is active, and present where it is annotated.

        Parameters
        ----------
        partition
            Of the rows.
        subjects
            By sequence; None for one that is not known.
        mu
            By target: mean of its mu.
        annotated
            Whether there is ground truth.
        maps
            Frames (sequence number, frame) whose map is kept.
        grid
            Side of the maps.
        exemplar
            A frame whose pixels are kept.
        missing
            Frames without landmarks, whose mu is NULL.
        """
        rng = np.random.default_rng(seed)
        keys = [(f"s{i}.mp4", frame) for i in range(len(subjects)) for frame in range(N_FRAMES)]
        frames, found, truth, kept = [], [], [], []
        for number, (sequence_id, frame) in enumerate(keys):
            here = {"sequence_id": sequence_id, "frame_index": frame}
            gone = divmod(number, N_FRAMES) in missing
            frames.append({**here, "status": "ok", "landmarks": None if gone else POINTS})
            for target, mean in mu.items():
                value = float(np.clip(mean + rng.normal(0, 0.005), 0, 1))
                measured = {} if gone else {"mu": value, "region_share": SHARE, "regions_version": "default-x"}
                found.append({**here, "target": target, "active": True, "logit": 1.0, "probability": 0.7, **measured})
                truth.append({**here, "target": target, "occurrence": True})
                if divmod(number, N_FRAMES) in maps:
                    values, scale = pack_maps(rng.normal(size=(1, grid, grid)))
                    relevance = {"height": grid, "width": grid, "scale": float(scale[0]), "relevance": values.ravel()}
                    kept.append({**here, "target": target, **relevance})
        sequences = [
            {"sequence_id": f"s{i}.mp4", "subject_id": name, "kind": "video", "status": "done", "run_id": "r"}
            for i, name in enumerate(subjects)
        ]
        tables = {"sequences": sequences, "frames": frames, "detections": found, "relevance": kept}
        if annotated:
            tables["annotations"] = truth
        if exemplar is not None:
            picture = io.BytesIO()
            Image.new("RGB", (SIDE, SIDE), (200, 30, 30)).save(picture, "JPEG")
            row = {"sequence_id": f"s{exemplar[0]}.mp4", "target": "AU04", "exemplar_frame": exemplar[1]}
            tables["prototypes"] = [{**row, "exemplar_jpeg": picture.getvalue()}]
        for name, rows in tables.items():
            self.store.put(f"{partition.folder(name)}/a.parquet", encode(rows_of(name, rows), {"head": "multilabel"}))


@pytest.fixture
def output(tmp_path):
    """An empty output."""
    return Output(Store(str(tmp_path)))


PARTITION = Partition("d", "m-1", "e-1")
SUBJECTS = ["P1", "P1", "P2", "P3", "P4", "P5"]


def states(result):
    return {verdict.target: verdict.state for verdict in result.verdicts}


def figures(result):
    return {(row["metric"], row["target"]): row for row in result.rows if not row.get("group")}


def test_vp_k_only_the_target_whose_evidence_lies_elsewhere_is_flagged(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE, "AU10": 0.2})
    (result,) = evaluate_output(output.store)
    assert states(result) == {"AU01": "ok", "AU04": "flag", "AU10": "note"}
    text = evaluation_text([result])
    assert "AU04 is recognised (F1 1.00), but 98 % of the evidence lies outside the brows" in text
    assert [line.split()[0] for line in text.splitlines() if line.endswith("FLAG")] == ["AU04"]


def test_mu_is_that_of_sql_and_the_interval_that_of_the_evaluate_room(output, localisation_of_frames):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    (result,) = evaluate_output(output.store)
    connection = connect(output.store)
    asked = connection.execute("SELECT target, avg(mu) FROM detections WHERE active GROUP BY target").fetchall()
    stored = connection.execute("SELECT target, value FROM evaluation WHERE metric = 'mu'").fetchall()
    assert dict(stored) == pytest.approx(dict(asked))
    rows = connection.execute(
        "SELECT mu, region_share, subject_id FROM detections JOIN sequences USING (sequence_id) "
        "WHERE target = 'AU01' ORDER BY subject_id, sequence_id, frame_index"
    ).fetchall()
    expected = localisation_of_frames(*zip(*rows, strict=True))
    found = figures(result)
    assert found["mu", "AU01"]["n"] == expected.n == 24
    assert found["mu_low", "AU01"]["n"] == expected.n_subjects == 5
    for metric, value in (("mu_low", expected.low), ("mu_high", expected.high), ("mu_weighted", expected.weighted)):
        assert found[metric, "AU01"]["value"] == pytest.approx(value, abs=1e-7)
    assert found["mu", "AU01"]["baseline"] == pytest.approx(SHARE)
    assert found["mu", "AU01"]["regions_version"] == "default-x"


def test_frames_without_landmarks_are_counted_and_change_no_mean(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE}, missing={(0, 0), (3, 2)})
    (result,) = evaluate_output(output.store)
    found = figures(result)
    assert (found["mu", "AU01"]["n"], found["mu_undefined", "AU01"]["value"]) == (22, 2)
    assert found["mu_undefined", "AU01"]["n"] == 24
    assert found["mu", "AU01"]["value"] == pytest.approx(INSIDE, abs=0.01)
    assert "2 of these detections have no mu" in evaluation_text([result])


def test_without_any_landmarks_there_is_no_verdict(output):
    everything = {(i, frame) for i in range(6) for frame in range(N_FRAMES)}
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE}, missing=everything)
    (result,) = evaluate_output(output.store)
    assert (result.verdicts, has_verdict(output.store, PARTITION)) == ([], False)
    assert figures(result)["f1", "AU01"]["value"] == 1


def test_a_target_without_a_region_has_a_score_and_no_verdict(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    path = f"{PARTITION.folder('detections')}/a.parquet"
    rows = read(output.store, "detections").select(SCHEMAS["detections"].names).to_pylist()
    for row in rows:
        if row["target"] == "AU04":
            row.update(target="AU13", mu=None, region_share=None, regions_version=None)
    output.store.put(path, encode(rows_of("detections", rows), {"head": "multilabel"}))
    (result,) = evaluate_output(output.store)
    assert states(result) == {"AU01": "ok"}
    assert result.unknown_targets == ("AU04",)


def test_a_target_that_never_occurs_and_is_detected_is_not_said_to_be_overlooked(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    rows = read(output.store, "annotations").select(SCHEMAS["annotations"].names).to_pylist()
    for row in rows:
        if row["target"] == "AU04":
            row["occurrence"] = False
    output.store.put(f"{PARTITION.folder('annotations')}/a.parquet", encode(rows_of("annotations", rows)))
    (result,) = evaluate_output(output.store)
    assert "AU04 never occurs, yet is detected in 24 frames (F1 .00)" in evaluation_text([result])


def test_figures_that_are_no_longer_true_go(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE}, annotated=False)
    evaluate_output(output.store)
    output.write(PARTITION, SUBJECTS, {}, annotated=False)
    evaluate_output(output.store)
    assert read(output.store, "evaluation").num_rows == 0


def test_few_or_unknown_subjects_are_said(output):
    output.write(PARTITION, ["P1", "P2", "P2", "P3"], {"AU01": OUTSIDE})
    output.write(Partition("e", "m-1", "e-1"), [None] * 4, {"AU01": OUTSIDE})
    few, unknown = evaluate_output(output.store)
    assert (states(few), states(unknown)) == ({"AU01": "open"}, {"AU01": "flag"})
    assert (
        "An interval needs 4 subjects of whom no one has most of the frames; there are fewer for AU01."
        in evaluation_text([few])
    )
    assert figures(few)["mu_low", "AU01"]["value"] is None
    assert "Some inputs name no subject" in evaluation_text([unknown])
    assert "Some inputs" not in evaluation_text([few])


def test_without_annotations_all_detections_count(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE}, annotated=False)
    (result,) = evaluate_output(output.store)
    assert states(result) == {"AU01": "ok", "AU04": "flag"}
    found = figures(result)
    assert {metric for metric, _ in found} == {
        "mu_active", "mu_active_weighted", "mu_active_low", "mu_active_high", "mu_active_undefined",
    }  # fmt: skip
    text = evaluation_text([result])
    assert "\nmu, where nothing is annotated\n" in text
    assert "no frame is annotated" in text
    assert "AU04 is seen in 24 frames (not annotated" in text


def test_data_sets_and_methods_stand_side_by_side(output):
    lrp, cam = "preset_a_flat-1", "grad_cam-1"
    output.write(Partition("ck_plus", "m-1", lrp), SUBJECTS, {"AU01": INSIDE, "AU04": 0.55})
    output.write(Partition("ck_plus", "m-1", cam), SUBJECTS, {"AU01": OUTSIDE, "AU04": 0.45})
    output.write(Partition("unbc", "m-1", lrp), SUBJECTS, {"AU01": 0.3})
    results = evaluate_output(output.store)
    found = {table["title"]: table for table in evaluation_json(results, [None] * 3)["tables"]}
    assert found["F1"]["columns"][1:3] == ("AU01", "AU04")
    by_row = {row[0]: row for row in found["F1"]["rows"]}
    assert (by_row["unbc"][2], by_row["ck_plus"][2]) == ("-", "1.000")  # what was not annotated is no zero
    assert len([name for name in by_row if name.startswith("ck_plus")]) == 1
    assert "UNBC, ResNet (Rieger et al. 2020)" in by_row
    assert found["mu"]["columns"] == (
        "",
        "ck_plus, grad_cam-1",
        "ck_plus, preset_a_flat-1",
        "unbc, preset_a_flat-1",
        "CK+ (Rieger et al. 2020)",
        "UNBC (Rieger et al. 2020)",
    )
    (row,) = [row for row in found["mu"]["rows"] if row[0] == "AU04"]
    assert [cell.split()[0][:2] for cell in row[1:]] == [".4", ".5", "-", ".5", ".5"]
    assert row[4:] == (".554 (3753)", ".50 (291)")


def test_every_file_and_thread_gives_the_same_figures(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    (before,) = evaluate_output(output.store)
    path = PARTITION.folder("detections")
    whole = read(output.store, "detections").select(SCHEMAS["detections"].names)
    for name, part in (("b", whole.slice(30)), ("a", whole.slice(0, 30))):
        output.store.put(f"{path}/{name}.parquet", encode(rows_of("detections", part.to_pylist()), {}))
    (after,) = evaluate_output(output.store)
    assert after.rows == before.rows


def page(output, partition=PARTITION):
    summary = RunSummary(title="d", dataset="d", model="m-1", explain="e-1")
    return dict(verdict_page(output.store, partition, summary))


def test_vp_j_the_examples_are_the_lowest_and_the_highest_mu(output):
    every = [(i, frame) for i in range(6) for frame in range(N_FRAMES)]
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE}, maps=every)
    files = page(output)
    shown = files["verdict.html"].decode()
    for target in ("AU01", "AU04"):
        rows = (
            connect(output.store)
            .execute("SELECT sequence_id, frame_index FROM detections WHERE target = ? ORDER BY mu", [target])
            .fetchall()
        )
        for sequence_id, frame in (rows[0], rows[-1]):
            assert f"Relevance for {target} in frame {frame} of {sequence_id}, region outlined" in shown
    assert sum(name.startswith("pictures/verdict-") for name in files) == 4
    assert page(output) == files


def test_an_example_whose_pixels_were_kept_shows_them(output):
    output.write(PARTITION, SUBJECTS, {"AU04": OUTSIDE}, maps=[(2, 1), (3, 1)], exemplar=(2, 1))
    files = page(output)
    shown = files["verdict.html"].decode()
    assert "s2.mp4, frame 1<" in shown
    assert "s3.mp4, frame 1 (drawn from its landmarks" in shown
    assert "picked among the frames whose maps were kept, which are fewer for AU04" in shown
    names = [name for name in files if name.startswith("pictures/")]
    brightness = sorted(np.asarray(Image.open(io.BytesIO(files[name]))).mean() for name in names)
    assert brightness[1] - brightness[0] > 30  # a dark face, and lines on paper


def test_a_coarse_map_lies_under_a_region_of_the_crop(output):
    output.write(PARTITION, SUBJECTS, {"AU04": OUTSIDE}, maps=[(2, 1), (3, 1)], grid=7, exemplar=(2, 1))
    files = page(output)
    for name in (name for name in files if name.startswith("pictures/")):
        picture = np.asarray(Image.open(io.BytesIO(files[name]))).astype(int)
        y, x = np.nonzero(np.abs(picture - [0, 158, 115]).max(2) < 40)
        assert 0.1 < y.min() / len(picture) < y.max() / len(picture) < 0.4  # the brows
        assert x.max() - x.min() > 0.4 * len(picture)


def test_without_maps_the_page_says_so(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    files = page(output)
    assert list(files) == ["verdict.html"]
    shown = files["verdict.html"].decode()
    assert "No map of a single frame was kept" in shown
    assert '<td class="flag">flagged</td>' in shown
    assert '<a href="#AU04">AU04</a>' in shown


def test_the_page_sets_other_explanations_and_data_sets_beside(output):
    lrp, cam = Partition("ck_plus", "m-1", "lrp-1"), Partition("ck_plus", "m-1", "cam-1")
    output.write(lrp, SUBJECTS, {"AU01": INSIDE, "AU04": 0.55})
    output.write(cam, SUBJECTS, {"AU01": OUTSIDE, "AU04": 0.45})
    alone = page(output, lrp)["verdict.html"].decode()
    assert "CK+ (Rieger et al. 2020)" in alone
    assert "cam-1" not in alone  # not evaluated yet
    evaluate_output(output.store)
    beside = page(output, lrp)["verdict.html"].decode()
    assert "Side by side" in beside
    assert ">cam-1<" in beside


def test_the_report_has_the_page_and_evaluate_draws_it_again(output):
    every = [(i, frame) for i in range(6) for frame in range(N_FRAMES)]
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE}, maps=every)
    folder = "report/d/m-1/e-1"
    alone = write_page(output.store, PARTITION, VERDICT)
    assert alone == output.store.url(f"{folder}/verdict.html")
    assert b"index.html" not in output.store.read_bytes(f"{folder}/verdict.html")  # there is none to link to
    write_report(output.store)
    assert b'href="verdict.html"' in output.store.read_bytes(f"{folder}/index.html")
    assert b'href="index.html"' in output.store.read_bytes(f"{folder}/verdict.html")
    shown = [name for name in output.store.names(f"{folder}/pictures") if name.startswith("verdict-")]
    assert len(shown) == 4
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE}, maps=every)
    write_page(output.store, PARTITION, VERDICT)
    assert [n for n in output.store.names(f"{folder}/pictures") if n.startswith("verdict-")] == shown[:2]


def test_without_relevance_in_a_region_there_is_no_page(output):
    everything = {(i, frame) for i in range(6) for frame in range(N_FRAMES)}
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE}, missing=everything)
    assert write_page(output.store, PARTITION, VERDICT) is None
    write_report(output.store)
    assert not output.store.exists("report/d/m-1/e-1/verdict.html")


def test_the_command_prints_sentences_or_everything_as_json(output, capsys):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    assert main(["evaluate", output.store.uri]) == 0
    printed = capsys.readouterr().out
    assert "but 98 % of the evidence lies outside the brows" in printed
    assert printed.splitlines()[-1] == f"verdict {output.store.url('report/d/m-1/e-1/verdict.html')}"
    assert main(["evaluate", output.store.uri, "--json", "--published"]) == 0
    (found,) = (said := json.loads(capsys.readouterr().out))["partitions"]
    assert {verdict["target"]: verdict["state"] for verdict in found["verdicts"]} == {"AU01": "ok", "AU04": "flag"}
    assert found["verdicts"][1]["region"] == "the brows"
    assert {row["metric"] for row in found["rows"]} >= {"f1", "mu", "mu_low", "mu_high", "mu_weighted", "mu_undefined"}
    assert [table["title"] for table in said["tables"]] == ["F1", "mu"]
    assert "Actor Study (Rieger et al. 2020)" in said["tables"][1]["columns"]


def known_people(output, tmp_path, trained, **metrics):
    """A run of the network whose card names whom it was trained on."""
    checkpoint = str(tmp_path / "net.safetensors")
    card = Card(name="m", targets=("AU01", "AU04"), trained_subjects=trained, metrics=metrics)
    (tmp_path / "net.json").write_text(card.model_dump_json())
    run = {"run_id": "r", "config": json.dumps({"model": {"checkpoint": checkpoint}})}
    output.store.put(f"{PARTITION.folder('runs')}/r.parquet", encode(rows_of("runs", [run])))


def test_figures_of_people_who_were_trained_on_say_so(output, tmp_path):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    folds = {"f1_fold_mean": {"AU01": 0.34, "AU04": None}, "n_folds": {"AU01": 4, "AU04": 0}}
    known_people(output, tmp_path, tuple(f"d:P{i}" for i in range(1, 6)), **folds)
    (result,) = evaluate_output(output.store)
    assert result.new is None
    text = evaluation_text([result])
    assert text.splitlines()[1] == (
        "WARNING: The network was trained on all 5 people here: F1 and mu are of faces it knows. "
        "On new people, mean over 4 folds: F1 .34."
    )
    assert "AU01 is recognised on people it was trained on, poorly on new ones (F1 1.00; on new people .34)" in text
    assert "AU04 is recognised on people it was trained on (F1 1.00)" in text
    assert next(line for line in text.splitlines() if line.startswith("AU01")).split()[:3] == ["AU01", "1.000", ".340"]
    shown = page(output)["verdict.html"].decode()
    assert "trained on all 5 people here" in shown
    assert "is recognised (F1" not in shown
    (part,) = evaluation_json([result], [None])["partitions"]
    assert (part["people"]["n_trained_on"], part["people"]["f1_fold_mean"]["AU01"]) == (5, 0.34)
    assert (part["verdicts"][0]["trained_on"], part["verdicts"][0]["new_f1"]) == ("all", 0.34)


def test_new_people_among_those_trained_on_are_judged_alone_too(output, tmp_path):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE, "AU04": OUTSIDE})
    (before,) = evaluate_output(output.store)
    known_people(output, tmp_path, ("d:P1",))
    (result,) = evaluate_output(output.store)
    assert (result.people.known, len(result.people.new)) == ({"P1"}, 4)
    of_new = {row["metric"]: row for row in result.new.rows if row["target"] == "AU01"}
    asked = "SELECT avg(mu), count(*) FROM detections WHERE target = 'AU01' AND sequence_id NOT IN ('s0.mp4', 's1.mp4')"
    ((mean, n),) = connect(output.store).execute(asked).fetchall()
    assert (of_new["mu"]["value"], of_new["mu"]["n"], of_new["f1"]["n"]) == (pytest.approx(mean), n, n)
    asked = "SELECT metric, value FROM evaluation WHERE target = 'AU01' AND \"group\" = 'people not trained on'"
    stored = dict(connect(output.store).execute(asked).fetchall())
    assert stored["mu_low"] == of_new["mu_low"]["value"]
    assert result.values("mu") == before.values("mu")  # that of everybody is as it was
    text = evaluation_text([result])
    assert "only the 4 people it was not trained on" in text
    assert "AU01 is recognised (F1 1.00; on new people 1.00)" in text
    assert "Only the 4 people it was not trained on" in page(output)["verdict.html"].decode()


def test_a_network_of_strangers_and_one_without_a_card_are_told_apart(output, tmp_path):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE})
    known_people(output, tmp_path, ("d:P8",))
    (result,) = evaluate_output(output.store)
    text = evaluation_text([result])
    assert "WARNING" not in text
    assert "AU01 is recognised (F1 1.00)," in text
    assert "none of the 5 people here" in text
    known_people(output, tmp_path, ())
    assert "trained on" not in evaluation_text(evaluate_output(output.store))
    (tmp_path / "net.json").unlink()
    assert "net.safetensors has no card here" in evaluation_text(evaluate_output(output.store))


def test_frames_without_a_usable_face_are_counted(output):
    output.write(PARTITION, SUBJECTS, {"AU01": INSIDE})
    rows = read(output.store, "frames").select(SCHEMAS["frames"].names).to_pylist()
    for row, status in zip(rows, ["no_face", "no_face", "decode_error"], strict=False):
        row["status"] = status
    output.store.put(f"{PARTITION.folder('frames')}/a.parquet", encode(rows_of("frames", rows)))
    (result,) = evaluate_output(output.store)
    said = "3 of 24 frames show no usable face and are not judged (decode_error 1, no_face 2)."
    assert said in evaluation_text([result])
    assert said in page(output)["verdict.html"].decode()


def test_the_query_of_the_page_takes_chance_from_the_frames_that_have_a_mu():
    (query,) = [query for query in _queries(SimpleNamespace(key={"dataset": "d"})) if "by hand" in query.title]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE detections AS SELECT * FROM (VALUES ('d', 'AU01', TRUE, 0.5, 0.25), "
            "('d', 'AU01', TRUE, NULL, 0.75)) AS t(dataset, target, active, mu, region_share)"
        )
        assert [float(cell) for cell in connection.execute(query.sql).fetchone()[1:]] == [0.5, 1, 0.25]
