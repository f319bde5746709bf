import json

import pytest

from fer_batch.config import build
from fer_batch.pipeline.study.cells import Cell, read_cells, variants, write_cells
from fer_batch.storage.store import Store


def job(output, method="z", chosen="one.parquet", **explain):
    source = {"format": "crops", "uri": "crops", "options": {"chosen": chosen}}
    explain = {"method": method, **explain}
    values = {"name": "posed", "output": output, "source": source, "model": {"checkpoint": "demo"}, "explain": explain}
    return build(values, "test")


def test_a_cell_is_known_by_what_it_explains_and_how(network, tmp_path):
    net = network(head="multilabel")
    key = Cell(net, {}, "z", job(str(tmp_path))).key
    assert Cell(net, {"any": 1}, "other", job("elsewhere")).key == key
    assert Cell(net, {}, "z", job(str(tmp_path), batch_size=3)).key == key
    changes = ({"method": "gradient"}, {"targets": "all"}, {"chosen": "two.parquet"})
    others = [job(str(tmp_path), **change) for change in changes]
    assert len({key, *(Cell(net, {}, "z", other).key for other in others)}) == 4


@pytest.mark.parametrize(
    ("varied", "methods", "names"),
    [
        ([{}, {}], ["z", "lime"], ["z", "lime"]),
        (
            [{"explain.method": "lime", "explain.options.n_samples": n} for n in (10, 20)],
            ["lime", "lime"],
            ["lime (n_samples=10)", "lime (n_samples=20)"],
        ),
        (
            [{"explain": {"method": "z"}}, {"explain": {"method": "z", "targets": "all"}}],
            ["z", "z"],
            ["z", "z (targets=all)"],
        ),
    ],
)
def test_explanations_are_called_by_what_tells_them_apart(varied, methods, names):
    assert variants(varied, methods) == names


def test_the_table_says_where_rows_are_and_why_cells_failed(network, tmp_path):
    class Study:
        class config:
            name = "s"

    net = network(head="multilabel", name="n", fold=3)
    good = Cell(net, {"explain.method": "z"}, "z", job(str(tmp_path)), "done", None, 6.0, 4, 1.5)
    store = Store(str(tmp_path))
    write_cells(store, Study, [good, Cell(net, {}, "lime").failed("no faces")])
    first, second = read_cells(store)
    assert (first["study"], first["network"], first["fold"], first["method"]) == ("s", "n", 3, "z")
    assert (first["seconds_per_image"], first["explain"]) == (1.5, good.partition.explain)
    assert json.loads(first["varied"]) == {"explain.method": "z"}
    assert (second["status"], second["reason"], second["explain"]) == ("failed", "no faces", None)
    with pytest.raises(ValueError, match="has no run"):
        _ = Cell(net, {}, "lime").partition
