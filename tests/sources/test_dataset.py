"""Every dataset is one record: what reads it finds all it needs there, and what is forgotten in it is refused."""

import dataclasses
import sys
import types
from pathlib import Path

import pytest
import yaml

from fer_batch.sources.dataset import DATASETS, Dataset, TruthForm, register, register_form, truth_form
from fer_batch.sources.datasets import import_adapters
from fer_batch.sources.labels import CODES, SCALES, ExpressionCodes, occurrence_of
from fer_batch.sources.listing import FORMATS, list_source
from fer_batch.sources.recognise import recognise
from fer_batch.sources.tree import Tree
from fer_batch.sources.truth import read_truth

REPOSITORY = Path(__file__).parents[2]
DOCS = (REPOSITORY / "docs" / "datasets.md").read_text()
FIELDS = [field.name for field in dataclasses.fields(Dataset)]


def docs_row(record):
    """Its line of the table of datasets in docs/datasets.md."""
    return f"| {record.title} | `{record.name}` | {record.row_per} | {record.labels} | {record.face} |"


def option_rows(record):
    """Its lines of the table of options there."""
    return [f"| `{record.name}` | {text} |" for text in record.options.values()]


def fields(record):
    return {name: getattr(record, name) for name in FIELDS}


@pytest.mark.parametrize("missing", FIELDS)
def test_a_record_without_one_of_its_fields_is_refused(missing):
    known = fields(DATASETS["ck_plus"])
    del known[missing]
    with pytest.raises(TypeError, match=f"argument: '{missing}'"):
        Dataset(**known)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {}}, "its listing has the options camera, its record explains none"),
        ({"options": {"camera": "x", "side": "y"}}, "explains camera, side"),
        ({"marks": (r"(^|/)ActionUnit_Labels$",)}, "are in lower case, got '.*ActionUnit_Labels"),
        ({"face": ""}, "expected a text for face of docs/datasets.md"),
    ],
)
def test_a_record_that_contradicts_its_adapter_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Dataset(**{**fields(DATASETS["disfa"]), **change})


def test_a_name_that_is_taken_is_refused():
    record = DATASETS["ck_plus"]
    with pytest.raises(ValueError, match="'ck_plus' is already registered"):
        register(Dataset(**fields(record)))
    other = TruthForm(name="ck_plus", annotations=None, landmarks=None, n_label_files=len)
    with pytest.raises(ValueError, match="form of ground truth 'ck_plus' is already registered"):
        register_form(other)
    assert truth_form("ck_plus") is record.truth
    with pytest.raises(ValueError, match=r"unknown form of ground truth 'ck_plsu'; did you mean 'ck_plus'\?"):
        truth_form("ck_plsu")


def test_a_form_without_files_says_so():
    with pytest.raises(ValueError, match="'affectnet' has no files of annotations"):
        truth_form("affectnet").read_annotations(["a.csv"], None)
    with pytest.raises(ValueError, match="'disfa_plus' has no files of landmarks"):
        truth_form("disfa_plus").read_landmarks("a.csv", None)


ADAPTER = '''
from fer_batch.sources.dataset import Dataset, TruthForm, register
from fer_batch.sources.labels import ExpressionCodes
from fer_batch.sources.label_files import annotation_table

def list_it(tree, *, half=False):
    """Videos with one label each."""
    for entry in tree.walk("Clips", (".mp4",)):
        yield tree.file(entry.path, "video", entry, truth="toy", annotation_uris=(tree.url(entry.path),))

CODES = ExpressionCodes("toy", 1, ("fear", "anger"))
TRUTH = TruthForm(
    name="toy",
    annotations=lambda uris, frames: annotation_table([(0, CODES.expression(2), None, True, "2")]),
    landmarks=None,
    n_label_files=lambda ref: 1,
)
TOY = register(
    Dataset(
        name="toy", title="Toy", row_per="video", labels="expression", face="-", listing=list_it,
        options={"half": "`half: true`"}, marks=(r"(^|/)clips$",), tables=(), truth=TRUTH, codes=CODES,
        scales=("toy_level",), whole=None, job=None, is_cropped=False, not_read=None,
    )
)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that makes a package of one adapter; gives its path and name. What it registers goes afterwards."""
    from fer_batch.sources import dataset

    def make(text):
        (tmp_path / "adapters").mkdir()
        (tmp_path / "adapters" / "toy.py").write_text(text)
        module = types.ModuleType("toy_adapters")
        module.__path__ = [str(tmp_path / "adapters")]
        monkeypatch.setitem(sys.modules, "toy_adapters", module)
        return module.__path__, "toy_adapters"

    yield make
    sys.modules.pop("toy_adapters.toy", None)
    for registry in (DATASETS, CODES, dataset._FORMS, FORMATS._entries):
        registry.pop("toy", None)
    SCALES.discard("toy_level")


def test_one_module_is_a_whole_dataset(package, tmp_path):
    assert import_adapters(*package(ADAPTER)) == ["toy_adapters.toy"]
    (tmp_path / "in" / "Clips").mkdir(parents=True)
    (tmp_path / "in" / "Clips" / "a.mp4").touch()
    assert recognise(Tree(str(tmp_path / "in"))) == ["toy"]
    (ref,) = list_source("toy", str(tmp_path / "in"), (), {"half": True})
    assert read_truth(ref).emotion == "anger"
    assert CODES["toy"].expression(1) == "fear" and occurrence_of("toy_level", 3.0) == (3.0, None)


def test_a_module_that_registers_nothing_is_refused(package):
    with pytest.raises(ImportError, match=r"toy_adapters\.toy registers no dataset"):
        import_adapters(*package("from fer_batch.sources.datasets.affectnet import AFFECTNET\n"))


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_docs_say_what_the_record_says(name):
    record, lines = DATASETS[name], DOCS.splitlines()
    assert [line for line in [docs_row(record), *option_rows(record)] if line not in lines] == []


def test_docs_name_no_dataset_that_has_no_record():
    first = DOCS.index("| dataset | `source.format`")
    rows = DOCS[first : DOCS.index("\n\n", first)].splitlines()[2:-1]  # the last is of the general formats
    assert sorted(rows) == sorted(docs_row(record) for record in DATASETS.values())


@pytest.mark.parametrize("name", sorted(name for name, record in DATASETS.items() if record.job))
def test_a_job_is_there_and_names_the_format_of_the_record(name):
    job = DATASETS[name].job
    written = yaml.safe_load((REPOSITORY / "jobs" / f"{job.name}.yaml").read_text())
    assert (written["kind"], written["source"]["format"]) == ("run", job.format)
    assert job.format in DATASETS


def test_codes_are_of_expressions():
    with pytest.raises(ValueError, match="codes of toy: expected names of expressions, got 'happy'"):
        ExpressionCodes("toy", 0, ("neutral", "happy"))
