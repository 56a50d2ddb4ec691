"""The Pod Security Standards: in which fields a pod does not meet baseline or restricted.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ and k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.node import Node
from modelberth.resources import Pod

ENFORCE = "pod-security.kubernetes.io/enforce"
"""The label of a namespace that names the standard its pods have to meet."""
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_BASELINE_CAPABILITIES = frozenset(
    ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"]
).union(["SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"])
_RESTRICTED_CAPABILITIES = frozenset(["NET_BIND_SERVICE"])
_PROFILES = frozenset(["RuntimeDefault", "Localhost"])
_RESTRICTED_VOLUMES = frozenset(
    ["name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"]
).union(["projected", "secret"])


@dataclass(frozen=True)
class Breach:
    """A field that does not meet a standard: what is wrong with it, and what it should be.

    ``where`` is the container or the pod. ``unknown`` is the value that leaves it open, None where it is certain.
    """

    where: Node
    field: Node
    what: str
    should_be: str
    baseline: bool = False
    unknown: bool = False


def applies(pod: Pod) -> bool:
    """Whether the standards are about such a pod: not about one for Windows."""
    return pod.spec.at("os", "name").text() != "windows"


def effective(pod: Pod, container: Node, *steps: str) -> Node:
    """A field of a container's security context, else of its pod's."""
    own = container["securityContext"].at(*steps)
    return own if own.stated else pod.spec["securityContext"].at(*steps)


def host_breaches(pod: Pod) -> Iterator[Breach]:
    """What a pod shares with its node."""
    for name in HOST_NAMESPACES:
        shared = pod.spec[name]
        if shared.flag() or shared.unknown:
            yield Breach(pod.spec, shared, f"{name} is true", "false", baseline=True, unknown=shared.unknown)
    for container in pod.all_containers:
        for port in container["ports"].elements():
            taken = port["hostPort"]
            if taken.whole() or (taken.unknown and not container.unknown):
                yield Breach(container, taken, "a port of the node is taken", "", baseline=True, unknown=taken.unknown)
    for volume in pod.spec["volumes"].elements():
        if volume["hostPath"].stated and not volume.unknown:
            yield Breach(volume, volume["hostPath"], "a folder of the node is mounted", "", baseline=True)
        elif not volume.unknown and not _RESTRICTED_VOLUMES.issuperset(volume.names()):
            yield Breach(volume, volume, "a volume is of a kind that is not allowed", "")


def container_breaches(pod: Pod, container: Node) -> Iterator[Breach]:
    """What a container may do that the restricted standard does not allow."""
    context = container["securityContext"]
    privileged, escalation = context["privileged"], context["allowPrivilegeEscalation"]
    if privileged.flag() or privileged.unknown:
        yield Breach(container, privileged, "privileged is true", "privileged: false", True, privileged.unknown)
    if escalation.flag() is not False:
        what = "allowPrivilegeEscalation is not false"
        yield Breach(container, escalation, what, "allowPrivilegeEscalation: false", unknown=escalation.unknown)
    yield from _user(pod, container)
    yield from _capabilities(container)
    profile = effective(pod, container, "seccompProfile", "type")
    if profile.text() not in _PROFILES:
        should_be = "seccompProfile: {type: RuntimeDefault}"
        unconfined = profile.text() == "Unconfined"
        yield Breach(container, profile, "no seccomp profile holds", should_be, unconfined, profile.unknown)
    mount = context["procMount"]
    if mount.text() not in ("", "Default"):
        yield Breach(container, mount, "procMount is not Default", "procMount: Default", baseline=True)


def _user(pod: Pod, container: Node) -> Iterator[Breach]:
    non_root, user = effective(pod, container, "runAsNonRoot"), effective(pod, container, "runAsUser")
    if non_root.flag() is not True:
        yield Breach(container, non_root, "runAsNonRoot is not true", "runAsNonRoot: true", unknown=non_root.unknown)
    if user.whole() == 0:
        yield Breach(container, user, "runAsUser is root", "runAsUser: 20000")


def _capabilities(container: Node) -> Iterator[Breach]:
    capabilities = container.at("securityContext", "capabilities")
    dropped = [each.text().upper() for each in capabilities["drop"].elements()]
    if "ALL" not in dropped:
        unknown = capabilities["drop"].unknown or any(each.unknown for each in capabilities["drop"].elements())
        what, should_be = "not all capabilities are dropped", "capabilities: {drop: [ALL]}"
        yield Breach(container, capabilities["drop"], what, should_be, unknown=unknown)
    for added in capabilities["add"].elements():
        name = added.text().upper().removeprefix("CAP_")
        if added.unknown or name not in _RESTRICTED_CAPABILITIES:
            gained = not added.unknown and name not in _BASELINE_CAPABILITIES
            yield Breach(container, added, "a capability is added", "none but NET_BIND_SERVICE", gained, added.unknown)
