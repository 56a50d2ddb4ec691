"""The download scripts, run by a real shell and Python against a hub on loopback: once, checked, never half-written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelberth.decision import Source
from modelberth.engines import Fetch
from modelberth.engines.base import HUB_TOKEN_MOUNT, WEIGHTS_MOUNT, Wishes
from modelberth.engines.fetch import Layout, file_of, gate, snapshot_of, snapshot_script
from modelberth.parts import SecretRef
from tests.hub import COMMIT, Hub, serving
from tests.modelberth.samples import plan_of

TOKEN = "hf_planted_in_a_file"
WEIGHTS = bytes(range(256)) * 4000
REPOSITORY = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "tokenizer.json": b"{}" * 5000,
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[::-1],
    "README.md": b"read me",
    "modeling_own.py": b"import os",
    "pytorch_model.bin": b"pickled",
    "original/consolidated.safetensors": b"once more",
}
WANTED = {"config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
GGUF = {"model-Q4_K_M.gguf": b"GGUF" + WEIGHTS}
LIMIT_S = 60

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is part of the image, not of this machine")


@dataclass
class Place:
    """A hub, and the folders that a container would have mounted."""

    hub: Hub
    volume: Path
    home: Path

    def fetch(self, layout: Layout = "volume", *, pickle: bool = False) -> Fetch:
        """The download that the package writes for what this hub holds."""
        file = next((name for name in self.hub.files if name.endswith(".gguf")), None)
        source = Source(repository=self.hub.repository, file=file, revision=COMMIT, stored_bytes=1)
        wishes = Wishes("chat", token=SecretRef(secret="hub"), hub_endpoint=self.hub.address, allow_pickle=pickle)
        return (file_of if file else snapshot_of)("image", source, wishes, layout=layout)

    def started(self, fetch: Fetch, **env: str) -> subprocess.Popen[str]:
        """The script as its container would run it, mounts moved to folders of the test."""
        given = {name: value.replace(HUB_TOKEN_MOUNT, str(self.home)) for name, value in fetch.env}
        given |= {"PATH": os.environ["PATH"], "HOME": str(self.home), "PAUSE": "0.01", **env}
        return subprocess.Popen(
            ["sh", "-c", fetch.script.replace(WEIGHTS_MOUNT, str(self.volume))],
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, fetch: Fetch | None = None, **env: str) -> tuple[int, str]:
        """Exit status and what was said; the token never is."""
        return ended(self.started(fetch or self.fetch(), **env))

    @property
    def folder(self) -> Path:
        """Where servers look."""
        return self.volume / self.fetch().folder

    @property
    def work(self) -> Path:
        """Where a volume is written before it is served."""
        return self.folder.with_name(self.folder.name + ".incomplete")

    def holds(self, wanted: set[str]) -> None:
        """The finished folder has these files, as the hub has them, and a manifest that says so."""
        manifest = json.loads((self.folder / ".manifest.json").read_text())
        assert (self.folder / ".complete").read_text().strip() == COMMIT
        assert manifest["revision"] == COMMIT
        assert {row["name"]: row["sha256"] for row in manifest["files"]} == {
            name: hashlib.sha256(self.hub.files[name]).hexdigest() for name in wanted
        }
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        assert found == wanted | {".complete", ".manifest.json"}
        for name in wanted:
            assert (self.folder / name).read_bytes() == self.hub.files[name]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said = process.communicate(timeout=LIMIT_S)[0]
    assert TOKEN not in said
    return process.returncode, said


def until(what: str, condition: object) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def place_with(files: Mapping[str, bytes], tmp_path: Path) -> Place:
    (tmp_path / "volume").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    return Place(Hub(files=dict(files)), tmp_path / "volume", tmp_path / "home")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = place_with(REPOSITORY, tmp_path)
    with serving(found.hub):
        yield found


@pytest.fixture
def one_file(tmp_path: Path) -> Iterator[Place]:
    found = place_with(GGUF, tmp_path)
    with serving(found.hub):
        yield found


def test_a_repository_is_downloaded_once_without_what_engines_do_not_read(place: Place) -> None:
    status, said = place.run()
    assert status == 0, said
    place.holds(WANTED)
    assert not place.work.exists()  # renamed, not copied: there was no moment in which it was half there
    asked = len(place.hub.asked)
    status, said = place.run()
    assert (status, "already complete" in said) == (0, True)
    assert len(place.hub.asked) == asked


def test_the_token_goes_to_the_hub_and_to_no_host_that_it_sends_us_to(place: Place) -> None:
    assert place.run()[0] == 0
    told = {(host, authorization) for host, _, _, _, authorization in place.hub.asked}
    assert told == {("hub", f"Bearer {TOKEN}"), ("elsewhere", None)}


def test_a_download_that_is_killed_leaves_nothing_to_serve_and_goes_on_where_it_was(place: Place) -> None:
    place.hub.pause_s = 0.02
    process = place.started(place.fetch())
    until("bytes arrive", lambda: sum(place.hub.sent.values()) > 600_000)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not place.folder.exists()
    held = {path.name: path.stat().st_size for path in place.work.rglob("*.safetensors")}
    assert sum(held.values()) > 0
    place.hub.pause_s = 0
    place.hub.asked.clear()
    status, said = place.run()
    assert status == 0, said
    place.holds(WANTED)
    for name, size in held.items():
        assert [asked for asked, _ in place.hub.requests(name)] == ([f"bytes={size}-"] if size < len(WEIGHTS) else [])


def test_a_pod_that_is_asked_to_stop_stops_at_once(place: Place) -> None:
    place.hub.pause_s = 0.05
    process = place.started(place.fetch())
    until("bytes arrive", lambda: place.hub.sent)
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process)[0] == 143
    assert not place.folder.exists()


def test_a_connection_that_ends_early_is_taken_up_again(place: Place) -> None:
    name = "model-00001-of-00002.safetensors"
    place.hub.cut[name] = 200_000
    assert place.run()[0] == 0
    place.holds(WANTED)
    assert len(place.hub.requests(name)) == 2


def test_a_hub_without_ranges_sends_it_all_again(place: Place) -> None:
    name = "model-00001-of-00002.safetensors"
    place.hub.cut[name], place.hub.whole_only = 200_000, True
    assert place.run()[0] == 0
    place.holds(WANTED)


def test_a_file_that_arrives_damaged_is_fetched_again_and_never_served_when_it_stays_so(place: Place) -> None:
    name = "model-00001-of-00002.safetensors"
    place.hub.corrupt[name] = 1
    assert place.run()[0] == 0
    place.holds(WANTED)
    shutil.rmtree(place.folder)
    place.hub.corrupt[name] = 99
    status, said = place.run()
    assert status == 1
    assert f"{name}: its checksum is not what the hub states" in said
    assert not place.folder.exists()


@pytest.mark.parametrize("name", ["tokenizer.json", "model-00002-of-00002.safetensors"])
def test_a_part_that_was_damaged_on_the_disk_is_noticed(place: Place, name: str) -> None:
    part = place.work / name
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * (len(REPOSITORY[name]) - 5))
    assert place.run()[0] == 0
    place.holds(WANTED)


def test_a_finished_folder_that_lost_bytes_is_fetched_again(place: Place) -> None:
    assert place.run()[0] == 0
    (place.folder / "tokenizer.json").write_bytes(b"{}")
    status, said = place.run()
    assert (status, "tokenizer.json is damaged" in said) == (0, True)
    place.holds(WANTED)


def test_two_downloads_of_one_folder_wait_for_each_other(place: Place) -> None:
    place.hub.pause_s = 0.15
    first = place.started(place.fetch())
    until("bytes arrive", lambda: place.hub.sent)
    second = place.started(place.fetch())
    (one, _), (two, said) = ended(first), ended(second)
    assert (one, two) == (0, 0)
    assert "another download fills this folder" in said
    assert "already complete" in said
    place.holds(WANTED)
    assert all(len(place.hub.requests(name)) == 1 for name in WANTED)


def test_a_hub_that_is_busy_is_asked_again_and_one_that_refuses_is_not(place: Place) -> None:
    place.hub.failing = [503, 429]
    assert place.run()[0] == 0
    shutil.rmtree(place.folder)
    place.hub.asked.clear()
    place.hub.failing = [403] * 9
    status, said = place.run()
    assert status == 1
    assert "the token may not read it: is its licence accepted? (HTTP 403)" in said
    assert len(place.hub.asked) == 1


def test_pickled_weights_are_taken_only_where_that_is_said(place: Place) -> None:
    for name in [name for name in place.hub.files if name.endswith(".safetensors")]:
        del place.hub.files[name]
    status, said = place.run()
    assert status == 1
    assert "run code as they are read (allow_pickle: true takes them)" in said
    assert place.run(place.fetch(pickle=True))[0] == 0
    place.holds({"config.json", "tokenizer.json", "pytorch_model.bin"})


def test_what_nobody_could_check_is_not_fetched(place: Place) -> None:
    place.hub.unchecked = {"tokenizer.json"}
    status, said = place.run()
    assert (status, "tokenizer.json: the hub states no size or no checksum" in said) == (1, True)
    assert not place.hub.sent


def test_another_commit_than_the_pinned_one_is_refused(place: Place) -> None:
    place.hub.commit = COMMIT[::-1]
    status, said = place.run()
    assert (status, f"asked for commit {COMMIT}" in said) == (1, True)


def test_a_name_that_leads_out_of_the_folder_is_refused(place: Place) -> None:
    place.hub.files["../../evil.json"] = b"{}"
    status, said = place.run()
    assert (status, "would leave its folder" in said) == (1, True)


STRICT = """
import builtins, fcntl, os
opened = builtins.open
def strict(file, mode="r", *rest, **more):
    if "a" in mode or "+" in mode:
        raise OSError(95, "a bucket cannot append")
    if "w" in mode and os.path.exists(file):
        raise OSError(1, "a bucket does not overwrite")
    return opened(file, mode, *rest, **more)
