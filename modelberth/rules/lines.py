"""Command lines that an engine does not take, and groups whose pods are started differently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from modelberth.engines import ENGINES
from modelberth.engines.flags import Parsed
from modelberth.findings import Finding
from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN
from modelberth.resources import Resource

_TAKES_A_MODEL = frozenset({"tensorrt_llm", "vllm"})
"""Engines whose command line takes the model without a flag, and no other word."""
_RANK = re.compile(r"\d+|\$\([A-Za-z_][A-Za-z0-9_]*\)")
_OF_THE_LEADER = frozenset(["api_key", "api_key_file", "headless", "host", "log_level", "node_rank", "port"])
"""What only the leader of a group needs, or what must differ."""


def stray(rule_id: str, workload: Workload, parsed: Parsed) -> Iterator[Finding]:
    """Words that belong to no flag: vLLM, SGLang (argparse), TGI (clap) and llama-server refuse them, click too."""
    engine = workload.engine or ""
    left = parsed.stray - (engine in _TAKES_A_MODEL and bool(parsed.positional))
    if left > 0 and not parsed.opaque and not parsed.unknown_flags:
        message = f"does not start: {left} {'word' if left == 1 else 'words'} of the command line belong to no flag"
        yield Finding(rule_id, workload.arguments_path, message, "the flag before its value, and no word beside")


def alike(rule_id: str, resource: Resource) -> Iterator[Finding]:
    """The pods of a group compute one model together: what shapes it is the same on all of them."""
    if resource.kind != "LeaderWorkerSet":
        return
    pods = {pod.role: pod for pod in resource.pods}
    leader, worker = pods.get("leader"), pods.get("worker")
    if leader is None or worker is None or not leader.serving or not worker.containers:
        return
    workload = leader.serving[0]
    if workload.observed is None or workload.observed.helper:
        return
    first = _line(workload, leader.container_at(workload))
    for container in worker.containers:
        other = _line(workload, container)
        if first is not None and other is not None and not (first.opaque or other.opaque):
            yield from _differences(rule_id, container, first, other, workload)


def _line(workload: Workload, container: Node) -> Parsed | None:
    return ENGINES[workload.observed.engine].line(fields_of(container.value)) if workload.observed else None


def _differences(rule_id: str, container: Node, first: Parsed, other: Parsed, workload: Workload) -> Iterator[Finding]:
    path = container["args"].path
    if other.not_taken or other.stray > first.stray:
        message = "does not start: the worker's command line has words that the engine does not take"
        yield Finding(rule_id, path, message, "the arguments of the leader, with the rank of the worker")
        return
    names = sorted({*first.values, *other.values} - _OF_THE_LEADER)
    differing = [name for name in names if _differ(first.values.get(name), other.values.get(name))]
    if [str(word) for word in first.positional[:1]] != [str(word) for word in other.positional[:1]]:
        differing.append("model")
    if differing:
        flags = ", ".join(name.replace("_", "-") for name in differing[:4])
        message = f"leader and worker differ in {flags}: the group never gets ready, or computes nonsense"
        yield Finding(rule_id, path, message, "the same arguments for both, beside the rank")
    for parsed in (first, other):
        nodes, rank = parsed.values.get("nnodes"), parsed.values.get("node_rank")
        if isinstance(nodes, str) and nodes.isdecimal() and int(nodes) != workload.group_size:
            message = f"started for {nodes} nodes, the group has {workload.group_size}"
            yield Finding(rule_id, path, message, f"--nnodes {workload.group_size}")
            break
        legible = rank is None or rank is UNKNOWN or _RANK.fullmatch(str(rank))
        if not legible or (nodes is not None and rank is None):
            yield Finding(rule_id, path, "the rank of the node is no number", "--node-rank $(LWS_WORKER_INDEX)")
            break
    engine = workload.observed.engine if workload.observed else ""
    if engine == "vllm" and "nnodes" in other.values and other.values.get("headless") is not True:
        message = "the worker starts an API server of its own: it waits for requests that never come"
        yield Finding(rule_id, path, message, "--headless")


def _differ(one: object, other: object) -> bool:
    return UNKNOWN not in (one, other) and one != other


def no_address(host: str) -> bool:
    """Whether a text meant as an address is surely none: digits and dots, and a letter among them."""
    if not host or "$" in host or not host[0].isdigit():
        return False
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return "." in host and not any(part.isalpha() for part in host.split("."))
    return False


__all__ = ["alike", "no_address", "stray"]
