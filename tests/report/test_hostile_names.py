"""Names of inputs that somebody else chose: rows, pages, links and SQL of the real report, in Chromium."""

import shutil
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch.output.query import connect
from fer_batch.pipeline.stages import draw_report
from fer_batch.report.text import visible
from fer_batch.storage.store import Store

HOSTILE = [
    "new\nline.mp4",
    'quote\'s "both".mp4',
    "<script>document.title='ran'</script>.mp4",
    "<img src=x onerror=\"document.title='ran'\">.mp4",
    "a/../b.mp4",
    "k=v&w#x?y%2e.mp4",
    "dataset=evil/x.mp4",
    "\U0001f600 smile.mp4",
    "\u202egnp.exe\u202c.mp4",
    "שלום/\u05d0.mp4",
    "Case.mp4",
    "case.mp4",
    unicodedata.normalize("NFC", "é.mp4"),
    unicodedata.normalize("NFD", "é.mp4"),
    "x'; DROP TABLE sequences; --.mp4",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, report_scale):
    """An output whose sequences have these names, with its report; store and folder of the pages."""
    store = Store(str(tmp_path_factory.mktemp("hostile")))
    report_scale.write_tables(store, len(HOSTILE), n_maps=2)
    own = {f"S000/{i:05d}.mp4": name for i, name in enumerate(HOSTILE)}
    for path in sorted(Path(store.root).glob("tables/**/*.parquet")):
        file = pq.ParquetFile(path)
        table = file.read()
        if "sequence_id" in table.column_names:
            names = [own[name] for name in table["sequence_id"].to_pylist()]
            place = table.column_names.index("sequence_id")
            pq.write_table(table.set_column(place, "sequence_id", pa.array(names, table["sequence_id"].type)), path)
    shutil.rmtree(Path(store.root) / "report", ignore_errors=True)
    draw_report(store, card={"demo": False, "targets": list(report_scale.TARGETS)})
    here = report_scale.HERE
    return store, store.path(f"report/{here.dataset}/{here.model}/{here.explain}")


def test_every_row_leads_to_its_own_page_and_nothing_runs(hostile, browser):
    _, pages = hostile
    browser.complaints.clear()
    browser.open(f"file://{pages}/index.html")
    browser.wait(f"document.getElementById('shown').textContent === '{len(HOSTILE)} sequences'")
    rows = "[...document.querySelectorAll('#rows tbody tr')]"
    found = browser.value(f"{rows}.map(row => [row.querySelector('bdi').textContent, row.querySelector('a').href])")
    assert sorted(name for name, _ in found) == sorted(visible(name) for name in HOSTILE)
    assert len({link for _, link in found}) == len(HOSTILE), "twins have pages of their own"
    for name, link in found:
        browser.open(link)
        assert name in browser.value("document.querySelector('h1').textContent"), link
        assert browser.value("document.title") != "ran"
        assert browser.value("document.querySelectorAll('h1 script, h1 img').length") == 0
    assert browser.complaints == []


def test_sql_finds_each_by_its_name(hostile):
    connection = connect(hostile[0])
    for name in HOSTILE:
        quoted = name.replace("'", "''")  # as the page of the sequence writes its query
        for sql, values in (("= ?", [name]), (f"= '{quoted}'", [])):
            found = connection.execute(f"SELECT count(*) FROM sequences WHERE sequence_id {sql}", values).fetchall()
            assert found == [(1,)], name
