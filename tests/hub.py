"""A model hub on loopback, as far as a download needs one: listings, pinned files, and a second host they come from."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".gguf", ".bin")
BLOCK = 64 * 1024


@dataclass
class Hub:
    """What it holds and how it fails. ``asked`` notes (host, method, path, range, authorization)."""

    repository: str = "org/model"
    commit: str = COMMIT
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    corrupt: dict[str, int] = field(default_factory=dict[str, int])
    """File -> how often it still arrives with a byte turned."""
    cut: dict[str, int] = field(default_factory=dict[str, int])
    """File -> bytes after which the connection ends, once."""
    failing: list[int] = field(default_factory=list[int])
    """Statuses of the next answers of the hub itself."""
    unchecked: set[str] = field(default_factory=set[str])
    """Files whose checksum it does not know."""
    pause_s: float = 0.0
    """Rest after each 64 KiB."""
    whole_only: bool = False
    """Whether it knows no ranges."""
    asked: list[tuple[str, str, str, str | None, str | None]] = field(
        default_factory=list[tuple[str, str, str, str | None, str | None]]
    )
    sent: dict[str, int] = field(default_factory=dict[str, int])
    """File -> bytes that were sent of it."""
    address: str = ""
    elsewhere: str = ""

    def listing(self) -> bytes:
        """The answer about one commit, blobs included."""
        siblings = []
        for name, content in self.files.items():
            row: dict[str, object] = {"rfilename": name, "size": len(content)}
            if name not in self.unchecked:
                row["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324, as git does
                if name.endswith(LARGE):
                    row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            siblings.append(row)
        return json.dumps({"id": self.repository, "sha": self.commit, "siblings": siblings}).encode()

    def requests(self, name: str) -> list[tuple[str, str | None]]:
        """(range, authorization) of each time that bytes of a file were asked of the host that has them."""
        host = "elsewhere" if name.endswith(LARGE) else "hub"
        return [(r or "", a) for h, m, p, r, a in self.asked if h == host and m == "GET" and p.endswith("/" + name)]


def _handler(hub: Hub, host: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _note(self) -> str:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((host, self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
            return path

        def _plain(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self._note()
            if host == "hub" and hub.failing:
                self._plain(hub.failing.pop(0))
            elif path.startswith("/api/models/"):
                self._plain(200, hub.listing())
            elif (name := path.partition(f"/{hub.commit}/")[2]) not in hub.files:
                self._plain(404)
            elif host == "hub" and name.endswith(LARGE):
                content = hub.files[name]
                linked = {"Location": f"{hub.elsewhere}{path}", "X-Linked-Size": str(len(content))}
                if name not in hub.unchecked:
                    linked["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
                self._plain(302, headers=linked)
            elif host != "hub" and self.command == "HEAD":
                self._plain(403)
            else:
                self._send(name)

        def _send(self, name: str) -> None:
            content = bytearray(hub.files[name])
            if hub.corrupt.get(name, 0) > 0:
                hub.corrupt[name] -= 1
                content[len(content) // 2] ^= 1
            asked = None if hub.whole_only else self.headers.get("Range")
            start = int((asked or "bytes=0-").removeprefix("bytes=").split("-")[0])
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = hub.cut.pop(name, len(content))
            for at in range(start, min(end, len(content)), BLOCK):
                self.wfile.write(content[at : min(at + BLOCK, end)])
                hub.sent[name] = hub.sent.get(name, 0) + min(BLOCK, end - at)
                time.sleep(hub.pause_s)
            if end < len(content):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                """Whoever asked was killed: that is what the tests do."""

    return Handler


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Two hosts on loopback: the hub, and the one that it sends downloads of large files to."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, host)) for host in ("hub", "elsewhere")]
    hub.address, hub.elsewhere = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
