"""The toolchain's builder, on Go modules of a few lines."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain import build

CLONE = Path(build.__file__).resolve().parent.parent
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test but those of what is really built."""
    if request.node.get_closest_marker("engine") is None:
        monkeypatch.setenv("MODELBERTH_TOOLCHAIN", str(tmp_path / "cache"))
    return build.cache()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Part:
    return part(tmp_path / "clone", "tiny", monkeypatch)


def part(modules: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> build.Part:
    (modules / name).mkdir(parents=True)
    (modules / name / "go.mod").write_text(f"module modelberth/{name}\n\ngo 1.21\n")
    (modules / name / "main.go").write_text("package main\n\nvar version string\n\nfunc main() { print(version) }\n")
    made = build.Part(
        name=name,
        version="1.2.3",
        minutes=1,
        binaries={name: "."},
        variables={"main.version": "1.2.3"},
        modules=modules,
    )
    monkeypatch.setitem(build.PARTS, name, made)
    return made


def without_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*") if not path.name.startswith("."))


@needs_go
def test_a_part_is_built_with_its_version_and_then_found_without_go(
    tiny: build.Part, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = build.binary("tiny", "tiny")
    assert subprocess.run([program], check=True, capture_output=True, text=True).stderr == "1.2.3"
    said = capfd.readouterr().err
    assert "building tiny 1.2.3" in said
    assert "built tiny in" in said

    without_go(monkeypatch)
    assert build.require("tiny") == {"tiny": program.parent}
    assert capfd.readouterr().err == ""


@needs_go
def test_a_second_clone_finds_what_the_first_has_built(
    tiny: build.Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build.require("tiny")
    shutil.copytree(tiny.modules, tmp_path / "second")
    monkeypatch.setitem(build.PARTS, "tiny", replace(tiny, modules=tmp_path / "second"))
    without_go(monkeypatch)
    assert build.require("tiny") == built


@needs_go
def test_a_build_changes_nothing_in_the_clone(tiny: build.Part) -> None:
    (tiny.module / "go.mod").write_text("module modelberth/tiny\n\n// as committed\ngo   1.21\n")
    before = {path: path.read_bytes() for path in tiny.module.iterdir()}
    build.require("tiny")
    assert {path: path.read_bytes() for path in tiny.module.iterdir()} == before


def test_all_that_shapes_a_binary_shapes_the_digest(tiny: build.Part) -> None:
    others = [
        replace(tiny, version="1.2.4"),
        replace(tiny, variables={}),
        replace(tiny, cgo=True),
        replace(tiny, sources={"schema.json": ("example.com/module", "schema.json")}),
    ]
    digests = [tiny.digest(), *(other.digest() for other in others)]
    (tiny.module / "go.sum").write_text("example.com/module v1.0.0 h1:abc=\n")
    digests.append(tiny.digest())
    assert len(set(digests)) == len(digests)


@needs_go
def test_a_failing_build_shows_what_go_said_and_leaves_nothing_that_looks_built(tiny: build.Part, cache: Path) -> None:
    main = tiny.module / "main.go"
    good = main.read_text()
    main.write_text(good.replace("print(version)", "print(undeclared)"))
    with pytest.raises(build.BuildError, match="undefined: undeclared") as failure:
        build.require("tiny")
    assert "run it again" in str(failure.value)
    assert names_in(cache) == []

    main.write_text(good)
    assert build.binary("tiny", "tiny").exists()


@needs_go
def test_parts_finished_before_a_failure_are_kept(
    tiny: build.Part, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = part(tmp_path / "clone", "broken", monkeypatch)
    (broken.module / "main.go").write_text("not Go")
    with pytest.raises(build.BuildError, match="broken"):
        build.require("tiny", "broken")
    assert names_in(cache) == [tiny.directory().name]


@needs_go
def test_a_go_that_is_too_old_is_named_with_both_ways_out(tiny: build.Part, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.module / "go.mod").write_text("module modelberth/tiny\n\ngo 1.999\n")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    with pytest.raises(build.BuildError) as failure:
        build.require("tiny")
    assert "install Go 1.999" in str(failure.value)
    assert "install pulumi" in str(failure.value)


def test_without_go_and_pulumi_one_message_names_both_ways_out(cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolchain.build"],
        cwd=CLONE,
        env={"PATH": "/nonexistent", "MODELBERTH_TOOLCHAIN": str(cache)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "install Go 1." in done.stderr
    assert "install pulumi 3.231.0 or newer" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("toolchain:") == 1


def test_the_main_job_goes_without_parts_that_only_tests_use(tiny: build.Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.PARTS, "tiny", replace(tiny, for_tests=True))
    assert "tiny" not in build.needed_parts()
    assert "tiny" in build.needed_parts(tests=True)
    assert set(build.needed_parts()) < set(build.needed_parts(tests=True))


def test_a_part_that_only_tests_use_does_not_ask_for_pulumi_where_go_is_missing(
    tiny: build.Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(build.PARTS, "tiny", replace(tiny, for_tests=True))
    without_go(monkeypatch)
    with pytest.raises(build.BuildError, match="`make up` goes without") as failure:
        build.require("tiny")
    assert "pulumi" not in str(failure.value)


def test_a_part_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(build.BuildError, match=r"No such part: enigne\. Parts: engine,"):
        build.require("enigne")


FILL = """
import os, signal, sys, time
from pathlib import Path
from toolchain import build

log, target, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def fill(into):
    with log.open("a") as file:
        file.write(f"filled, found {os.listdir(into)}\\n")
    (into / "half").touch()
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    limit = time.monotonic() + 30
    while how == "slow" and not log.with_suffix(".go-on").exists() and time.monotonic() < limit:
        time.sleep(0.01)
    (into / "whole").touch()

build.populate(target, fill)
"""


def fill(log: Path, target: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILL, str(log), str(target), how]
    return subprocess.Popen(command, cwd=CLONE, stderr=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_no_part_and_the_next_one_starts_it_afresh(tmp_path: Path, cache: Path) -> None:
    log, target = tmp_path / "log", cache / "part"
    assert fill(log, target, "killed").wait() == -signal.SIGKILL
    assert not target.exists()
    assert fill(log, target, "whole").wait() == 0
    assert (target / "whole").exists()
    assert log.read_text() == "filled, found []\n" * 2


def test_of_two_builds_at_once_one_waits_and_uses_what_the_other_made(tmp_path: Path, cache: Path) -> None:
    log, target = tmp_path / "log", cache / "part"
    first = fill(log, target, "slow")
    while not log.exists():
        assert first.poll() is None
    second = fill(log, target, "slow")
    assert second.stderr is not None
    assert "waiting for another process" in second.stderr.readline()
    log.with_suffix(".go-on").touch()
    assert (first.wait(), second.wait()) == (0, 0)
    assert log.read_text() == "filled, found []\n"


@pytest.mark.parametrize(("version", "counts"), [("v3.230.9", False), ("v3.231.0", True), ("v4.0.0-alpha.1", True)])
def test_an_installed_pulumi_counts_from_the_oldest_version_that_will_do(
    version: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi = executable(tmp_path / "bin" / "pulumi", version)
    monkeypatch.setenv("PATH", str(pulumi.parent))
    assert (build.installed_pulumi() == pulumi) is counts
    assert ("engine" not in build.needed_parts()) is counts
    assert "control-plane" in build.needed_parts()


def test_the_engine_of_our_own_cache_is_not_an_installed_pulumi(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi = executable(cache / "engine-abc" / "pulumi", "v3.259.0")
    monkeypatch.setenv("PATH", str(pulumi.parent))
    assert build.installed_pulumi() is None


def executable(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)
    return path


def test_the_provider_that_is_built_is_the_one_of_the_python_sdk() -> None:
    version = build.PARTS["kubernetes-provider"].version
    assert f"pulumi-kubernetes=={version}" in (CLONE / "requirements.lock").read_text()


def test_every_part_has_its_checksums_pinned() -> None:
    for each in build.PARTS.values():
        assert f" v{each.version} h1:" in (each.module / "go.sum").read_text() or each.name == "kubernetes-provider"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "program", "arguments", "prints"),
    [
        ("engine", "pulumi", ["version"], "v{}"),
        ("control-plane", "kube-apiserver", ["--version"], "Kubernetes v{}"),
        ("etcd", "etcd", ["--version"], "etcd Version: {}"),
        ("kwok", "kwok", ["--version"], "kwok version v{} "),
        ("prometheus", "promtool", ["--version"], "promtool, version {} "),
    ],
)
def test_built_binaries_say_the_version_that_is_pinned(
    name: str, program: str, arguments: list[str], prints: str
) -> None:
    done = subprocess.run([build.binary(name, program), *arguments], check=True, capture_output=True, text=True)
    assert prints.format(build.PARTS[name].version) in done.stdout
