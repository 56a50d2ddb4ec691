"""The Python language host: the Pulumi engine starts it to run programs, plugins and policy packs written in Python.

It stands in for the official `pulumi-language-python`, which is not published as a Go module, and behaves like it as
far as programs can see. Environments are not made here: `make setup` makes them, this host says when one is missing.
"""

# ruff: noqa: N802 (the service names its methods)
from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, NoReturn

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from toolchain.policy_proxy import NO_LIMIT, PolicyProxy

ALREADY_SHOWN = 32
"""Exit code of a program that has told its user what went wrong."""
GRACE_S = 3.0
"""Seconds a program has to end after it was told to; the engine gives this host 5."""
PARENT_POLL_S = 0.5

INVENTORY = """
import importlib.metadata, json, pathlib, re, sys
distributions = list(importlib.metadata.distributions())
lines = [line for d in distributions for line in d.requires or () if "extra ==" not in line]
required = {re.match(r"[\\w.-]+", line)[0] for line in lines}
plugins = [
    {"name": file.parent.name.removeprefix("pulumi_"), **json.loads(file.read_text())}
    for entry in sys.path if entry for file in pathlib.Path(entry).glob("*/pulumi-plugin.json")
]
def key(name):
    return re.sub(r"[-_.]+", "-", name).lower()
wanted = set(map(key, required))
packages = [
    {"name": d.metadata["Name"], "version": d.version, "direct": key(d.metadata["Name"]) not in wanted}
    for d in distributions
]
print(json.dumps({
    "executable": sys.executable, "version": sys.version.split()[0], "packages": packages, "plugins": plugins,
}))
"""


class EnvironmentUnusableError(Exception):
    """The interpreter that a project asks for cannot be used; the message names the way out."""


def interpreter(info: language_pb2.ProgramInfo) -> Path:
    """The Python that runs a program: of its `virtualenv`, which is relative to the project root, or else this one.

    Raises EnvironmentUnusableError for options that this host does not have and for a missing environment.
    """
    options: dict[str, Any] = json_format.MessageToDict(info.options)
    if (tool := options.pop("toolchain", "pip")) != "pip":
        raise EnvironmentUnusableError(
            f"runtime option `toolchain: {tool}` is not supported by modelberth's language host: use `toolchain: pip`."
        )
    virtualenv = options.pop("virtualenv", None)
    if options:
        unknown = ", ".join(sorted(options))
        raise EnvironmentUnusableError(
            f"runtime options not supported by modelberth's language host: {unknown}. "
            "It knows `toolchain: pip` and `virtualenv`."
        )
    if virtualenv is None:
        return Path(sys.executable)
    if not isinstance(virtualenv, str):
        raise EnvironmentUnusableError(
            f"runtime option `virtualenv` must be the path of a directory, not {virtualenv!r}."
        )
    directory = Path(os.path.normpath(Path(info.root_directory, virtualenv)))
    python = directory / "bin" / "python"
    if not python.is_file():
        raise EnvironmentUnusableError(f"there is no Python environment in {directory}: make it with `make setup`.")
    return python


def activated(environment: Mapping[str, str], python: Path) -> dict[str, str]:
    """The environment with the interpreter's own directory first on PATH, as an activated virtualenv has it."""
    result = {name: value for name, value in environment.items() if name != "PYTHONHOME"}
    result["VIRTUAL_ENV"] = str(python.parent.parent)
    result["PATH"] = os.pathsep.join([str(python.parent), environment.get("PATH", os.defpath)])
    return result


