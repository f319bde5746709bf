"""A proxy in front of an S3 server that does what stores do on bad days; what passes is real S3 over real HTTP."""

from __future__ import annotations

import http.client
import random
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass
class Faults:
    """What goes wrong; nothing by default.

    Attributes
    ----------
    unavailable
        Share of requests that are answered with 503 SlowDown, without reaching the store.
    cut
        Share of connections that are cut: every second one before the request reaches the store, the others in the
        middle of the answer, when the store has done what was asked.
    slow, seconds
        Share of answers that come late, and how late.
    lag
        Seconds after which a new object appears in listings.
    denied
        Whether every request that changes something is refused with 403.
    """

    unavailable: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    seconds: float = 1.0
    lag: float = 0.0
    denied: bool = False


@dataclass
class Books:
    """What the proxy remembers: dice, when objects were made, and how often what went wrong."""

    dice: random.Random
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: dict[str, float] = field(default_factory=dict)  # by bucket/key
    counts: Counter[str] = field(default_factory=Counter)

    def roll(self, share: float, name: str) -> bool:
        """Whether a fault happens; counted."""
        with self.lock:
            happens = share > 0 and self.dice.random() < share
            self.counts[name] += happens
            return happens


class Proxy:
    """A proxy on a port of its own.

    Parameters
    ----------
    host, port
        Of the store.
    seed
        Of the dice.
    """

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self.faults, self.books = Faults(), Books(random.Random(seed))

        class Handler(_Handler):
            proxy, store = self, (host, port)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    store: tuple[str, int]

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what fails."""

    def handle_any(self) -> None:
        faults, books = self.proxy.faults, self.proxy.books
        body = self._body()
        books.roll(1.0, "requests")
        if faults.denied and self.command in ("PUT", "POST", "DELETE"):
            return self._answer(403, {}, DENIED)
        if books.roll(faults.unavailable, "unavailable"):
            return self._answer(503, {}, SLOW_DOWN)
        cut = books.roll(faults.cut, "cut")
        if cut and books.roll(0.5, "cut before"):
            return self._cut()
        if books.roll(faults.slow, "slow"):
            time.sleep(faults.seconds)
        status, headers, content = self._forward(body)
        if self.command in ("PUT", "POST") and status == 200:
            with books.lock:
                books.made.setdefault(unquote(urlsplit(self.path).path).lstrip("/"), time.monotonic())
        if faults.lag and "list-type=2" in self.path and status == 200:
            content = without_new(content, self.path, books.made, time.monotonic() - faults.lag)
        return self._answer(status, headers, content, cut)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.store, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def _answer(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value  # of what GET would bring
            elif name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if cut:
            self.wfile.write(content[: len(content) // 2])
            return self._cut()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def without_new(content: bytes, path: str, made: dict[str, float], before: float) -> bytes:
    """A listing as it was some time ago: without objects that were made since.

    Parameters
    ----------
    content
        The answer of the store.
    path
        Of the request.
    made
        When each object was made, by bucket and key.
    before
        Since when.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root, bucket = ElementTree.fromstring(content), urlsplit(path).path.strip("/")
    coded = "url" in parse_qs(urlsplit(path).query).get("encoding-type", [])
    n_gone = 0
    for entry in list(root):
        name = entry.findtext(f"{{{NAMESPACE}}}Key") or entry.findtext(f"{{{NAMESPACE}}}Prefix") or ""
        if not name or not re.search("Contents$|CommonPrefixes$", entry.tag):
            continue
        full = f"{bucket}/{unquote(name) if coded else name}"
        times = [at for key, at in made.items() if key == full or (full.endswith("/") and key.startswith(full))]
        if times and min(times) > before:
            root.remove(entry)
            n_gone += 1
    count = root.find(f"{{{NAMESPACE}}}KeyCount")
    if count is not None:
        count.text = str(int(count.text or 0) - n_gone)
    return ElementTree.tostring(root, xml_declaration=True, encoding="UTF-8")
