import json

import duckdb
import pyarrow as pa
import pytest

from fer_batch.pipeline.partition.people_columns import manifests_of, people_view, read_people
from fer_batch.types import InputError

TEXT = "path,who,sex,age,x0\na.png,1,f,30,1.5\nb.png,1,f,,2.5\nc.png,2,m,41,3.5\nd.png,,m,9,4.5\n"


@pytest.fixture
def people(tmp_path):
    (tmp_path / "people.csv").write_text(TEXT)
    return str(tmp_path / "people.csv")


def view(tables, taken=()):
    connection = duckdb.connect()
    names = people_view(connection, tables, set(taken))
    return names, sorted(connection.execute("SELECT * FROM people").fetchall())


def test_a_column_that_says_one_thing_of_each_person_is_one_to_ask_for(people):
    assert view([read_people(people, "who")]) == (["sex", "age"], [("1", "f", 30), ("2", "m", 41)])
    assert view([read_people(people, "who")], {"sex"})[0] == ["age"]
    assert view([]) == ([], [])


def test_a_number_that_names_a_person_keeps_its_zeros(tmp_path):
    (tmp_path / "people.csv").write_text("subject_id,sex\n001,f\n002,m\n")
    assert view([read_people(str(tmp_path / "people.csv"))])[1] == [("001", "f"), ("002", "m")]


def test_rows_that_name_nobody_are_not_one_person(tmp_path):
    (tmp_path / "people.csv").write_text("subject_id,sex\nanna,f\n,m\n,m\n")
    assert view([read_people(str(tmp_path / "people.csv"))])[1] == [("anna", "f")]


def test_people_of_several_manifests_are_taken_together(people):
    other = pa.table({"subject_id": ["3"], "site": ["north"], "age": [50]})
    names, rows = view([read_people(people, "who"), other])
    assert set(names) == {"sex", "age", "site"} and ("3" in {row[0] for row in rows}) and len(rows) == 3


def test_manifests_whose_columns_have_other_types_or_spellings_are_taken_together(people):
    other = pa.table({"subject_id": ["3"], "Age": ["30-39"]})
    names, rows = view([read_people(people, "who").select(["subject_id", "age"]), other])
    assert (names, rows) == (["age"], [("1", "30"), ("2", "41"), ("3", "30-39")])


def test_a_column_whose_name_is_taken_in_other_letters_is_left_out():
    assert view([pa.table({"subject_id": ["1"], "Emotion": ["fear"]})], {"emotion"}) == ([], [("1",)])


def test_the_column_that_names_people_goes_before_another_of_its_later_name(tmp_path):
    (tmp_path / "people.csv").write_text("subject_id,who\n1,anna\n")
    assert read_people(str(tmp_path / "people.csv"), "who").to_pydict() == {"subject_id": ["anna"]}


def test_manifests_are_those_that_runs_read_and_that_are_still_there(people):
    connection = duckdb.connect()
    gone = {"source": {"format": "manifest", "uri": f"{people}.gone"}}
    there = {"source": {"format": "manifest", "uri": people, "columns": {"subject_id": "who"}}}
    configs = [json.dumps(one) for one in (gone, there, there, {"source": {"format": "jaffe", "uri": people}})]
    connection.register("runs", pa.table({"config": [*configs, None]}))
    (found,) = manifests_of(connection)
    assert found["subject_id"].to_pylist() == ["1", "1", "2", None]


def test_people_of_a_training_are_called_as_the_training_calls_them(tmp_path, people):
    (tmp_path / "full.csv").write_text("subject_id,site\nmanifest:7,north\nmmi:8,south\n,west\n")
    named = {"format": "manifest", "uri": people, "columns": {"subject_id": "who"}, "dataset": "ck"}
    full = {"format": "manifest", "uri": str(tmp_path / "full.csv"), "columns": {}}
    sources = [
        {**named, "subject_space": None},
        {**full, "dataset": "mmi", "subject_space": None},
        {**full, "dataset": "b", "subject_space": "lab"},
        {"format": "jaffe", "uri": people, "dataset": "jaffe"},
        {"format": "videos", "uri": "", "posed": {"subjects": 2}, "dataset": "posed"},
    ]
    connection = duckdb.connect()
    connection.register("runs", pa.table({"config": [json.dumps({"sources": sources, "source": None})]}))
    found = [one["subject_id"].to_pylist() for one in manifests_of(connection)]
    assert sorted(found, key=str) == sorted(
        [
            ["ck:1", "ck:1", "ck:2", None],
            ["manifest:7", "mmi:8", None],  # what has a prefix keeps it
            ["lab:7", "lab:mmi:8", None],
        ],
        key=str,
    )
    assert set(view(list(manifests_of(connection)))[0]) == {"sex", "age", "site"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,person\na,b\n", "needs a column 'subject_id' that names the person"),
        ("subject_id,age,Age\na,1,2\n", "has more than one column of the name 'age'"),
        ("", "is no readable CSV or Parquet file of people"),
        (None, "is no readable CSV or Parquet file of people"),
    ],
)
def test_a_file_that_names_nobody_is_one_sentence(tmp_path, text, words):
    if text is not None:
        (tmp_path / "people.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_people(str(tmp_path / "people.csv"))
