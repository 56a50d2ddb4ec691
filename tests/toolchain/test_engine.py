"""The runner, on a project of a few lines under the real engine."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain import build, engine
from toolchain.recover import readable

CLONE = Path(engine.__file__).resolve().parent.parent
HELLO = 'import pulumi\npulumi.export("greeting", pulumi.Config().require("greeting"))\n'


class Project:
    """A project in a git repository, with its state beside it."""

    def __init__(self, directory: Path, program: str) -> None:
        self.root = directory / "project"
        self.state = directory / "state"
        (self.root / "stacks").mkdir(parents=True)
        options = {"toolchain": "pip", "virtualenv": str(Path(sys.prefix))}
        settings = {"name": "tiny", "runtime": {"name": "python", "options": options}, "stackConfigDir": "stacks"}
        (self.root / "Pulumi.yaml").write_text(json.dumps(settings))
        (self.root / "stacks" / "Pulumi.dev.yaml").write_text("# as committed\nconfig:\n  tiny:greeting: hello\n")
        (self.root / ".gitignore").write_text("__pycache__/\n")
        self.program(program)

    def program(self, text: str) -> None:
        (self.root / "__main__.py").write_text(text)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return engine.run(
            [*arguments, "--non-interactive"], root=self.root, state=self.state, check=False, capture=True, timeout_s=60
        )

    def output(self, name: str) -> str:
        return self.pulumi("stack", "output", name, "--stack", "dev", "--show-secrets").stdout.strip()

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, HELLO)


@pytest.mark.engine
def test_a_stack_lives_from_the_first_up_to_its_removal_without_a_change_to_the_checkout(project: Project) -> None:
    project.git("init", "--quiet")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "as it was")

    project.program(HELLO + 'pulumi.export("token", pulumi.Output.secret("canary-7"))\n')
    project.git("commit", "--quiet", "-a", "-m", "a secret output")
    first = project.pulumi("up", "--stack", "dev", "--yes", "--skip-preview")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "warning" not in first.stdout + first.stderr
    assert (project.output("greeting"), project.output("token")) == ("hello", "canary-7")

    second = project.pulumi("up", "--stack", "dev", "--yes", "--skip-preview", "--expect-no-changes")
    assert second.returncode == 0, second.stdout + second.stderr

    assert project.pulumi("destroy", "--stack", "dev", "--yes", "--skip-preview").returncode == 0
    assert project.pulumi("stack", "rm", "dev", "--yes").returncode == 0
    assert project.git("status", "--porcelain") == ""
    assert not any(b"canary-7" in file.read_bytes() for file in project.state.rglob("*") if file.is_file())


@pytest.mark.engine
def test_other_settings_can_be_used_for_a_stack(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("config:\n  tiny:greeting: good evening\n")
    engine.run(
        ["up", "--stack", "dev", "--yes", "--skip-preview", "--non-interactive"],
        root=project.root,
        state=project.state,
        stack_file=other,
        capture=True,
    )
    assert project.output("greeting") == "good evening"
    assert other.read_text() == "config:\n  tiny:greeting: good evening\n"


@pytest.mark.engine
def test_init_can_be_repeated(project: Project) -> None:
    for _ in range(2):
        engine.init("dev", root=project.root, state=project.state)
    assert [stack["name"] for stack in json.loads(project.pulumi("stack", "ls", "--json").stdout)] == ["dev"]


@pytest.mark.engine
def test_an_exception_of_the_program_is_shown_once_from_its_own_first_line_on(project: Project) -> None:
    project.program('raise ValueError("the model is not there")\n')
    done = project.pulumi("preview", "--stack", "dev")
    assert done.returncode != 0
    diagnostics = done.stdout.partition("Diagnostics:")[2]
    assert diagnostics.count("ValueError: the model is not there") == 1
    assert "runpy" not in diagnostics
    assert "exit code" not in diagnostics


@pytest.mark.engine
def test_a_program_that_ends_with_a_code_fails_with_that_code(project: Project) -> None:
    project.program("raise SystemExit(3)\n")
    done = project.pulumi("preview", "--stack", "dev")
    assert done.returncode != 0
    assert "program exited with non-zero exit code: 3" in done.stdout


@pytest.mark.engine
def test_a_missing_environment_is_named_with_the_way_to_make_it(project: Project) -> None:
    settings = json.loads((project.root / "Pulumi.yaml").read_text())
    settings["runtime"]["options"]["virtualenv"] = "../.venv"
    (project.root / "Pulumi.yaml").write_text(json.dumps(settings))
    done = project.pulumi("preview", "--stack", "dev")
    assert done.returncode != 0
    assert f"no Python environment in {project.root.parent / '.venv'}: make it with `make setup`" in done.stderr


PACK = """
from concurrent import futures

import grpc
import pulumi
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

GREETING = f"{pulumi.get_project()}/{pulumi.get_stack()} says {pulumi.Config('tiny').require('greeting')}"


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="0.0.1")

    def GetAnalyzerInfo(self, request, context):
        return analyzer_pb2.AnalyzerInfo(name="pack")

    def Analyze(self, request, context):
        return analyzer_pb2.AnalyzeResponse()

    def Remediate(self, request, context):
        return analyzer_pb2.RemediateResponse()

    def AnalyzeStack(self, request, context):
        said = analyzer_pb2.AnalyzeDiagnostic(
            policyName="p", policyPackName="pack", message=GREETING, enforcementLevel=analyzer_pb2.MANDATORY
        )
        return analyzer_pb2.AnalyzeResponse(diagnostics=[said])


