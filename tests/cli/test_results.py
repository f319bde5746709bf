"""Commands on what an output holds."""

from fer_batch import cli
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table


def test_commands_that_draw_or_export_say_that_an_output_is_a_training(tmp_path, capsys):
    store, partition = Store(str(tmp_path / "trained")), Partition("d", "m-1", "none")
    row = {"sequence_id": "a.mp4", "kind": "video", "status": "done", "run_id": "r"}
    store.put(f"{partition.folder('sequences')}/s.parquet", encode(rows_of("sequences", [row])))
    store.put("_train/1/targets.json", b"[]")
    for command in (["report"], ["retry"], ["export", "--to", "openface-csv", str(tmp_path / "csv")]):
        assert cli.main([command[0], store.uri, *command[1:]]) == 1
        assert "holds a training" in capsys.readouterr().err
    assert not (tmp_path / "csv").exists()


def test_a_command_that_finds_something_wrong_ends_with_its_exit_code(tmp_path):
    store, partition = Store(str(tmp_path / "out")), Partition("d", "m-1", "e-1")
    put_table(store, f"{partition.folder('heatmaps')}/heatmaps.parquet", rows_of("heatmaps", []))
    assert cli.main(["verify", store.uri]) == 0
    store.delete(f"{partition.folder('heatmaps')}/heatmaps.parquet")
    assert cli.main(["verify", store.uri]) == 1
