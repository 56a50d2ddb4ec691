"""Folders that a container writes to or reads from, and what is mounted there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.engines.base import CACHE_MOUNT, HUB_TOKEN_MOUNT, WEIGHTS_MOUNT
from modelberth.engines.shells import environment
from modelberth.findings import Finding, Level
from modelberth.node import Node, fields_of
from modelberth.resources import Pod

_CACHES = re.compile(
    r"HF_HOME|HF_HUB_CACHE|HUGGINGFACE_HUB_CACHE|TRANSFORMERS_CACHE|XDG_CACHE_HOME|VLLM_CACHE_ROOT|TRITON_CACHE_DIR"
    r"|TORCHINDUCTOR_CACHE_DIR|TORCH_HOME|NUMBA_CACHE_DIR|CUDA_CACHE_PATH|OLLAMA_MODELS|HOME"
)
"""Variables whose folders engines write to: their own documentation, huggingface_hub and PyTorch."""
_OURS = (WEIGHTS_MOUNT, CACHE_MOUNT, HUB_TOKEN_MOUNT)
"""Folders that our components mount; that of the hub's token only where there is one."""


def unwritable(rule_id: str, container: Node, level: Level) -> Iterator[Finding]:
    """Caches of a container whose root file system is read-only lie in a mount; which can be written, is told apart."""
    mounts = container["volumeMounts"]
    paths = [mount["mountPath"] for mount in mounts.elements()]
    if mounts.unknown or any(path.unknown for path in paths):
        return
    folders = [path.text() for path in paths if path.text()]
    variables = environment(fields_of(container.value))
    for name, value in variables.items():
        if not _CACHES.fullmatch(name) or not isinstance(value, str) or (value and not value.startswith("/")):
            continue
        if not any(lies_in(value, folder) for folder in folders):
            message = f"the root file system is read-only, and {name} is a folder that no volume is mounted at"
            yield Finding(
                rule_id, f"{container.path}.env", message, "an emptyDir there, or a folder that is one", level
            )


def unmounted(rule_id: str, pod: Pod, container: Node) -> Iterator[Finding]:
    """Folders of ours that a container's words name and that nothing is mounted at."""
    mounts = container["volumeMounts"]
    folders = [mount["mountPath"].text() for mount in mounts.elements() if mount["mountPath"].text()]
    if mounts.unknown or any(mount["mountPath"].unknown for mount in mounts.elements()):
        return
    words = [word.text() for key in ("command", "args") for word in container[key].elements()]
    words += [entry["value"].text() for entry in container["env"].elements()]
    text = "\n".join(words)
    secrets = any(volume["secret"].stated for volume in pod.spec["volumes"].elements())
    for folder in _OURS if secrets else _OURS[:2]:
        named = re.search(rf"(?<![\w./-]){re.escape(folder)}(?=/|[\s\"']|$)", text, re.MULTILINE)
        if named and not any(lies_in(folder, mount) or lies_in(mount, folder) for mount in folders):
            message = f"{folder} is read or written and no volume is mounted there"
            yield Finding(rule_id, mounts.path, message, f"the volume's mountPath: {folder}")


def absent_files(rule_id: str, pod: Pod, container: Node) -> Iterator[Finding]:
    """Files of a Secret that variables name and that its volume does not hold."""
    volumes = {volume["name"].text(): volume for volume in pod.spec["volumes"].elements()}
    for mount in container["volumeMounts"].elements():
        volume, folder = volumes.get(mount["name"].text()), mount["mountPath"].text().rstrip("/")
        items = list(volume["secret"]["items"].elements()) if volume is not None else []
        held = {item["path"].text() for item in items}
        if not items or any(item["path"].unknown for item in items):
            continue
        for entry in container["env"].elements():
            value = entry["value"].text()
            if folder and value.startswith(f"{folder}/") and value.removeprefix(f"{folder}/") not in held:
                message = "the volume of the Secret that is mounted there holds no file of this name"
                yield Finding(rule_id, entry["value"].path, message, "the path of one of its items")


def read_only_target(rule_id: str, pod: Pod) -> Iterator[Finding]:
    """A download of ours writes to its volume."""
    for container in pod.containers:
        for mount in container["volumeMounts"].elements():
            claim = next((v for v in pod.spec["volumes"].elements() if v["name"].text() == mount["name"].text()), None)
            source = claim["persistentVolumeClaim"] if claim is not None else Node(None, "")
            for field in (mount["readOnly"], source["readOnly"]):
                if source.stated and field.flag():
                    message = "the volume that weights are downloaded to cannot be written"
                    yield Finding(rule_id, field.path, message, "readOnly: false")


def lies_in(folder: str, mount: str) -> bool:
    """Whether a folder is a mount or lies in one."""
    return folder.rstrip("/") == mount.rstrip("/") or folder.startswith(f"{mount.rstrip('/')}/")