print("pack starts in stack", pulumi.get_stack())
server = grpc.server(futures.ThreadPoolExecutor(4))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Analyzer(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
"""


@pytest.mark.engine
def test_a_policy_pack_knows_the_stack_and_its_configuration_and_stops_a_preview(project: Project) -> None:
    pack = project.root / "pack"
    pack.mkdir()
    runtime = json.loads((project.root / "Pulumi.yaml").read_text())["runtime"]
    (pack / "PulumiPolicy.yaml").write_text(json.dumps({"runtime": runtime}))
    (pack / "__main__.py").write_text(PACK)
    done = project.pulumi("preview", "--stack", "dev", "--policy-pack", str(pack))
    assert done.returncode != 0
    assert "tiny/dev says hello" in done.stdout
    assert "pack starts in stack dev" in done.stdout

    (pack / "__main__.py").write_text("import not_installed_anywhere\n")
    done = project.pulumi("preview", "--stack", "dev", "--policy-pack", str(pack))
    assert done.returncode != 0
    assert "No module named 'not_installed_anywhere'" in done.stdout + done.stderr


SLEEPER = "import os, time\nprint('pid', os.getpid())\ntime.sleep(60)\n"


def start_until_it_prints(project: Project) -> tuple[subprocess.Popen[str], int]:
    """An `up` and, as a pidfd, its program, which has printed a line and runs on: that is streaming."""
    project.program(SLEEPER)
    engine.init("dev", root=project.root, state=project.state)
    environment = engine.environment(project.root, project.state)
    environment.pop("PYTHONUNBUFFERED", None)
    running = subprocess.Popen(
        ["pulumi", "up", "--stack", "dev", "--yes", "--skip-preview", "--non-interactive", "--color", "never"],
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if " pid " in line:
            return running, os.pidfd_open(int(line.split()[-1]))
    raise AssertionError("the program printed nothing")


def ends(process: int) -> bool:
    """Whether the process, opened as a pidfd, ends within half a minute."""
    return bool(select.select([process], [], [], 30)[0])


@pytest.mark.engine
def test_output_streams_and_ctrl_c_stops_the_program_without_a_trace(project: Project) -> None:
    running, program = start_until_it_prints(project)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "update canceled" in output
    assert "Traceback" not in output
    assert "KeyboardInterrupt" not in output
    assert "exit code" not in output
    assert ends(program)


@pytest.mark.engine
def test_when_the_engine_dies_its_program_does_not_outlive_it(project: Project) -> None:
    running, program = start_until_it_prints(project)
    running.kill()
    running.communicate(timeout=30)
    assert ends(program)


@pytest.mark.engine
def test_nothing_that_a_provider_reads_comes_from_the_shell(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "PULUMI_K8S_CLIENT_BURST", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///elsewhere")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of the user")
    found = engine.environment(project.root, project.state)
    assert not {"KUBECONFIG", "PULUMI_K8S_CLIENT_BURST", "PYTHONDONTWRITEBYTECODE"} & found.keys()
    assert found["PULUMI_BACKEND_URL"] == f"file://{project.state}"
    assert found["PULUMI_CONFIG_PASSPHRASE"] == "of the user"
    assert Path(found["PULUMI_HOME"]).is_relative_to(build.cache())


def test_an_installed_pulumi_is_used_with_the_plugins_it_fetches_itself(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.parent.mkdir()
    pulumi.write_text("#!/bin/sh\necho v3.231.0\n")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", str(pulumi.parent), prepend=os.pathsep)
    monkeypatch.setenv("MODELBERTH_TOOLCHAIN", str(tmp_path / "cache"))
    found = engine.environment(project.root, project.state)
    assert found["PATH"].split(os.pathsep)[0] == str(pulumi.parent)
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in found
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--yes"], "add `--stack NAME`"),
        (["preview", "--stack", "typo"], "Pulumi.typo.yaml is not there"),
        (["destroy", "--stack", "dev", "--remove"], "would delete the stack's settings file"),
        (["stack", "init", "dev"], "the first `up` or `preview` makes the stack"),
    ],
)
def test_what_would_fail_or_change_the_checkout_is_refused_before_the_engine_starts(
    project: Project, arguments: list[str], says: str
) -> None:
    with pytest.raises(engine.EngineError, match=says):
        engine.run(arguments, root=project.root, state=project.state)


def test_on_the_command_line_a_refusal_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolchain.engine", "stack", "init", "dev"],
        cwd=CLONE,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert (
        done.stderr == "toolchain: `stack init` is not for this project: the first `up` or `preview` makes the stack.\n"
    )


def test_a_state_that_a_killed_engine_left_half_written_is_read_again(project: Project) -> None:
    assert project.pulumi("up", "--yes", "--skip-preview", "--stack", "dev").returncode == 0
    (attributes,) = project.state.rglob("dev.json.attrs")
    whole = attributes.read_bytes()
    attributes.write_bytes(b"")
    assert "EOF" in project.pulumi("stack", "export", "--stack", "dev").stderr
    readable(project.state)
    assert json.loads(project.pulumi("stack", "export", "--stack", "dev").stdout)["deployment"]["resources"]
    attributes.write_bytes(whole)
    readable(project.state)
    assert attributes.read_bytes() == whole
