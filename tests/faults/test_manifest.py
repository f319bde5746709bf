"""A manifest that somebody else wrote names files outside of its folder: none is read; the others are as without."""

import http.server
import shutil
import threading

import pytest

from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

from .compare import rows_of
from .conftest import N_CLIPS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

OUTSIDE = ("../secret.mp4", "{parent}/secret.mp4", "file://{parent}/secret.mp4", "link.mp4", "{url}/x.mp4")


@pytest.fixture
def server():
    """A server, and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}", asked
    found.shutdown()
    found.server_close()


def test_a_manifest_names_what_lies_outside_of_its_folder(make_run, assert_same, clips, server, tmp_path):
    folder, (url, asked) = tmp_path / "lists", server
    shutil.copytree(clips, folder)
    own = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.mp4"))]
    shutil.copy(folder / own[0], tmp_path / "secret.mp4")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    outside = [path.format(parent=tmp_path, url=url) for path in OUTSIDE]
    found = {}
    for name, paths in {"own": own, "all": own + outside}.items():
        (folder / f"{name}.csv").write_text("\n".join(["path", *paths]) + "\n")
        source = {"format": "manifest", "uri": str(folder / f"{name}.csv")}
        run = make_run(tmp_path / name, source=source, faces={"detector": "none"})
        outcome = run.done(code=3 if name == "all" else 0)
        assert outcome["done"] == N_CLIPS
        found[name] = rows_of(run.output, tables=[table for table in SCHEMAS if table != "sequences"])
    rows = read(Store(str(tmp_path / "all")), "sequences").to_pylist()
    refused = [row for row in rows if row["status"] == "failed"]
    assert len(refused) == len(outside) and all("refused: " in row["reason"] for row in refused), refused
    assert asked == []
    assert_same(found["own"], found["all"])