builtins.open = strict
def no(*_):
    raise OSError(95, "a bucket cannot do that")
os.rename = os.replace = fcntl.flock = no
"""
"""What Mountpoint for S3 refuses (doc/SEMANTICS.md), put before the script."""


def in_bucket(place: Place) -> Fetch:
    fetch = place.fetch("bucket")
    (place.home / "strict.py").write_text(STRICT)
    quoted = f'python3 -c \'import sys; sys.path.insert(0, "{place.home}"); import strict\n'
    return Fetch(fetch.image, fetch.script.replace("python3 -c '", quoted), fetch.env)


def test_a_bucket_is_filled_without_renaming_appending_or_overwriting(place: Place) -> None:
    place.hub.cut["model-00001-of-00002.safetensors"] = 200_000
    place.hub.corrupt["model-00002-of-00002.safetensors"] = 1
    status, said = place.run(in_bucket(place))
    assert status == 0, said
    place.holds(WANTED)


def test_a_bucket_that_was_half_filled_holds_no_configuration_and_no_marker(place: Place) -> None:
    place.hub.pause_s = 0.02
    process = place.started(in_bucket(place))
    until("one file is there", lambda: place.hub.sent.get("model-00001-of-00002.safetensors", 0) > 600_000)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = {path.name for path in place.folder.rglob("*")}
    assert there
    assert not there & {"config.json", ".complete", ".manifest.json"}
    place.hub.pause_s = 0
    assert place.run(in_bucket(place))[0] == 0
    place.holds(WANTED)


def test_a_server_on_a_bucket_waits_for_the_marker(place: Place) -> None:
    decided = plan_of(accelerators=["nvidia-l4"]).decision
    source = decided.source.model_copy(update={"repository": place.hub.repository, "revision": COMMIT})
    kept = decided.storage.model_copy(update={"kind": "bucket"})
    script = gate(decided.model_copy(update={"source": source, "storage": kept}), Wishes("chat"))
    command = ["sh", "-c", script.replace(WEIGHTS_MOUNT, str(place.volume))]
    before = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (before.returncode, "has not finished" in before.stderr) == (1, True)
    assert place.run(in_bucket(place))[0] == 0
    assert subprocess.run(command, check=False).returncode == 0


@pytest.fixture
def small(place: Place) -> Iterator[Place]:
    """A volume of 2 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place.volume)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", str(place.volume)], check=True)