def inventory(python: Path) -> dict[str, Any]:
    """What is installed beside an interpreter: packages, and the Pulumi plugins that they ask for."""
    done = subprocess.run([python, "-I", "-c", INVENTORY], check=False, capture_output=True, text=True)
    if done.returncode:
        raise EnvironmentUnusableError(f"{python} cannot list its packages:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The service that the engine calls; what it does not have is answered with UNIMPLEMENTED."""

    def __init__(self, executor: Path, engine: str) -> None:
        self._executor = executor
        self._engine = engine
        self._children: set[subprocess.Popen[bytes]] = set()
        self._programs: set[subprocess.Popen[bytes]] = set()
        self._cancelled = threading.Event()

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        plugins = self._inventory(request.info, context)["plugins"]
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=plugin["name"],
                    kind="resource",
                    version=f"v{plugin['version'].removeprefix('v')}",
                    server=plugin.get("server", ""),
                )
                for plugin in plugins
                if plugin.get("resource") and plugin.get("version")
            ]
        )

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        packages = self._inventory(request.info, context)["packages"]
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=package["name"], version=package["version"])
                for package in packages
                if package["direct"] or request.transitiveDependencies
            ]
        )

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        found = self._inventory(request.info, context)
        return language_pb2.AboutResponse(
            executable=found["executable"],
            version=found["version"],
            metadata={"toolchain": "Pip", "language host": "modelberth"},
        )

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        python = self._interpreter(request.info, context)
        line = f"Dependencies are those of {python}; `make setup` installs them.\n"
        yield language_pb2.InstallDependenciesResponse(stdout=line.encode())

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        if request.attach_debugger:
            return language_pb2.RunResponse(error="modelberth's language host cannot attach a debugger")
        python = self._interpreter(request.info, context)
        environment = activated(os.environ, python) | {
            "PYTHONUNBUFFERED": "1",
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        # The program writes to this process's own stdout and stderr, which the engine reads line by line.
        child = self._start([str(python), str(self._executor), *self._arguments(request)], environment)
        self._programs.add(child)
        context.add_callback(lambda: terminate(child))
        code = child.wait()
        self._programs.discard(child)
        self._children.discard(child)
        if code == ALREADY_SHOWN or self._cancelled.is_set():
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(error=f"program was stopped by {signal.Signals(-code).name}")
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        python = self._interpreter(request.info, context)
        environment = activated(dict(variable.split("=", 1) for variable in request.env), python)
        program = request.info.program_directory
        if request.kind == "analyzer":
            command = [str(python), "-u", "-m", "pulumi.policy", *request.args, program]
            yield from self._run_policy_pack(command, environment, program, context)
        else:
            child = self._start([str(python), program, *request.args], environment, request.pwd, piped=True)
            context.add_callback(child.kill)
            yield from self._stream(child)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._cancelled.set()
        for program in list(self._programs):
            terminate(program)
        return empty_pb2.Empty()

    def end_children(self, grace_s: float) -> None:
        """Wait for what this host has started, then kill what is left."""
        for child in list(self._children):
            try:
                child.wait(grace_s)
            except subprocess.TimeoutExpired:
                child.kill()

    def _run_policy_pack(
        self, command: list[str], environment: dict[str, str], directory: str, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        proxy = PolicyProxy()
        context.add_callback(proxy.stop)
        yield language_pb2.RunPluginResponse(stdout=f"{proxy.port}\n".encode())
        try:
            environment = environment | proxy.environment()
        except futures.CancelledError:
            return
        child = self._start(command, environment, directory, piped=True)
        context.add_callback(child.kill)
        yield from self._stream(child, port=proxy.attach)
        proxy.stop()

    def _stream(
        self, child: subprocess.Popen[bytes], port: Callable[[int | None], None] | None = None
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """What a plugin writes, as it writes it, then its exit code.

        `port`, if given, is told the port that the plugin prints, or None if it ends without.
        """
        chunks: SimpleQueue[language_pb2.RunPluginResponse | None] = SimpleQueue()

        def pump_stdout(stream: IO[bytes]) -> None:
            if port is not None:
                for line in iter(stream.readline, b""):
                    if line.strip().isdigit():
                        port(int(line))
                        break
                    chunks.put(language_pb2.RunPluginResponse(stdout=line))
                else:
                    port(None)
            while chunk := stream.read(1 << 16):
                chunks.put(language_pb2.RunPluginResponse(stdout=chunk))
            chunks.put(None)

        def pump_stderr(stream: IO[bytes]) -> None:
            while chunk := stream.read(1 << 16):
                chunks.put(language_pb2.RunPluginResponse(stderr=chunk))
            chunks.put(None)

        for pump, stream in ((pump_stdout, child.stdout), (pump_stderr, child.stderr)):
            threading.Thread(target=pump, args=(stream,), daemon=True).start()
        for _ in ("stdout", "stderr"):
            yield from iter(chunks.get, None)
        code = child.wait()
        self._children.discard(child)
        yield language_pb2.RunPluginResponse(exitcode=code)

    def _start(
        self, command: list[str], environment: Mapping[str, str], directory: str | None = None, *, piped: bool = False
    ) -> subprocess.Popen[bytes]:
        output = subprocess.PIPE if piped else None
        # Unbuffered pipes: a read returns what is there.
        child = subprocess.Popen(
            command, bufsize=0, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        self._children.add(child)
        return child

    def _arguments(self, request: language_pb2.RunRequest) -> list[str]:
        flags = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": str(request.dryRun).lower(),
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        given = [part for name, value in flags.items() if value for part in (f"--{name}", value)]
        return [*given, request.info.entry_point or ".", *request.args]

    def _interpreter(self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Path:
        try:
            return interpreter(info)
        except EnvironmentUnusableError as problem:
            refuse(context, problem)

    def _inventory(self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> dict[str, Any]:
        try:
            return inventory(interpreter(info))
        except EnvironmentUnusableError as problem:
            refuse(context, problem)


def refuse(context: grpc.ServicerContext, problem: EnvironmentUnusableError) -> NoReturn:
    """End a call with a problem that the user can set right."""
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
    raise AssertionError("abort raises")


def terminate(program: subprocess.Popen[bytes]) -> None:
    """Stop a program by SIGTERM: at SIGINT Python prints where it was, and who cancels has not asked for a trace."""
    if program.poll() is not None:
        return
    program.terminate()
    timer = threading.Timer(GRACE_S, program.kill)
    timer.daemon = True
    timer.start()


def main(arguments: list[str]) -> int:
    """Serve until the engine sends SIGINT or is gone. The last argument is the engine's address."""
    parser = argparse.ArgumentParser(prog="pulumi-language-python")
    parser.add_argument("--executor", type=Path, required=True, help="the SDK's pulumi-language-python-exec")
    known, rest = parser.parse_known_args(arguments)

    engine_process = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    host = LanguageHost(known.executor, engine=rest[-1] if rest else "")
    server = grpc.server(futures.ThreadPoolExecutor(64), options=NO_LIMIT)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)

    while not stop.wait(PARENT_POLL_S) and os.getppid() == engine_process:
        pass
    host.end_children(GRACE_S if stop.is_set() else 0)
    server.stop(0).wait()
    return 0
