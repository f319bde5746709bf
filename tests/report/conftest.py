"""A headless Chromium on a pipe, without a package between."""

import contextlib
import importlib.util
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--remote-debugging-pipe",
    "--window-size=1300,1000",
)  # fmt: skip
PATIENCE_S = 30.0


class Browser:
    """One tab, spoken to in the DevTools protocol; `complaints` holds what its console said."""

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()

        def connect() -> None:  # the protocol is on descriptors 3 and 4
            high = [os.dup2(fd, target) for fd, target in ((commands, 103), (answers, 104))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self.complaints: list[str] = []
        self._loaded = 0
        tab = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **parameters) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"Chromium did not answer within {PATIENCE_S:g} s"
            piece = os.read(self._in, 1 << 20)
            assert piece, "Chromium ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(message)
        self._heed(event)
        return event

    def _heed(self, event: dict) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded") or (
            method == "Runtime.consoleAPICalled" and said.get("type") in ("error", "warning", "assert")
        ):
            self.complaints.append(json.dumps(said)[:500])

    def open(self, url: str) -> None:
        """Load a page to its end."""
        before = self._loaded
        self._ask("Page.navigate", url="about:blank")  # else a change of the fragment alone loads nothing
        while self._loaded == before:
            self._next()
        before = self._loaded
        self._ask("Page.navigate", url=url)
        while self._loaded == before:
            self._next()

    def click(self, selector: str) -> None:
        """Follow a link to the page behind it."""
        before = self._loaded
        self.value(f"document.querySelector({json.dumps(selector)}).click()")
        while self._loaded == before:
            self._next()

    def value(self, expression: str):
        """What an expression gives in the page."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until it is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            said = "" if time.monotonic() < deadline else self.value("document.body.innerText")[:2000]
            assert time.monotonic() < deadline, f"never true: {expression}; the page says {said!r}"
            time.sleep(0.03)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(AssertionError, OSError):
            self._session = None
            self._ask("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A Chromium of this machine."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the pages")
    found = Browser(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def report_scale():
    """The benchmark that invents large datasets."""
    path = Path(__file__).parents[2] / "benchmarks" / "report_scale.py"
    spec = importlib.util.spec_from_file_location("report_scale", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["report_scale"] = module
    spec.loader.exec_module(module)
    return module