def test_a_volume_that_is_too_small_is_refused_before_the_first_byte(small: Place) -> None:
    small.hub.files["model-00003.safetensors"] = WEIGHTS * 2
    status, said = small.run()
    assert status == 1
    assert "GiB are still to come" in said
    assert "a volume holds two revisions" in said
    assert not small.hub.sent


def test_a_volume_that_fills_up_meanwhile_says_so_and_goes_on_when_there_is_room(small: Place) -> None:
    small.hub.files = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    small.hub.pause_s = 0.05
    process = small.started(small.fetch())
    until("bytes arrive", lambda: small.hub.sent.get("model.safetensors"))
    room = shutil.disk_usage(small.volume).free
    other = small.volume / "other"
    other.write_bytes(b"x" * (room - 100_000))
    status, said = ended(process)
    assert (status, "no space left on the volume" in said) == (1, True)
    assert not small.folder.exists()
    other.unlink()
    small.hub.pause_s = 0
    small.hub.asked.clear()
    assert small.run()[0] == 0
    small.holds({"config.json", "model.safetensors"})
    assert small.hub.requests("model.safetensors")[0][0].startswith("bytes=")


@needs_curl
@pytest.mark.parametrize("layout", ["volume", "bucket"])
def test_one_file_is_downloaded_once_and_checked(one_file: Place, layout: Layout) -> None:
    (name,) = GGUF
    for _ in range(2):
        status, said = one_file.run(one_file.fetch(layout))
        assert status == 0, said
    one_file.holds({name})
    assert [len(one_file.hub.requests(name)), one_file.hub.requests(name)[0][1]] == [1, None]
    assert {authorization for host, _, _, _, authorization in one_file.hub.asked if host == "hub"} == {
        f"Bearer {TOKEN}"
    }


