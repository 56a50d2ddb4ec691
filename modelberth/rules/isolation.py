"""What a pod writes to, shares with its node and may ask of the cluster."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.engines.shells import environment
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.manifests import Workload
from modelberth.node import Node, fields_of
from modelberth.observed import UNKNOWN
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, IN_PROD, Rule, Settings, Severity, good_practice, undecided
from modelberth.rules.folders import absent_files, read_only_target, unmounted, unwritable
from modelberth.rules.standards import applies, host_breaches

_FILES, _NODE, _ACCOUNT = "WH-04", "WH-05", "WH-07"
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
_TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108
"""Where Python looks for a folder to write to (tempfile.py, _candidate_tempdir_list), beside the working one."""
_NEEDS_TEMPORARY = frozenset({"sglang", "vllm"})
"""Engines whose processes meet at sockets in such a folder: vllm/envs.py, VLLM_RPC_BASE_PATH; PortArgs of SGLang."""
_SOCKETS = frozenset(
    f"{base}/{name}" for base in ("/run", "/var/run") for name in ("docker.sock", "containerd/containerd.sock")
).union(["/run/crio/crio.sock", "/var/run/crio/crio.sock", "/run/podman/podman.sock", "/var/run/podman/podman.sock"])
_HOLDS_SOCKETS = frozenset(["/", "/run", "/var", "/var/run", "/run/containerd", "/var/run/containerd"])


def _files(resource: Resource, settings: Settings) -> Iterator[Finding]:
    level = good_practice(resource, settings)
    for pod in resource.pods:
        if not (pod.serves or resource.ours) or not applies(pod):
            continue
        for container in pod.all_containers:
            yield from _root(pod, container, level)
            if container.at("securityContext", "readOnlyRootFilesystem").flag():
                yield from unwritable(_FILES, container, level)
            if resource.ours:
                yield from unmounted(_FILES, pod, container)
            if pod.serves or resource.ours:
                yield from absent_files(_FILES, pod, container)
        if resource.ours and resource.kind == "Job":
            yield from read_only_target(_FILES, pod)
        for volume in pod.spec["volumes"].elements():
            limit = volume["emptyDir"]["sizeLimit"]
            if volume["emptyDir"].unknown and level is Level.ERROR:
                yield undecided(_FILES, "whether what is written has a limit", volume["emptyDir"])
            elif volume["emptyDir"].stated and not limit.stated:
                memory = volume["emptyDir"]["medium"].text() == "Memory"
                fills = "the memory of its pod until that is killed" if memory else "its node until pods are evicted"
                message = f"an emptyDir without sizeLimit fills {fills}"
                yield Finding(_FILES, f"{volume['emptyDir'].path}.sizeLimit", message, "sizeLimit: 1Gi, or more", level)


def _root(pod: Pod, container: Node, level: Level) -> Iterator[Finding]:
    read_only = container.at("securityContext", "readOnlyRootFilesystem")
    if read_only.unknown:
        if level is Level.ERROR:
            yield undecided(_FILES, "whether the root file system is read-only", read_only)
    elif not read_only.flag():
        message = "the root file system can be written to: what breaks in can stay"
        yield Finding(_FILES, read_only.path, message, "readOnlyRootFilesystem: true, and an emptyDir at /tmp", level)
    else:
        workload = next((each for each in pod.serving if each.path == container.path), None)
        yield from _temporary(container, level, sure=workload is not None and _needs_temporary(workload))


def _temporary(container: Node, level: Level, *, sure: bool) -> Iterator[Finding]:
    """Whether a container with a read-only root has a folder for temporary files; ``sure`` if it needs one to start."""
    level = Level.ERROR if sure else level
    mounts = container["volumeMounts"]
    paths = [mounts, *(mount["mountPath"] for mount in mounts.elements())]
    unknown = next((each for each in paths if each.unknown), None)
    if not _nowhere_to_write(container):
        return
    if unknown is not None:
        if level is Level.ERROR:
            yield undecided(_FILES, "whether a folder for temporary files can be written to", unknown)
        return
    message = "the root file system is read-only, and no folder for temporary files can be written to"
    message += ": the engine does not start" if sure else ""
    yield Finding(_FILES, mounts.path, message, "an emptyDir with a sizeLimit at /tmp", level)


def _needs_temporary(workload: Workload) -> bool:
    return workload.observed is not None and workload.observed.engine in _NEEDS_TEMPORARY


def _nowhere_to_write(container: Node) -> bool:
    """Whether no mount that is known holds a folder for temporary files, as far as variables tell which those are."""
    writable = [
        mount["mountPath"].text().rstrip("/") or "/"
        for mount in container["volumeMounts"].elements()
        if mount["mountPath"].text() and mount["readOnly"].flag() is not True
    ]
    variables = environment(fields_of(container.value))
    told = [variables[name] for name in _TEMPORARY if name in variables]
    if UNKNOWN in told or container["envFrom"].value or container["workingDir"].unknown:
        return False
    folders = [*(str(each) for each in told), *_TEMPORARY_FOLDERS, container["workingDir"].text()]
    return not any(_lies_in(folder, mount) for folder in folders if folder for mount in writable)


def _lies_in(folder: str, mount: str) -> bool:
    return folder.rstrip("/") == mount or folder.startswith(f"{mount.rstrip('/')}/")


def _node(resource: Resource, settings: Settings) -> Iterator[Finding]:
    level = good_practice(resource, settings)
    for pod in resource.pods:
        if not (pod.serves or resource.ours):
            continue
        volumes = pod.spec["volumes"]
        for hidden in (each for each in (volumes, *volumes.elements()) if each.unknown):
            yield undecided(_NODE, _SOCKET, hidden)
        for breach in host_breaches(pod):
            if not breach.baseline:
                continue
            if breach.unknown and level is Level.ERROR:
                yield undecided(_NODE, _SHARED, breach.field)
            elif not breach.unknown:
                yield from _shared(breach.field, level)


_SHARED = "whether the pod shares nothing with its node"
_SOCKET = "whether the container runtime's socket stays out of reach of a server"


def _shared(field: Node, level: Level) -> Iterator[Finding]:
    name = field.path.rpartition(".")[2]
    if name == "hostPath":
        yield from _mounted(field, level)
        return
    message, remedy = {
        "hostIPC": (
            "shares the memory segments of its node with everything on it",
            "leave it out; for shared memory an emptyDir with medium: Memory and a sizeLimit, mounted at /dev/shm",
        ),
        "hostPID": ("sees every process of its node", "leave it out"),
        "hostNetwork": (
            "listens on its node's addresses, where no NetworkPolicy holds",
            "leave it out; a Service for those who call it",
        ),
    }.get(name, ("takes a port of its node: a second replica does not fit beside it", "containerPort and a Service"))
    yield Finding(_NODE, field.path, message, remedy, level)


def _mounted(field: Node, level: Level) -> Iterator[Finding]:
    path = field["path"]
    folder = path.text().rstrip("/") or ("/" if path.text() else "")
    if path.unknown:
        yield undecided(_NODE, _SOCKET, path)
    elif folder in _SOCKETS or folder in _HOLDS_SOCKETS:
        message = "hands the node over: whoever reaches the container runtime's socket rules everything on it"
        yield Finding(_NODE, field.path, message, "leave it out")
    else:
        message = "mounts a folder of its node: the pod runs only where it lies, and its files outlive it unseen"
        yield Finding(
            _NODE, field.path, message, "a PersistentVolumeClaim for weights, an emptyDir for the rest", level
        )


def _token(resource: Resource, settings: Settings) -> Iterator[Finding]:
    level = good_practice(resource, settings)
    for pod in resource.pods:
        if not (pod.serves or resource.ours):
            continue
        mounted = pod.spec["automountServiceAccountToken"]
        if mounted.unknown and level is Level.ERROR:
            yield undecided(_ACCOUNT, "whether a token for the cluster is mounted", mounted)
        elif mounted.flag():
            yield _mounts_a_token(mounted)
        name = _account(pod)
        if pod.serves and not name.unknown and name.text() in ("", "default"):
            message = "runs as the namespace's default account, whose rights any other workload may have raised"
            remedy = "serviceAccountName: an account of its own"
            yield Finding(_ACCOUNT, f"{pod.spec.path}.serviceAccountName", message, remedy, Level.WARNING)


def _account(pod: Pod) -> Node:
    name = pod.spec["serviceAccountName"]
    return name if name.stated else pod.spec["serviceAccount"]


def _mounts_a_token(field: Node) -> Finding:
    message = "a token for the cluster is mounted into a server that asks nothing of the cluster"
    return Finding(_ACCOUNT, field.path, message, "automountServiceAccountToken: false")


def _token_of_account(inventory: Inventory, _: Settings) -> Iterator[tuple[Resource, Finding]]:
    """Pods that leave it to their account, which may be of the same stack."""
    for pod in inventory.pods:
        field = pod.spec["automountServiceAccountToken"]
        if not (pod.serves or pod.resource.ours) or field.stated:
            continue
        if not any(_leaves_out(account, pod) for account in inventory.of_kind("ServiceAccount")):
            yield pod.resource, _mounts_a_token(field)


def _leaves_out(account: Resource, pod: Pod) -> bool:
    """Whether this may be the account of a pod, and mounts no token."""
    wanted = _account(pod)
    name = wanted.text() or "default"
    same = wanted.unknown or account.object_name.unknown or account.object_name.text() == name
    mounted = account.node["automountServiceAccountToken"]
    near = account.namespace.text() == pod.resource.namespace.text() or account.namespace.unknown
    return same and (near or pod.resource.namespace.unknown) and (mounted.flag() is False or mounted.unknown)


READ_ONLY = Rule(
    id=_FILES,
    name="read-only-root",
    title="The root file system is read-only, and what is written has a limit",
    question="whether the root file system is read-only, and what is written has a limit",
    why="What breaks in cannot change the program, and a cache that grows does not fill the node.",
    remediation="readOnlyRootFilesystem: true; an emptyDir with a sizeLimit at /tmp and wherever caches go.",
    severity=Severity.MEDIUM,
    levels=ALWAYS,
    source="CKV_K8S_22 of checkov, C-0017 of Kubescape, require-emptydir-requests-limits of Kyverno; "
    "tempfile.py of Python",
    check=_files,
)
NOTHING_SHARED = Rule(
    id=_NODE,
    name="nothing-shared-with-the-node",
    title="The pod shares nothing with its node",
    question=_SHARED,
    why="Namespaces, ports, folders and sockets of the node lead from a server that was broken into to its neighbours.",
    remediation="A claim for weights, an emptyDir in memory at /dev/shm for shared memory, a Service for the port.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Pod Security Standards, baseline; CKV_K8S_17, _18, _19, _26, _27 of checkov; "
    "C-0038, C-0041, C-0044 of Kubescape",
    check=_node,
)
NO_TOKEN = Rule(
    id=_ACCOUNT,
    name="no-token-for-the-cluster",
    title="No token for the cluster is mounted",
    question="whether a token for the cluster is mounted",
    why="A server never asks the cluster for anything; an intruder does, with every right of its account.",
    remediation="automountServiceAccountToken: false on the pod, and an account of its own.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="CKV_K8S_38, _41 and _42 of checkov; C-0034 of Kubescape",
    check=_token,
    across=_token_of_account,
    foreign=ADVICE,
)
RULES: tuple[Rule, ...] = (READ_ONLY, NOTHING_SHARED, NO_TOKEN)
