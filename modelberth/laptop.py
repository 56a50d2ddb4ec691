"""A service on one's own machine: the command of an installed engine, or a Compose file of the engine's image.

Sized by the same plan, from the same launch. Servers listen on this machine only; keys and tokens are read from the
environment of whoever starts them and are written nowhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
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


SERVED_BY_ITSELF = frozenset({"LLAMA_ARG_THREADS"})
"""What the plan's node decided, and the engine finds out for itself on another machine."""

_ASK = {
    "llamacpp": ("curl", "--fail", "--silent", "--output", "/dev/null", "URL"),
    "vllm": ("python3", "-c", "import urllib.request; urllib.request.urlopen('URL', timeout=5)"),
}
"""How a health check asks a path, with what the images hold: .devops/cuda.Dockerfile and cpu.Dockerfile of llama.cpp,
docker/Dockerfile of vLLM.
"""


def commands(plan: Plan, stack: StackSpec) -> str:
    """A shell script for an engine that is installed: get the weights, start the server. Raises :class:`Refused`."""
    write = {"llamacpp": _llama_commands, "ollama": _ollama_commands}.get(plan.decision.engine)
    if write is None:
        name = catalog().engine(plan.decision.engine).name
        raise _refused(plan, "engine", f"{name} is not started by commands here", "--compose, or engine llamacpp")
    return "\n".join(["#!/bin/sh", f"# {_title(plan)}", "set -eu", "", *write(plan, stack)]) + "\n"


def _refused(plan: Plan, field: str, message: str, way_out: str) -> Refused:
    return Refused([Finding("laptop", f"services.{plan.service}.{field}", message, way_out)])


def _title(plan: Plan) -> str:
    decision = plan.decision
    memory = f"{gib(decision.host.memory_mib * MIB)} of memory"
    count = f"{decision.gpus_per_replica} x " if decision.gpus_per_replica > 1 else "a "
    where = f"{count}{catalog().gpu(decision.accelerator).name} and {memory}" if decision.on_gpu else memory
    served = f"{decision.model} as {decision.quantization} with {decision.engine} {decision.engine_version}"
    return f"{served}: {decision.concurrency} requests of {decision.context} tokens; takes {where}"


def _file(plan: Plan) -> str:
    return f"{WEIGHTS_FOLDER}/{weights_folder(plan.decision)}/{plan.decision.source.file}"


def _download(plan: Plan, stack: StackSpec) -> Iterator[str]:
    """One file of a repository at its commit, resumed where it stopped; the token is never an argument."""
    source, file = plan.decision.source, shlex.quote(_file(plan))
    endpoint = (stack.defaults.hub_endpoint or HUB_ENDPOINT).rstrip("/")
    url = shlex.quote(f"{endpoint}/{source.repository}/resolve/{source.revision or 'main'}/{source.file}")
    send, header = "", ""
    if plan.spec.token:
        send, header = f"printf 'Authorization: Bearer %s\\n' \"${TOKEN}\" |\n    ", " --header @-"
    yield f"# weights, once: {gib(source.stored_bytes)}"
    yield f"file={file}"
    yield 'mkdir -p "$(dirname "$file")"'
    yield 'if [ ! -f "$file" ]; then'
    if header:
        yield f'  : "${{{TOKEN}:?a token of the hub}}"'
    yield f'  {send}curl --fail --location --continue-at -{header} --output "$file.part" \\'
    yield f"    {url}"
    yield '  mv "$file.part" "$file"'
    yield "fi"
    yield ""


def _alone(plan: Plan) -> None:
    """Refuse what the server would load beside its model and the commands do not download. Raises :class:`Refused`."""
    drafting = plan.decision.speculative
    beside = {"adapters": plan.decision.adapters, "speculative.model": drafting.source if drafting else None}
    for field in (field for field, found in beside.items() if found):
        raise _refused(plan, field, "the commands download the model only", "--compose, which downloads everything")


def _llama_commands(plan: Plan, stack: StackSpec) -> Iterator[str]:
    _alone(plan)
    if plan.decision.storage.kind != "existing-claim":
        yield from _download(plan, stack)
    yield f"# the server: http://{LOOPBACK}:{plan.launch.port}{plan.launch.api_path}"
    for secret in plan.launch.secret_env:
        yield f'export {secret.name}="${{{secret.name}:?the API key}}"'
    words = ["exec", "llama-server", *_arguments(plan, host=LOOPBACK)]
    yield _lines([word.replace(f"{WEIGHTS_MOUNT}/", f"{WEIGHTS_FOLDER}/") for word in words])


