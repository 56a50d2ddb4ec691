"""What the API server refuses about a pod template: names that are there twice, and names that nothing has."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.findings import Finding
from modelberth.node import Node
from modelberth.resources import Pod
from modelberth.rules.base import undecided

_QUESTION = "whether the API server takes the pod"
_REFUSED = "the API server refuses the pod"
_ALWAYS = frozenset({"DaemonSet", "Deployment", "LeaderWorkerSet", "ReplicaSet", "StatefulSet"})
_NEVER_ALWAYS = frozenset({"CronJob", "Job"})


def refused_by_the_api(pod: Pod) -> Iterator[Finding]:
    """Kubernetes, pkg/apis/core/validation: ValidatePodSpec, validateContainers, ValidateVolumeMounts; apps and batch
    on restartPolicy.
    """
    yield from _repeated([each["name"] for each in pod.all_containers], "another container of the pod has this name")
    yield from _repeated([each["name"] for each in pod.spec["volumes"].elements()], "another volume has this name")
    for container in pod.all_containers:
        mounts = list(container["volumeMounts"].elements())
        yield from _repeated([each["mountPath"] for each in mounts], "another volume is mounted there too")
        yield from _repeated([each["name"] for each in container["ports"].elements()], "another port has this name")
        yield from (finding for mount in mounts for finding in _mounts_nothing(pod, mount["name"]))
    yield from _restarts(pod)
    yield from (undecided("WH-21", _QUESTION, hidden) for hidden in _hidden(pod))


def _hidden(pod: Pod) -> Iterator[Node]:
    """Values that may be there twice, or name nothing. A volume of a computed name is mounted by the same."""
    volumes = pod.spec["volumes"]
    same = volumes.unknown or any(each.unknown or each["name"].unknown for each in volumes.elements())
    nodes = [pod.spec["restartPolicy"]]
    for container in pod.all_containers:
        mounts = container["volumeMounts"]
        nodes += [] if container.unknown else [container["name"], mounts]
        for mount in mounts.elements():
            nodes += [mount, *([] if same else [mount["name"]]), mount["mountPath"]]
    yield from {each.path: each for each in nodes if each.unknown}.values()


def _repeated(names: list[Node], message: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in names:
        if name.text() in seen:
            yield Finding("WH-21", name.path, f"{message}: {_REFUSED}", "one of its own")
        seen.update({name.text()} - {""})


def _mounts_nothing(pod: Pod, name: Node) -> Iterator[Finding]:
    claims = pod.resource.node.at("spec", "volumeClaimTemplates")
    volumes = [pod.spec["volumes"], claims, *pod.spec["volumes"].elements(), *claims.elements()]
    names = [each["name"] for each in pod.spec["volumes"].elements()]
    names += [each.at("metadata", "name") for each in claims.elements()]
    if not name.text() or any(each.unknown for each in (*volumes, *names)):
        return
    if all(each.text() != name.text() for each in names):
        message = f"the pod has no volume of this name: {_REFUSED}"
        yield Finding("WH-21", name.path, message, "an entry of volumes with this name, or the name of one there is")


def _restarts(pod: Pod) -> Iterator[Finding]:
    policy, kind = pod.spec["restartPolicy"], pod.resource.kind
    if kind in _ALWAYS and policy.text() in ("Never", "OnFailure"):
        yield Finding("WH-21", policy.path, f"a {kind} takes restartPolicy Always only: {_REFUSED}", "leave it out")
    elif kind in _NEVER_ALWAYS and policy.text() in ("Always",):
        message = f"a {kind} takes no restartPolicy Always: {_REFUSED}"
        yield Finding("WH-21", policy.path, message, "restartPolicy: OnFailure, or Never")
