"""The Python language host: the real process, started as the engine starts it, and spoken to as the engine speaks."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from toolchain import build, engine

pytestmark = pytest.mark.engine
VENV = sys.prefix


class Host:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.channel = grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}")
        self.calls = language_pb2_grpc.LanguageRuntimeStub(self.channel)


def start(directory: Path, *before: str) -> subprocess.Popen[str]:
    script = build.require("engine")["engine"] / "pulumi-language-python"
    return subprocess.Popen(
        [*before, str(script), "127.0.0.1:1"],
        cwd=directory,
        env=engine.environment(directory, directory / "state"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        text=True,
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    started = Host(start(tmp_path))
    yield started
    started.channel.close()
    started.process.kill()
    started.process.communicate()


def program(directory: Path, **options: str) -> language_pb2.ProgramInfo:
    struct = struct_pb2.Struct()
    struct.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(directory), program_directory=str(directory), entry_point=".", options=struct
    )


def plugin(directory: Path, source: str, *arguments: str) -> language_pb2.RunPluginRequest:
    (directory / "__main__.py").write_text(source)
    info = program(directory, toolchain="pip", virtualenv=VENV)
    return language_pb2.RunPluginRequest(
        info=info, pwd=str(directory), args=arguments, env=["FROM_ENGINE=yes", "PATH=/usr/bin:/bin"], kind="resource"
    )


def refusal(host: Host, info: language_pb2.ProgramInfo) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        host.calls.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return refused.value.details() or ""


def ends(process: int) -> bool:
    """Whether the process, opened as a pidfd, ends within half a minute."""
    return bool(select.select([process], [], [], 30)[0])


def test_the_plugins_of_installed_packages_are_required_and_policy_packs_bring_none(host: Host, tmp_path: Path) -> None:
    info = program(tmp_path, virtualenv=VENV)
    answer = host.calls.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info))
    versions = {"kubernetes": build.PARTS["kubernetes-provider"].version}
    versions |= {cloud: metadata.version(f"pulumi-{cloud}") for cloud in ("aws", "gcp")}
    assert {(each.kind, each.name): each.version for each in answer.packages} == {
        ("resource", name): f"v{version}" for name, version in versions.items()
    }


def test_direct_dependencies_leave_out_what_others_require(host: Host, tmp_path: Path) -> None:
    def dependencies(transitive: bool) -> set[str]:
        request = language_pb2.GetProgramDependenciesRequest(
            info=program(tmp_path, virtualenv=VENV), transitiveDependencies=transitive
        )
        return {each.name for each in host.calls.GetProgramDependencies(request).dependencies}

    assert {"pulumi", "pulumi_kubernetes"} <= dependencies(True)
    assert "modelberth" in dependencies(False)
    assert not {"pulumi", "pulumi_kubernetes"} & dependencies(False)


def test_about_names_the_interpreter_with_and_without_a_project(host: Host, tmp_path: Path) -> None:
    for request in (language_pb2.AboutRequest(), language_pb2.AboutRequest(info=program(tmp_path, virtualenv=VENV))):
        about = host.calls.About(request)
        assert Path(about.executable).is_relative_to(VENV)
        assert about.version == ".".join(map(str, sys.version_info[:3]))


def test_installing_says_that_setup_does_it(host: Host, tmp_path: Path) -> None:
    request = language_pb2.InstallDependenciesRequest(info=program(tmp_path, virtualenv=VENV))
    (line,) = host.calls.InstallDependencies(request)
    assert b"`make setup`" in line.stdout


def test_a_virtualenv_is_found_from_the_root_directory(host: Host, tmp_path: Path) -> None:
    (tmp_path / "environment").symlink_to(VENV)
    (tmp_path / "project").mkdir()
    info = program(tmp_path / "project", virtualenv="../environment")
    about = host.calls.About(language_pb2.AboutRequest(info=info))
    assert about.executable == str(tmp_path / "environment" / "bin" / "python")


def test_a_missing_virtualenv_is_named_with_the_way_to_make_it(host: Host, tmp_path: Path) -> None:
    says = refusal(host, program(tmp_path / "project", virtualenv="../.venv"))
    assert says == f"there is no Python environment in {tmp_path / '.venv'}: make it with `make setup`."


@pytest.mark.parametrize(
    ("options", "names"),
    [({"toolchain": "uv"}, "`toolchain: uv`"), ({"toolchain": "pip", "typechecker": "mypy"}, "typechecker")],
)
def test_options_that_this_host_does_not_have_are_refused(
    host: Host, tmp_path: Path, options: dict[str, str], names: str
) -> None:
    says = refusal(host, program(tmp_path, **options))
    assert names in says
    assert "toolchain: pip" in says


def test_a_plugin_is_heard_while_it_runs_and_its_exit_code_after(host: Host, tmp_path: Path) -> None:
    source = (
        "import os, pathlib, sys, time\n"
        "print(sys.argv[1], os.environ['FROM_ENGINE'], sys.prefix, os.getcwd(), flush=True)\n"
        "while not pathlib.Path('go-on').exists(): time.sleep(0.01)\n"
        "sys.exit('done with it')\n"
    )
    answers = host.calls.RunPlugin(plugin(tmp_path, source, "argument"), timeout=60)
    assert next(answers).stdout.decode() == f"argument yes {VENV} {tmp_path}\n"
    (tmp_path / "go-on").touch()
    rest = list(answers)
    assert b"".join(each.stderr for each in rest) == b"done with it\n"
    assert [each.exitcode for each in rest if each.HasField("exitcode")] == [1]


FOREVER = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"


def test_a_plugin_whose_call_is_cancelled_ends(host: Host, tmp_path: Path) -> None:
    answers = host.calls.RunPlugin(plugin(tmp_path, FOREVER))
    child = os.pidfd_open(int(next(answers).stdout))
    answers.cancel()
    assert ends(child)


def test_sigint_to_its_process_group_ends_host_and_plugin_without_a_trace(host: Host, tmp_path: Path) -> None:
    answers = host.calls.RunPlugin(plugin(tmp_path, FOREVER))
    child = os.pidfd_open(int(next(answers).stdout))
    os.killpg(host.process.pid, signal.SIGINT)
    _, errors = host.process.communicate(timeout=30)
    assert (host.process.returncode, errors) == (0, "")
    assert ends(child)


def test_host_and_plugin_end_when_the_process_that_started_the_host_is_gone(tmp_path: Path) -> None:
    parent = start(tmp_path, "/bin/sh", "-c", '"$0" "$@"; true')
    orphan = Host(parent)
    answers = orphan.calls.RunPlugin(plugin(tmp_path, FOREVER.replace("print(", "print(os.getppid(), ")))
    host, child = (os.pidfd_open(int(number)) for number in next(answers).stdout.split())
    parent.kill()
    assert ends(host)
    assert ends(child)
    parent.communicate()


def test_a_cancelled_host_answers_and_stays(host: Host) -> None:
    host.calls.Cancel(empty_pb2.Empty())
    assert host.calls.GetPluginInfo(empty_pb2.Empty()).version