def _ollama_commands(plan: Plan, stack: StackSpec) -> Iterator[str]:
    address, model = f"{LOOPBACK}:{plan.launch.port}", shlex.quote(plan.decision.model)
    settings = {name: value for name, value in _environment(plan).items() if name.startswith(("OLLAMA_", "LLAMA_"))}
    store = settings.pop("OLLAMA_MODELS").replace(f"{WEIGHTS_MOUNT}/", f"{WEIGHTS_FOLDER}/")
    own = plan.decision.storage.kind == "existing-claim"
    if not own:
        yield from _download(plan, stack)
    yield f"# the server: http://{address}{plan.launch.api_path}, without an API key: for this machine only"
    yield from (f"export {name}={shlex.quote(value)}" for name, value in (settings | {"OLLAMA_HOST": address}).items())
    if own:
        yield f'export OLLAMA_MODELS="$PWD/"{shlex.quote(store)}'
    yield "if ollama list > /dev/null 2>&1; then"
    yield f"  echo 'an Ollama with other settings listens on {address}: stop it first' >&2; exit 1"
    yield "fi"
    yield "ollama serve & server=$!"
    yield "trap 'kill \"$server\" 2> /dev/null || :' EXIT INT TERM"
    yield 'until ollama list > /dev/null 2>&1; do kill -0 "$server"; sleep 1; done'
    if not own:
        yield 'printf \'FROM %s\\n\' "$PWD/$file" > "$file.modelfile"'
        yield f'ollama create {model} --file "$file.modelfile" # a copy in its own store'
    yield f'ollama run {model} "" # loads it'
    yield 'wait "$server"'


def _arguments(plan: Plan, *, host: str) -> list[str]:
    """Arguments without what the plan's node decided: threads are left to the engine, which sees this machine."""
    words = list(plan.launch.args)
    for flag, value in (("--threads", []), ("--host", ["--host", host])):
        if flag in words:
            at = words.index(flag)
            words[at : at + 2] = value
    return words


def _environment(plan: Plan) -> dict[str, str]:
    return {name: value for name, value in plan.launch.env if name not in SERVED_BY_ITSELF}


def _lines(words: Sequence[str]) -> str:
    """A command line, a flag and its value a line."""
    lines = [shlex.join(words[:2])]
    for word in words[2:]:
        if word.startswith("-") or " " in lines[-1].strip() or len(lines) == 1:
            lines.append(f"  {shlex.quote(word)}")
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n".join(lines)


def compose(plan: Plan) -> str:
    """A Compose file of the engine's own image. Raises :class:`Refused`."""
    if plan.decision.storage.kind == "stream":
        raise _refused(plan, "weights", "its server reads a bucket itself", "weights of kind claim or hub")
    if plan.launch.group:
        message = f"a replica is held by {plan.launch.group.size} nodes"
        raise _refused(plan, "pipeline_parallel", message, "a smaller model, or a format of fewer bits")
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
    server["command"] = [_plain(word) for word in _arguments(plan, host="0.0.0.0")]  # noqa: S104
    server["environment"] = {name: _plain(value) for name, value in _environment(plan).items()} | {
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
    server |= {"read_only": True, **_HARDENED}
    whole: dict[str, Any] = {"name": plan.service, "services": {**services, "server": server}}
    if plan.spec.token and steps:
        whole["secrets"] = {"hub-token": {"environment": TOKEN}}
    named = ["weights"] if decision.storage.kind in ("claim", "bucket") else []
    return whole | {"volumes": {name: {} for name in [*named, "cache"]}}


_HARDENED: Mapping[str, Any] = {
    "tmpfs": ["/tmp:exec"],  # noqa: S108
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


def _plain(text: str) -> str:
    """Text that Compose must not interpolate."""
    return text.replace("$", "$$")


def _weights(plan: Plan, mode: str) -> str:
    place = "weights" if plan.decision.storage.kind in ("claim", "bucket") else f"./{WEIGHTS_FOLDER}"
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
    # Compose puts a secret of the environment into the container's own file system, which must take it.
    return {**found, "read_only": plan.spec.token is None, **_HARDENED}


def _health(plan: Plan) -> Mapping[str, Any]:
    asked = plan.launch.probes
    if asked.readiness.command:
        test = ["CMD", *(_plain(word) for word in asked.readiness.command)]
    elif ask := _ASK.get(plan.decision.engine):
        url = f"http://{LOOPBACK}:{plan.launch.port}{asked.readiness.path}"
        test = ["CMD", *(word.replace("URL", url) for word in ask)]
    else:
        known = ", ".join(sorted({*_ASK, "ollama"}))
        name = catalog().engine(plan.decision.engine).name
        raise _refused(plan, "engine", f"no health check is known that the image of {name} can run", f"one of: {known}")
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
