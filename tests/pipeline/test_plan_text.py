"""What a run says before it starts."""

from fer_batch.config import build
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.plan_text import announce, say_plan
from fer_batch.storage.store import Store


def test_inputs_that_may_not_be_read_are_said(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(b"x")
    (tmp_path / "in" / "m.csv").write_text("path\n1.jpg\n../../etc/passwd\n/secret.jpg\n")
    source = {"format": "manifest", "uri": str(tmp_path / "in" / "m.csv")}
    job = {"name": "d", "source": source, "output": str(tmp_path / "out"), "model": {"checkpoint": "demo"}}
    config = build({**job, "faces": {"detector": "none"}}, "job")
    plans = make_plans([config], Store(config.output))
    assert plans[0].to_do == 3, "a refused input is one to do: it ends as a row"
    for saying in (say_plan, announce):
        saying(config, plans)
        said = capsys.readouterr().err
        assert "2 of 3 inputs are not read, such as: refused: " in said and "source.allow" in said
