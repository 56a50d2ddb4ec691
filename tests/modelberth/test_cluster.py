"""Whatever answers in the place of an API server ends in one refusal with the way out, never in a trace."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.cluster import look
from modelberth.findings import Finding
from modelberth.preflight import Node, Questions, Snapshot
from tests.modelberth.samples import refusal

ASKED = Questions("models", (), (("v1", "Secret"),), ("v1",))
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
SERVED: dict[str, Any] = {
    "/version": {"minor": "34"},
    "/api/v1": {"resources": [{"kind": "Secret", "name": "secrets"}]},
    "/api/v1/nodes": {"items": []},
    "/apis/storage.k8s.io/v1/storageclasses": {"items": []},
    REVIEW: {"status": {"allowed": True}},
}


@contextmanager
def server(answers: Mapping[str, Any]) -> Iterator[str]:
    """An HTTP server: a path answers an object, a text as it is, or a status; everything else is absent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = answers.get(self.path, 404)
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            if not isinstance(answer, int):
                self.wfile.write((answer if isinstance(answer, str) else json.dumps(answer)).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}"
        finally:
            made.shutdown()


def written_kubeconfig(folder: Path, url: str) -> Path:
    """A kubeconfig whose one context, c, reaches this address."""
    path = folder / "kubeconfig"
    named = {"clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}]}
    contexts = [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
    path.write_text(yaml.safe_dump({**named, "contexts": contexts, "current-context": "c", "kind": "Config"}))
    return path


def seen(folder: Path, changes: Mapping[str, Any]) -> Snapshot:
    with server(SERVED | dict(changes)) as url:
        return look(ASKED, written_kubeconfig(folder, url), None)


def refused(folder: Path, changes: Mapping[str, Any]) -> Finding:
    (finding,) = refusal(lambda: seen(folder, changes))
    assert finding.path == "target.kubeconfig"
    assert "target.preflight: false" in finding.remedy
    return finding


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"/version": 403}, "does not let these credentials ask /version"),
        ({"/version": 404}, "has no /version: it is not the API server of a cluster"),
        ({"/version": "<html>log in: sk-secret</html>"}, "/version answers no JSON"),
        ({"/version": [1, 2]}, "/version answers JSON that is no object"),
        ({"/api/v1/nodes": 404}, "has no /api/v1/nodes"),
        ({"/api/v1/nodes": {"items": ["a"]}}, "answers something else than an API server does"),
        ({"/api/v1": {"resources": [{}]}}, "answers something else than an API server does"),
        ({REVIEW: 403}, f"does not let these credentials ask {REVIEW}"),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_refusal(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    finding = refused(tmp_path, changes)
    assert said in finding.message
    assert "secret" not in str(finding)


def test_a_node_that_tells_little_is_a_node_without_gpus(tmp_path: Path) -> None:
    sparse = {"metadata": {"name": "bare"}, "status": READY}
    odd = {"metadata": {"name": "odd"}, "status": READY | {"allocatable": {"nvidia.com/gpu": "many"}}}
    found = seen(tmp_path, {"/api/v1/nodes": {"items": [sparse, odd, {}, {"status": {"conditions": [{}]}}]}})
    assert found.nodes == (Node("bare", {}, 0), Node("odd", {}, 0))


def test_a_review_without_a_status_grants_nothing(tmp_path: Path) -> None:
    assert seen(tmp_path, {REVIEW: {}}).refused == (("create", "Secret"), ("patch", "Secret"))
    assert seen(tmp_path, {}).refused == ()


def test_a_kubeconfig_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    (finding,) = refusal(lambda: look(ASKED, tmp_path / "none", None))
    assert finding.message == f"{tmp_path / 'none'} is not there"