@needs_curl
def test_one_file_that_was_cut_off_goes_on_where_it_stopped(one_file: Place) -> None:
    (name,) = GGUF
    one_file.work.mkdir(parents=True)
    (one_file.work / name).write_bytes(GGUF[name][:1000])
    assert one_file.run()[0] == 0
    assert one_file.hub.requests(name)[0][0] == "bytes=1000-"
    one_file.holds({name})


@needs_curl
@pytest.mark.parametrize("layout", ["volume", "bucket"])
def test_one_file_that_arrives_damaged_is_not_served_and_fetched_anew(one_file: Place, layout: Layout) -> None:
    (name,) = GGUF
    one_file.hub.corrupt[name] = 1
    status, said = one_file.run(one_file.fetch(layout))
    assert (status, f"the checksum of {name} is not what the hub states" in said) == (1, True)
    assert not (one_file.folder / ".complete").exists()
    assert one_file.run(one_file.fetch(layout))[0] == 0
    one_file.holds({name})


@needs_curl
def test_one_file_that_nobody_could_check_is_not_fetched(one_file: Place) -> None:
    one_file.hub.unchecked = set(GGUF)
    status, said = one_file.run()
    assert (status, "the hub states no size or no checksum" in said) == (1, True)
    assert not one_file.hub.sent


@needs_curl
def test_two_downloads_of_one_file_wait_for_each_other(one_file: Place) -> None:
    one_file.hub.pause_s = 0.15
    first = one_file.started(one_file.fetch())
    until("bytes arrive", lambda: one_file.hub.sent)
    second = one_file.started(one_file.fetch())
    (one, _), (two, said) = ended(first), ended(second)
    assert (one, two, "waiting for it" in said) == (0, 0, True)
    assert len(one_file.hub.requests(*GGUF)) == 1


@needs_curl
def test_a_volume_too_small_for_one_file_is_refused(small: Place) -> None:
    small.hub.files = {"model.gguf": WEIGHTS * 3}
    status, said = small.run()
    assert (status, "MiB are still to come" in said) == (1, True)
    assert not small.hub.sent


def test_the_snapshot_program_is_valid_python_that_a_shell_can_quote() -> None:
    compile(snapshot_script(), "snapshot", "exec")
    assert "'" not in snapshot_script()
    assert "$(" not in snapshot_script()  # Kubernetes would put variables there
