"""What a changed decision means for running pods: image, flags, environment, memory for the KV cache."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from modelberth.decision import Decision
from modelberth.engines import Launch
from modelberth.findings import Refused
from modelberth.lock import Lock
from modelberth.plan import Plan, replay
from modelberth.spec import StackSpec
from modelberth.units import gib, tokens

NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?")
"""A value such as -1: no engine has a flag that is a number."""


def consequences(stack: StackSpec, before: Lock, after: Sequence[Plan]) -> Iterator[str]:
    """One line per thing that differs in the pods of a service that was decided before and is decided differently."""
    for plan in after:
        old = before.get(plan.service)
        if old is None or old == plan.decision:
            continue
        try:
            was = replay(plan.service, stack, old)
        except Refused:  # the spec has moved on to what the old version does not take
            yield f"{plan.service}: pods restart, and what they run now cannot be compared: {plan.rollout.why}"
            continue
        changed = list(_differences(was, plan))
        yield from (f"{plan.service}: {line}" for line in changed)
        if changed:
            yield f"{plan.service}: pods restart: {plan.rollout.why}"


def _differences(was: Plan, now: Plan) -> Iterator[str]:
    if was.launch.image != now.launch.image:
        yield f"image {was.launch.image} -> {now.launch.image}"
    yield from _changed("command", _command(was.launch), _command(now.launch))
    yield from _changed("flag", _flags(was.launch.args), _flags(now.launch.args))
    yield from _changed("variable", dict(was.launch.env), dict(now.launch.env))
    secrets = ({each.name: f"from {each.ref.secret}" for each in plan.launch.secret_env} for plan in (was, now))
    yield from _changed("variable", *secrets)
    yield from (f"{line} (other nodes of the group)" for line in _of_members(was, now))
    yield from _changed("field", *(dict(plan.launch.pod_env) for plan in (was, now)))
    yield from _changed("", _times(was.launch), _times(now.launch))
    yield from _changed("", _place(was.decision), _place(now.decision))
    files = ({each.path: each.content for each in plan.launch.files} for plan in (was, now))
    yield from _files(*files)
    if was.fit.memory and now.fit.memory and was.fit.memory.kv_tokens != now.fit.memory.kv_tokens:
        budgets = f"{gib(was.fit.memory.kv_budget_bytes)} -> {gib(now.fit.memory.kv_budget_bytes)}"
        counts = f"{tokens(was.fit.memory.kv_tokens)} -> {tokens(now.fit.memory.kv_tokens)}"
        yield f"KV budget {budgets}, {counts} tokens"


def _command(launch: Launch) -> dict[str, str]:
    """What is started, by pod of a replica."""
    group = {"of other nodes": " ".join(launch.group.command)} if launch.group else {}
    return {"of the server": " ".join(launch.command) or "the image's own"} | group


def _times(launch: Launch) -> dict[str, str]:
    """How long pods may start, how they are asked, and how they leave."""
    probes = {
        f"{kind} probe: {name.removesuffix('_s')}": _said(name, value)
        for kind, probe in asdict(launch.probes).items()
        for name, value in probe.items()
    }
    return probes | {"sleep before the end": f"{launch.leave_s} s", "grace period": f"{launch.grace_s} s"}


def _said(name: str, value: object) -> str:
    if isinstance(value, tuple):
        value = " ".join(cast("tuple[str, ...]", value))
    return f"{value} s" if name.endswith("_s") else str(value) or "none"


def _place(decision: Decision) -> dict[str, str]:
    """Where pods run, and what they ask of their node."""
    host = decision.host
    return {
        "machine type": decision.machine_type,
        "pool": decision.pool or "any",
        "GPUs of a pod": str(decision.gpus_per_pod),
        "CPUs of a pod": f"{host.cpu_millicores / 1000:g}",
        "memory of a pod": f"{host.memory_mib} MiB",
        "shared memory of a pod": f"{host.shm_mib} MiB",
        "disk of a pod": f"{host.ephemeral_mib} MiB",
    }


def group_changes(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same for the templates of a workload: that of the pods that serve, and that of a group's other nodes."""
    told: set[str] = set()
    for index in range(max(len(was), len(now))):
        for line in pod_changes(_at(was, index), _at(now, index)):
            if line not in told:
                yield f"{line} (other nodes of the group)" if index else line
            told.add(line)


def _at(templates: Sequence[Mapping[str, Any]], index: int) -> Mapping[str, Any]:
    return templates[index] if index < len(templates) else {}


def pod_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """One line per thing that differs between two pod templates; a difference in any of them restarts the pods."""
    if was == now:
        return
    old, new = _container(was), _container(now)
    if old.get("image") != new.get("image"):
        yield f"image {old.get('image')} -> {new.get('image')}"
    yield from _changed("flag", _flags(old.get("args") or ()), _flags(new.get("args") or ()))
    yield from _changed("variable", _variables(old), _variables(new))
    said = ("image", "args", "env")
    yield from (f"{name} of the container differs" for name in _differing(old, new) if name not in said)
    yield from (f"{name} of the pod differs" for name in _differing(_pod(was), _pod(now)) if name != "containers")
    if was.get("metadata") != now.get("metadata"):
        yield "labels or annotations of the pod differ"


def _pod(template: Mapping[str, Any]) -> Mapping[str, Any]:
    return template.get("spec") or {}


def _container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = cast("Sequence[Mapping[str, Any]]", _pod(template).get("containers") or ({},))
    return containers[0]


def _variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Name -> value; of a variable that a Secret holds, where it lies."""
    listed = cast("Sequence[Mapping[str, Any]]", container.get("env") or ())
    return {each["name"]: str(each.get("value") or _reference(each)) for each in listed}


def _reference(variable: Mapping[str, Any]) -> str:
    source = cast("Mapping[str, Mapping[str, Any]]", variable.get("valueFrom") or {})
    held = source.get("secretKeyRef") or {}
    return f"Secret {held['name']}, key {held['key']}" if held else ""


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*was, *now} if was.get(name) != now.get(name))


def _of_members(was: Plan, now: Plan) -> Iterator[str]:
    """What differs in the pods of a group beside the first, and not in the first."""
    before, after = (_flags(plan.launch.group.args) if plan.launch.group else {} for plan in (was, now))
    told = set(_changed("flag", _flags(was.launch.args), _flags(now.launch.args)))
    yield from (line for line in _changed("flag", before, after) if line not in told)


def _files(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for path in sorted({*was, *now}):
        if was.get(path) != now.get(path):
            yield f"file {path} {'is new' if path not in was else 'is gone' if path not in now else 'changes'}"


def _changed(kind: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*was, *now}):
        what = f"{kind} {name}".strip()
        if name not in now:
            yield f"{what} is gone"
        elif name not in was:
            yield f"{what} is new" + (f": {now[name]}" if now[name] else "")
        elif was[name] != now[name]:
            yield f"{what} {was[name]} -> {now[name]}"


def _flags(args: Sequence[str]) -> dict[str, str]:
    """Flag -> what follows it. What stands before the first flag goes by the name `model`."""
    found: dict[str, str] = {}
    name = "model"
    for word in args:
        if word.startswith("-") and not NEGATIVE.fullmatch(word):
            name = word
            found.setdefault(name, "")
        else:
            found[name] = f"{found.get(name, '')} {word}".strip()
    return found
