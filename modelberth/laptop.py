"""A service on one's own machine: the command of an installed engine, or a Compose file of the engine's image.

Sized by the same plan, from the same launch. Servers listen on this machine only; keys and tokens are read from the
environment of whoever starts them and are written nowhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from modelberth.catalog import catalog
from modelberth.engines.base import (
    CACHE_MOUNT,
    HUB_ENDPOINT,
    HUB_TOKEN_MOUNT,
    WEIGHTS_MOUNT,
    Fetch,
    weights_folder,
)
from modelberth.findings import Finding, Refused
from modelberth.plan import Plan
from modelberth.spec import StackSpec
from modelberth.units import MIB, gib

LOOPBACK = "127.0.0.1"
WEIGHTS_FOLDER = "weights"
"""Beside where the commands are run."""
TOKEN = "HF_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class _Asks:
    """How a health check in the engine's image asks its own port."""

    words: tuple[str, ...]

    def test(self, url: str) -> list[str]:
        """As Compose wants it."""
        return ["CMD", *(word.replace("URL", url) for word in self.words)]


_ASKS = {
    "llamacpp": _Asks(("curl", "--fail", "--silent", "--output", "/dev/null", "URL")),
    "vllm": _Asks(("python3", "-c", "import urllib.request; urllib.request.urlopen('URL', timeout=5)")),
}
"""Programs that the images hold: .devops/cuda.Dockerfile and cpu.Dockerfile of llama.cpp, docker/Dockerfile of vLLM."""


def commands(plan: Plan, stack: StackSpec) -> str:
    """A shell script for engines that are installed: get the weights, start the server. Raises :class:`Refused`."""
    write = {"llamacpp": _llama_commands, "ollama": _ollama_commands}.get(plan.decision.engine)
    if write is None:
        message = f"{plan.decision.engine} is not started from a command here"
        raise Refused([Finding("laptop", f"services.{plan.service}.engine", message, "--compose, or engine llamacpp")])
    return "\n".join(["#!/bin/sh", f"# {_title(plan)}", "set -eu", "", *write(plan, stack)]) + "\n"


def _title(plan: Plan) -> str:
    decision = plan.decision
    memory = f"{gib(decision.host.memory_mib * MIB)} of memory"
    where = f"a {catalog().gpu(decision.accelerator).name} and {memory}" if decision.on_gpu else memory
    served = f"{decision.model} as {decision.quantization} with {decision.engine} {decision.engine_version}"
    return f"{served}: {decision.concurrency} requests of {decision.context} tokens; takes {where}"


def _download(plan: Plan, stack: StackSpec) -> Iterator[str]:
    """One file of a repository at its commit, resumed where it stopped."""
    source, folder = plan.decision.source, f"{WEIGHTS_FOLDER}/{weights_folder(plan.decision)}"
    endpoint = (stack.defaults.hub_endpoint or HUB_ENDPOINT).rstrip("/")
    url = f"{endpoint}/{source.repository}/resolve/{source.revision or 'main'}/{source.file}"
    file = shlex.quote(f"{folder}/{source.file}")
    header = f' --header "Authorization: Bearer ${{{TOKEN}:?a token of the hub}}"' if plan.spec.token else ""
    yield f"# weights, once: {gib(source.stored_bytes)}"
    yield f"mkdir -p {shlex.quote(folder)}"
    yield f"test -f {file} || {{"
    yield f"  curl --fail --location --continue-at -{header} \\"
    yield f"    --output {file}.part \\"
    yield f"    {shlex.quote(url)}"
    yield f"  mv {file}.part {file}"
    yield "}"
    yield ""


def _llama_commands(plan: Plan, stack: StackSpec) -> Iterator[str]:
    if plan.decision.storage.kind != "existing-claim":
        yield from _download(plan, stack)
    yield f"# the server: http://{LOOPBACK}:{plan.launch.port}/v1"
    for secret in plan.launch.secret_env:
        yield f'export {secret.name}="${{{secret.name}:?the API key}}"'
    args = ["llama-server", *_own_machine(plan.launch.args, host=LOOPBACK)]
    yield _lines([word.replace(f"{WEIGHTS_MOUNT}/", f"{WEIGHTS_FOLDER}/") for word in args])


def _ollama_commands(plan: Plan, stack: StackSpec) -> Iterator[str]:
    decision, port = plan.decision, plan.launch.port
    settings = {name: value for name, value in plan.launch.env if name.startswith("OLLAMA_")}
    settings |= {"OLLAMA_HOST": f"{LOOPBACK}:{port}"}
    settings.pop("OLLAMA_MODELS", None)
    yield from _download(plan, stack)
    file = f"{WEIGHTS_FOLDER}/{weights_folder(decision)}/{decision.source.file}"
    yield f"# the server: http://{LOOPBACK}:{port}/v1, without an API key: for this machine only"
    yield from (f"export {name}={shlex.quote(value)}" for name, value in sorted(settings.items()))
    yield "ollama serve & server=$!"
    yield "until ollama list > /dev/null 2>&1; do sleep 1; done"
    yield f"printf 'FROM %s\\nPARAMETER num_ctx {decision.context}\\n' \"$PWD/{file}\" > Modelfile"
    yield f"ollama create {shlex.quote(decision.model.lower())} --file Modelfile"
    yield 'wait "$server"'


