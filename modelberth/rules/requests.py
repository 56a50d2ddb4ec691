"""Requests and limits of containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.findings import Finding, Level
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, good_practice, undecided

_ID = "WH-02"
_QUESTION = "whether requests and limits are stated, and such that the API server takes them"
_STATED = ("cpu", "memory", "ephemeral-storage")
_BUILT_IN = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+")
_LEGIBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?", re.ASCII)
"""Quantities as apimachinery reads them: pkg/api/resource/quantity.go and suffix.go."""


def _check(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for container in pod.all_containers:
            yield from _refused(container)
        if pod.serves or resource.ours:
            level = good_practice(resource, settings)
            for container in pod.all_containers:
                yield from _open(container)
                yield from _unstated(pod, container, level)
                if _holds_a_model(pod, container):
                    yield from _unequal_memory(container, level)


def _refused(container: Node) -> Iterator[Finding]:
    """What the API server refuses: pkg/apis/core/validation, ValidateContainerResourceRequirements."""
    requests, limits = container.at("resources", "requests"), container.at("resources", "limits")
    for amount in _amounts(requests, limits):
        yield from _illegible(amount)
    for name in dict.fromkeys([*requests.names(), *limits.names()]):
        request, limit = requests[name], limits[name]
        if "/" not in name and not _BUILT_IN.fullmatch(name):
            where = limit if limit.stated else request
            message = "is no resource of containers: the API server refuses a name without a domain"
            yield Finding(_ID, where.path, message, "nvidia.com/gpu for GPUs; else cpu, memory or ephemeral-storage")
        elif _may_be_overcommitted(name):
            yield from _more_than_its_limit(request, limit)
        else:
            yield from _not_its_limit(request, limit)


def _open(container: Node) -> Iterator[Finding]:
    """Amounts that are not known yet: what the API server says of them is not known either."""
    requests, limits = container.at("resources", "requests"), container.at("resources", "limits")
    for source in (requests, limits):
        yield from (undecided(_ID, _QUESTION, amount) for _, amount in source.items() if amount.unknown)


def _amounts(requests: Node, limits: Node) -> Iterator[Node]:
    for source in (requests, limits):
        yield from (amount for _, amount in source.items() if amount.stated and not amount.unknown)


def _illegible(amount: Node) -> Iterator[Finding]:
    value = amount.value
    legible = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not legible or not _LEGIBLE.fullmatch(str(value)):
        message = "is no quantity of Kubernetes: the API server refuses it"
        yield Finding(_ID, amount.path, message, "a number with Ki, Mi, Gi, k, M, G or m behind it, without a blank")
    elif str(value).startswith("-") and amount.amount() is None:
        yield Finding(_ID, amount.path, "is negative: the API server refuses it", "zero or more")


def _may_be_overcommitted(name: str) -> bool:
    native = "/" not in name or "kubernetes.io/" in name
    return native and not name.startswith("hugepages-")


def _more_than_its_limit(request: Node, limit: Node) -> Iterator[Finding]:
    asked, most = request.amount(), limit.amount()
    if asked is not None and most is not None and asked > most:
        message = f"the request of {_told(request)} is more than the limit of {_told(limit)}: the API server refuses it"
        yield Finding(_ID, request.path, message, f"at most {_told(limit)}")


def _not_its_limit(request: Node, limit: Node) -> Iterator[Finding]:
    """Devices are counted in whole ones, and what is requested is the limit."""
    for amount in (request, limit):
        count = amount.amount()
        if count is not None and count != int(count):
            message = f"{_told(amount)} is no whole number of devices: the API server refuses it"
            yield Finding(_ID, amount.path, message, "1, 2 or more; a share of a GPU is a resource of its own (MIG)")
    asked, most = request.amount(), limit.amount()
    if request.stated and not limit.stated:
        message = "devices are requested without a limit: the API server refuses it"
        yield Finding(_ID, request.path, message, "state the limit; the request follows it")
    elif request.stated and request.unknown != limit.unknown:
        yield undecided(_ID, _QUESTION, request if request.unknown else limit)
    elif asked is not None and most is not None and asked != most:
        message = f"{_told(request)} devices are requested, the limit is {_told(limit)}: the API server refuses it"
        yield Finding(_ID, request.path, message, f"{_told(limit)}, or leave the request out")


def _unstated(pod: Pod, container: Node, level: Level) -> Iterator[Finding]:
    resources = container["resources"]
    unknown = next((each for each in (resources, resources["limits"], resources["requests"]) if each.unknown), None)
    if unknown is not None:
        if level is Level.ERROR:
            yield undecided(_ID, _QUESTION, unknown)
        return
    missing: list[str] = []
    for name in _STATED:
        asked = _of(pod, container, "requests", name)
        if asked.stated and asked.amount() == 0 and _of(pod, container, "limits", name).amount() != 0:
            message = f"nothing of {name} is kept for it: any node counts as having enough"
            yield Finding(_ID, asked.path, message, "what it needs, or no request where there is a limit", level)
        if not _of(pod, container, "limits", name).stated:
            requested = _of(pod, container, "requests", name).stated
            missing.append(f"{name} limit" if requested else f"{name} request and limit")
    if missing:
        message = f"no {', no '.join(missing)}: what it takes is not kept for it, or not bounded"
        yield Finding(_ID, resources.path, message, f"state {', '.join(missing)}", level)


def _of(pod: Pod, container: Node, what: str, name: str) -> Node:
    """What a container states, else what its pod states for all of them."""
    own = container.at("resources", what, name)
    whole = pod.spec.at("resources", what, name)
    return own if own.stated or not whole.stated else whole


def _holds_a_model(pod: Pod, container: Node) -> bool:
    paths = {workload.path for workload in pod.serving}
    return container.path in paths or (not paths and pod.role == "worker" and container in pod.containers)


def _unequal_memory(container: Node, level: Level) -> Iterator[Finding]:
    resources = container["resources"]
    request, limit = resources.at("requests", "memory"), resources.at("limits", "memory")
    asked, most = request.amount(), limit.amount()
    if asked is not None and most is not None and asked < most:
        message = f"{_told(request)} of memory are kept for it, it may take {_told(limit)}: when the node runs short,"
        message += " such a pod is killed first"
        yield Finding(_ID, request.path, message, f"a request of {_told(limit)}, the limit", level)


def _told(amount: Node) -> str:
    """A quantity as it is written; legible ones only come here. The engine sends every number as a float."""
    value = amount.value
    return f"{value:.15g}" if isinstance(value, float) else str(value)


STATED: Rule = Rule(
    id=_ID,
    name="requests-and-limits",
    title="Requests and limits are stated, and the API server takes them",
    question=_QUESTION,
    why="A pod of devices that are not whole, or not limited, is refused; one without a memory request is placed on a "
    "node that has too little, and killed while it loads.",
    remediation="State cpu, memory and ephemeral-storage, memory with one figure for both; devices only as limits.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="pkg/apis/core/validation of Kubernetes, ValidateContainerResourceRequirements; CKV_K8S_10 to _13 of "
    "checkov; unset-cpu-requirements and unset-memory-requirements of kube-linter",
    check=_check,
)
RULES: tuple[Rule, ...] = (STATED,)
