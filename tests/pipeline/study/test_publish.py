from dataclasses import replace
from types import SimpleNamespace

from fer_batch.config.study import Study, StudyConfig
from fer_batch.pipeline.study.cells import Lost
from fer_batch.pipeline.study.comparison import COMPARISONS
from fer_batch.pipeline.study.publish import publish
from fer_batch.pipeline.study.work import StudyWork, Training
from fer_batch.storage.store import Store


def work(tmp_path, compare):
    config = StudyConfig(name="s", output=str(tmp_path), trainings={"base": {}}, compare=compare)
    return StudyWork(Store(str(tmp_path)), Study(config, ()), (), ())


def test_a_comparison_that_cannot_be_made_leaves_the_others_and_says_why(tmp_path):
    made = publish(work(tmp_path, {"faithfulness": {"segments": "stars"}, "fold_table": {}}))
    assert [one.title for one in made.lost] == ["faithfulness"]
    assert "unknown value 'stars'; known: grid, superpixels" in made.lost[0].reason
    folder = tmp_path / "report" / "studies" / "s"
    assert {path.name for path in folder.glob("*.html")} == {"index.html", "fold-table.html"}
    assert "known: grid, superpixels" in (folder / "index.html").read_text()


def test_what_was_lost_before_is_on_the_page_and_not_lost_twice(tmp_path):
    lost = [Lost("panel", "no stills there"), Lost("net (seed=1)", "no crops", {"seed": 1})]
    made = publish(work(tmp_path, {"panel": {}, "fold_table": {}}), lost)
    assert made.lost == ()
    page = (tmp_path / "report" / "studies" / "s" / "index.html").read_text()
    assert "no stills there" in page and "net (seed=1) could not be done" in page


def test_a_page_that_is_current_is_left_and_one_that_is_gone_or_of_before_is_made_again(tmp_path, monkeypatch):
    asked = work(tmp_path, {"fold_table": {}})
    publish(asked)
    page = tmp_path / "report" / "studies" / "s" / "fold-table.html"
    page.write_text("marked")
    publish(asked)
    assert page.read_text() == "marked"
    page.unlink()
    publish(asked)
    assert "How well each fold was learned" in page.read_text()
    page.write_text("marked")
    monkeypatch.setitem(COMPARISONS._entries, "fold_table", replace(COMPARISONS["fold_table"], version=99))
    publish(asked)
    assert "How well each fold was learned" in page.read_text()


def test_a_page_follows_what_its_file_of_people_says(tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("subject_id,sex\np1,f\n")
    (tmp_path / "out" / "tables").mkdir(parents=True)
    asked = work(tmp_path / "out", {"heatmap_differences": {"people": str(people)}})
    publish(asked)
    page = tmp_path / "out" / "report" / "studies" / "s" / "heatmap-differences.html"
    page.write_text("marked")
    publish(asked)
    assert page.read_text() == "marked"
    people.write_text("subject_id,sex\np1,m\n")
    publish(asked)
    assert page.read_text() != "marked"


def test_every_page_says_that_epochs_were_chosen_by_the_test_part(tmp_path):
    asked = work(tmp_path, {"runtime": {}})
    trainings = [
        Training({"seed": seed}, SimpleNamespace(name="net", recipe=SimpleNamespace(selection=selection)),
                 SimpleNamespace(model=f"net-{seed}"), ())
        for seed, selection in enumerate(("best_test", "last"))
    ]  # fmt: skip
    publish(replace(asked, trainings=tuple(trainings)))
    folder = tmp_path / "report" / "studies" / "s"
    for page in ("index.html", "runtime.html"):
        assert "Net (seed=0): epochs are chosen by the test part (selection: best_test)" in (folder / page).read_text()
    publish(replace(work(tmp_path / "b", {"runtime": {}}), trainings=(trainings[1],)))
    assert "chosen by" not in (tmp_path / "b" / "report" / "studies" / "s" / "runtime.html").read_text()


def test_the_people_of_grids_are_a_number_and_no_file(tmp_path):
    made = publish(work(tmp_path, {"grids": {"people": 4}}))
    assert not any("file of people" in one.reason for one in made.lost)