def _own_machine(args: Sequence[str], *, host: str) -> list[str]:
    """Arguments without what the plan's node decided: threads are left to the engine, which sees this machine."""
    found, skip = list[str](), False
    for word, after in zip(args, [*args[1:], ""], strict=True):
        if skip:
            skip = False
        elif word == "--threads":
            skip = True
        elif word == "--host":
            found += [word, host]
            skip = bool(after)
        else:
            found.append(word)
    return found


def _lines(words: Sequence[str]) -> str:
    """A command line, a flag and its value a line."""
    lines = [shlex.quote(words[0])]
    for word in words[1:]:
        if word.startswith("-") or lines[-1] == words[0] or " " in lines[-1].strip():
            lines.append(f"  {shlex.quote(word)}")
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n".join(lines)


def compose(plan: Plan) -> str:
    """A Compose file of the engine's own image. Raises :class:`Refused`."""
    return f"# {_title(plan)}\n" + yaml.dump(_compose(plan), Dumper=_Readable, sort_keys=False, width=120)


class _Readable(yaml.SafeDumper):
    """No anchors; scripts as blocks of lines."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whatever is said twice is written twice."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)  # pyright: ignore


_Readable.add_representer(str, _text)


def _compose(plan: Plan) -> Mapping[str, Any]:
    launch, decision = plan.launch, plan.decision
    steps = {f"fetch-{index}": step for index, step in enumerate(launch.fetch)}
    server: dict[str, Any] = {"image": launch.image}
    if launch.command:
        server["entrypoint"] = list(launch.command)
    server["command"] = [_plain(word) for word in _own_machine(launch.args, host="0.0.0.0")]  # noqa: S104
    server["environment"] = {name: _plain(value) for name, value in launch.env} | {
        secret.name: f"${{{secret.name}:?set it to the secret}}" for secret in launch.secret_env
    }
    if steps:
        done = {"condition": "service_completed_successfully"}
        server["depends_on"] = dict.fromkeys(list(steps)[-1:], done)
    server["ports"] = [f"{LOOPBACK}:{launch.port}:{launch.port}"]
    server["volumes"] = [*([] if decision.storage.kind == "hub" else [_weights(plan, "ro")]), f"cache:{CACHE_MOUNT}"]
    server["healthcheck"] = _health(plan)
    server["deploy"] = {"resources": _resources(plan)}
    server["shm_size"] = f"{decision.host.shm_mib}m"
    server["stop_grace_period"] = f"{max(10, launch.grace_s - launch.leave_s)}s"
    services = {name: _step(plan, name, step, list(steps)) for name, step in steps.items()}
    whole: dict[str, Any] = {"name": plan.service, "services": services | {"server": {**server, **_HARDENED}}}
    if plan.spec.token and steps:
        whole["secrets"] = {"hub-token": {"environment": TOKEN}}
    named = ["weights"] if decision.storage.kind == "claim" else []
    return whole | {"volumes": {name: {} for name in [*named, "cache"]}}


_HARDENED: Mapping[str, Any] = {
    "read_only": True,
    "tmpfs": ["/tmp"],  # noqa: S108
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


def _plain(text: str) -> str:
    """Text that Compose must not interpolate."""
    return text.replace("$", "$$")


def _weights(plan: Plan, mode: str) -> str:
    place = "weights" if plan.decision.storage.kind == "claim" else f"./{WEIGHTS_FOLDER}"
    return f"{place}:{WEIGHTS_MOUNT}:{mode}"


def _step(plan: Plan, name: str, step: Fetch, order: Sequence[str]) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "image": step.image,
        "entrypoint": ["sh", "-c"],
        "command": [_plain(step.script)],
        "environment": {variable: _plain(value) for variable, value in step.env},
        "volumes": [_weights(plan, "rw")],
        "restart": "no",
    }
    if order.index(name):
        before = order[order.index(name) - 1]
        found["depends_on"] = {before: {"condition": "service_completed_successfully"}}
    if plan.spec.token:
        found["secrets"] = [{"source": "hub-token", "target": f"{HUB_TOKEN_MOUNT}/{plan.spec.token.key}"}]
    return {**found, **_HARDENED}


def _health(plan: Plan) -> Mapping[str, Any]:
    asked = plan.launch.probes
    if asked.readiness.command:
        test = ["CMD", *(_plain(word) for word in asked.readiness.command)]
    elif plan.decision.engine in _ASKS:
        test = _ASKS[plan.decision.engine].test(f"http://{LOOPBACK}:{plan.launch.port}{asked.readiness.path}")
    else:
        message = f"no health check is known for the image of {plan.decision.engine}"
        raise Refused([Finding("laptop", f"services.{plan.service}.engine", message, f"one of: {', '.join(_ASKS)}")])
    return {
        "test": test,
        "interval": f"{asked.readiness.period_s}s",
        "timeout": f"{asked.readiness.timeout_s}s",
        "retries": asked.liveness.failures,
        "start_period": f"{plan.decision.startup_budget_s}s",
    }


def _resources(plan: Plan) -> Mapping[str, Any]:
    found: dict[str, Any] = {"limits": {"memory": f"{plan.decision.host.memory_mib}m"}}
    if plan.decision.on_gpu:
        device = {"driver": "nvidia", "count": plan.decision.gpus_per_replica, "capabilities": ["gpu"]}
        found["reservations"] = {"devices": [device]}
    return found
