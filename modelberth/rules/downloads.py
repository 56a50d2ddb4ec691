"""Downloads that our components write: what they start, which variables it reads, and that servers read the result."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.clouds.storage import bucket_names
from modelberth.engines.base import HUB_ENDPOINT, WEIGHTS_MOUNT
from modelberth.engines.shells import environment
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.node import Node, fields_of
from modelberth.resources import Pod, Resource
from modelberth.rules.relations import resembles
from modelberth.rules.variables import misspelt

Told = Iterator[tuple[Resource, Finding]]
_ROLE = "modelberth.dev/role"
_READ = re.compile(r"\$\{?([A-Z][A-Z_]+)(?![A-Z_]*:-)\}?|os\.environ\[\"([A-Z_]+)\"\]")
_SET = re.compile(r"^\s*([A-Z][A-Z_]+)=|;\s*([A-Z][A-Z_]+)=", re.MULTILINE)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FOLDER = re.compile(rf"(?<![\w./-]){WEIGHTS_MOUNT}/([\w.][\w./-]*)")


def is_download(resource: Resource) -> bool:
    """Whether it is a Job of ours that fills a volume."""
    return resource.kind == "Job" and resource.ours and resource.labels[_ROLE].text() == "fetch"


def started(rule_id: str, resource: Resource) -> Iterator[Finding]:
    """A shell with a script, and every variable that the script cannot do without."""
    for pod in resource.pods if is_download(resource) else ():
        for container in pod.containers:
            yield from _started(rule_id, container)


def _started(rule_id: str, container: Node) -> Iterator[Finding]:
    command = container["command"]
    words = [word.text() for word in command.elements()]
    if command.unknown or any(word.unknown for word in command.elements()):
        return
    if (
        len(words) != 3
        or words[0].rpartition("/")[2] not in ("bash", "sh")
        or not re.fullmatch("-[a-z]*c[a-z]*", words[1])
    ):
        message = "the download starts something else than a shell with its script"
        yield Finding(rule_id, command.path, message, "let the components write it")
        return
    yield from _into_its_folder(rule_id, container)
    yield from misspelt(rule_id, container, None, None, Level.ERROR)
    script = words[2]
    given = {name for found in _SET.findall(script) for name in found if name}
    given |= {name for name, value in environment(fields_of(container.value)).items() if value != ""}
    needed = {name for found in _READ.findall(script) for name in found if name}
    missing = sorted(needed - given - {"TARGET", "HOME"})
    if missing and not container["envFrom"].value:
        message = f"the script of the download reads {', '.join(missing)}, which is not set: it stops at once"
        yield Finding(rule_id, f"{container.path}.env", message, "let the components write it")


def _into_its_folder(rule_id: str, container: Node) -> Iterator[Finding]:
    """The folder says which repository and which revision lie in it."""
    env = environment(fields_of(container.value))
    folder, repository, revision = (env.get(name) for name in ("FOLDER", "REPOSITORY", "REVISION"))
    if not isinstance(folder, str) or not isinstance(repository, str):
        return
    endpoint = env.get("HF_ENDPOINT")
    if isinstance(endpoint, str) and resembles(endpoint, HUB_ENDPOINT):
        message = "the hub's address is misspelt: nothing is found there"
        yield Finding(rule_id, f"{container.path}.env", message, HUB_ENDPOINT)
    named = [repository.replace("/", "--"), *([revision] if isinstance(revision, str) and revision else [])]
    pinned = any(_COMMIT.fullmatch(part) for part in folder.split("/"))
    if not all(part in folder.split("/") for part in named) or (pinned and len(named) == 1):
        message = "the folder is named after another repository or revision than is downloaded into it"
        yield Finding(rule_id, f"{container.path}.env", message, "let the components write it")


def read_by_servers(rule_id: str, inventory: Inventory) -> Told:
    """Folders under which servers of ours look for weights are those that downloads of the stack fill."""
    filled = {_folder_of(pod) for pod in inventory.pods if is_download(pod.resource)}
    if not filled or None in filled:
        return
    claims = {claim for pod in inventory.pods if is_download(pod.resource) for claim in _claims(pod)}
    for pod in inventory.pods:
        if not (pod.serves and pod.resource.ours and claims.intersection(_claims(pod))):
            continue
        for container in pod.containers:
            words = [*container["args"].elements(), *(entry["value"] for entry in container["env"].elements())]
            for word in words:
                found = _FOLDER.search(word.text())
                if found and not any(_same(found[1], folder or "") for folder in filled):
                    message = "no download of the stack fills this folder: the server finds nothing there"
                    yield pod.resource, Finding(rule_id, word.path, message, "the folder of a download")
    used = [*_texts(inventory)]
    for pod in inventory.pods:
        folder = _folder_of(pod) if is_download(pod.resource) else None
        file = _variable(pod, "FILE") if folder else None
        read = [text for text in used if folder and text.startswith(f"{folder}/")]
        if file and read and not any(text == f"{folder}/{file}" for text in read):
            message = "the server reads another file than is downloaded into this folder"
            path = f"{pod.spec.path}.containers[0].env"
            yield pod.resource, Finding(rule_id, path, message, "the file that a server is told")
        elif folder and not any(folder in text or text in folder for text in used):
            message = "no server of the stack reads the folder that this download fills"
            path = f"{pod.spec.path}.containers[0].env"
            yield pod.resource, Finding(rule_id, path, message, "the folder that a server is told")


def _claims(pod: Pod) -> set[str]:
    """The claims that a pod mounts, by name."""
    names = (volume.at("persistentVolumeClaim", "claimName").text() for volume in pod.spec["volumes"].elements())
    return {name for name in names if name}


def _texts(inventory: Inventory) -> Iterator[str]:
    for pod in inventory.pods:
        if pod.serves:
            for container in pod.all_containers:
                for word in (*container["args"].elements(), *(e["value"] for e in container["env"].elements())):
                    yield from (found[1] for found in _FOLDER.finditer(word.text()))
                    if any(bucket_names(word.text())):
                        yield word.text().partition("://")[2].partition("/")[2]


def _same(read: str, filled: str) -> bool:
    return read == filled or read.startswith(f"{filled}/") or filled.startswith(f"{read}/")


def _folder_of(pod: Pod) -> str | None:
    return _variable(pod, "FOLDER")


def _variable(pod: Pod, name: str) -> str | None:
    entries = (entry for container in pod.containers for entry in container["env"].elements())
    return next((entry["value"].text() or None for entry in entries if entry["name"].text() == name), None)


__all__ = ["is_download", "read_by_servers", "started"]
