"""The download scripts, run by a real shell against a hub on loopback: once, resumable, never half-written."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelberth import parse
from modelberth.engines import Fetch
from modelberth.engines.base import HUB_TOKEN_MOUNT, WEIGHTS_MOUNT
from modelberth.plan import plan
from modelberth.spec import StackSpec, Target

CONTENT = b"GGUF" + bytes(range(256)) * 400
TOKEN = "hf_planted_in_a_file"


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves one file, in part when asked, and notes what it was asked for."""

    asked: list[tuple[str, str | None, str | None]]
    broken = False

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.broken:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    handler = type("OneHub", (Hub,), {"asked": [], "broken": False})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def fetch_of(model: str, accelerator: str) -> Fetch:
    spec = parse.service(
        {
            "model": model,
            "context": 2048,
            "concurrency": 1,
            "accelerators": [accelerator],
            "token": {"secret": "hub"},
        }
    )
    launch = plan("svc", StackSpec(target=Target(kind="existing"), services={"svc": spec})).launch
    (only,) = launch.fetch
    return only


def run(fetch: Fetch, endpoint: str, volume: Path, secrets: Path) -> subprocess.CompletedProcess[str]:
    """The script as the container would run it, its mounts moved to a test's folders."""
    moved = fetch.script.replace(WEIGHTS_MOUNT, str(volume)).replace("/tmp/header", str(secrets / "header"))
    env = {name: value.replace(HUB_TOKEN_MOUNT, str(secrets)) for name, value in fetch.env}
    env |= {"PATH": os.environ["PATH"], "HF_ENDPOINT": endpoint, "HOME": str(secrets)}
    done = subprocess.run(
        ["sh", "-c", moved.replace("--retry 8 --retry-all-errors", "")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    volume, secrets = tmp_path / "volume", tmp_path / "secrets"
    volume.mkdir()
    secrets.mkdir()
    (secrets / "token").write_text(TOKEN)
    return volume, secrets


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is part of the image, not of this machine")


@needs_curl
def test_a_file_is_downloaded_once_with_the_token_from_its_file(
    hub: tuple[str, type[Hub]], folders: tuple[Path, Path]
) -> None:
    fetch = fetch_of("Qwen/Qwen2.5-7B-Instruct", "cpu")
    for _ in range(2):
        done = run(fetch, hub[0], *folders)
        assert done.returncode == 0, done.stderr
    (file,) = folders[0].rglob("*.gguf")
    assert file.read_bytes() == CONTENT
    assert (file.parent / ".complete").exists()
    assert len(hub[1].asked) == 1
    path, _, authorization = hub[1].asked[0]
    assert "/resolve/8911e8a47f92bac19d6f5c64a2e2095bd2f7d031/" in path
    assert authorization == f"Bearer {TOKEN}"


@needs_curl
def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    hub: tuple[str, type[Hub]], folders: tuple[Path, Path]
) -> None:
    fetch = fetch_of("Qwen/Qwen2.5-7B-Instruct", "cpu")
    env = dict(fetch.env)
    partial = folders[0] / f"{env['FOLDER']}.incomplete" / env["FILE"]
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1000])
    assert run(fetch, hub[0], *folders).returncode == 0
    assert hub[1].asked[0][1] == "bytes=1000-"
    (file,) = folders[0].rglob("*.gguf")
    assert file.read_bytes() == CONTENT


@needs_curl
def test_a_failed_download_leaves_no_folder_that_could_be_served(
    hub: tuple[str, type[Hub]], folders: tuple[Path, Path]
) -> None:
    hub[1].broken = True
    fetch = fetch_of("Qwen/Qwen2.5-7B-Instruct", "cpu")
    assert run(fetch, hub[0], *folders).returncode != 0
    assert not (folders[0] / dict(fetch.env)["FOLDER"]).exists()


def test_the_snapshot_script_is_valid_shell_and_valid_python() -> None:
    script = fetch_of("meta-llama/Llama-3.1-8B-Instruct", "nvidia-l4").script
    subprocess.run(["sh", "-n", "-c", script], check=True)
    compile(script.split("python3 -c '")[1].split("'\n")[0], "snapshot", "exec")
