"""What a serving container loads when it starts: how many bytes, from where, and what it is mounted on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelberth.catalog import Checkpoint, Format, Model, catalog
from modelberth.clouds import storage
from modelberth.engines import ENGINES
from modelberth.engines.flags import command_line
from modelberth.engines.shells import environment
from modelberth.manifests import Workload
from modelberth.memory import Unsized, gguf_bytes, safetensors_bytes, shape_of, stored_as
from modelberth.names import Quantization
from modelberth.node import Node
from modelberth.resources import Pod
from modelberth.rules.evaluation import Evaluation, evaluate

SHM = "/dev/shm"  # noqa: S108 - the mount point itself
_MODEL_FLAG = re.compile(r"--(?:model|model[-_]path|model[-_]id)(?:=(.*))?", re.DOTALL)
_SHORT_MODEL_FLAG = re.compile(r"(?:--model|-m)(?:=(.*))?", re.DOTALL)
"""Of llama-server; Python's own -m means something else."""
_DIRECTORY_FLAG = re.compile(r"--download[-_]dir(?:=(.*))?", re.DOTALL)
_MODEL_VARIABLES = ("MODEL_ID", "LLAMA_ARG_MODEL", "MODEL", "MODEL_PATH")
_HUB_VARIABLES = (
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", ""),
    ("XDG_CACHE_HOME", ""),
    ("HOME", "/.cache/huggingface"),
)
"""Where huggingface_hub keeps files: its constants.py, in the order in which it asks."""
_OWN_VARIABLES = {
    "llamacpp": (("LLAMA_CACHE", ""), *_HUB_VARIABLES),
    "ollama": (("OLLAMA_MODELS", ""), ("HOME", "/.ollama")),
}
_OWN_DEFAULTS = {"tgi": "/data", "ollama": "/root/.ollama", "llamacpp": ""}
"""Set in TGI's image (HUGGINGFACE_HUB_CACHE=/data); llama-server's default differs between builds."""
_MODEL_IN_A_FILE = frozenset({"tensorrt_llm"})
"""Triton reads the model's path from a file of settings."""
_ROOT_DEFAULT = "/root/.cache/huggingface"


@dataclass(frozen=True)
class Place:
    """Where files lie. ``mount`` is the mount that holds them, ``volume`` what it mounts (a volume of the pod, or a
    claim template of a StatefulSet); neither where they lie in the container's own file system.

    ``unknown`` is the value that keeps it open, ``known`` is False where nothing tells the folder: then any will do.
    """

    mount: Node | None = None
    volume: Node | None = None
    unknown: Node | None = None
    known: bool = True


@dataclass(frozen=True)
class Weights:
    """The files of a model. ``stored_bytes`` is the least that they may take, ``downloads`` whether the container gets
    them itself, ``from_volume`` whether a volume or a bucket that it reads directly has them already.
    """

    stored_bytes: int
    downloads: bool
    from_volume: bool
    place: Place


def weights_of(pod: Pod, workload: Workload) -> Weights | None:
    """What a workload loads; None where the manifest does not settle what it is."""
    stored = _stored_bytes(workload, evaluate(workload))
    if stored is None or workload.observed is None:
        return None
    container = pod.container_at(workload)
    path = _model_path(container, workload.observed.engine)
    if path is not None:
        place = mounted(pod, container, path)
        return Weights(stored, downloads=False, from_volume=True, place=place)
    if _in_bucket(container):
        return Weights(stored, downloads=False, from_volume=True, place=Place())
    env = environment(_mapping(container))
    downloads = not workload.observed.anonymous_path and env.get("HF_HUB_OFFLINE", "0") in ("0", "")
    directory = _directory(pod, container, workload.observed.engine)
    elsewhere = not downloads and workload.observed.engine in _MODEL_IN_A_FILE
    place = mounted(pod, container, directory) if directory and not elsewhere else _nowhere(container)
    return Weights(stored, downloads=downloads, from_volume=not downloads, place=place)


def _in_bucket(container: Node) -> bool:
    """Whether the server reads its model from a bucket itself, straight into the memory of its accelerators."""
    words = _words(container)
    return any(any(storage.bucket_names(word)) for word in (_told(words, _MODEL_FLAG) or "", *_positional(words)))


def _positional(words: list[str]) -> list[str]:
    return [word for i, word in enumerate(words) if not (i and words[i - 1].startswith("-"))]


def _nowhere(container: Node) -> Place:
    """The place of files in a folder that nothing tells, with the value that may hide it."""
    told = (container["args"], container["command"], container["env"])
    listed = (each for node in told for each in (node, *node.elements()))
    values = (value for each in listed for value in (each, each["name"], each["value"]))
    return Place(unknown=next((value for value in values if value.unknown), None), known=False)


def mounted(pod: Pod, container: Node, path: str) -> Place:
    """Where a path of a container lies."""
    mounts = container["volumeMounts"]
    if mounts.unknown:
        return Place(unknown=mounts)
    open_ended = next((m["mountPath"] for m in mounts.elements() if m.unknown or m["mountPath"].unknown), None)
    holding = [mount for mount in mounts.elements() if _holds(mount["mountPath"].text(), path)]
    if not holding:
        return Place(unknown=open_ended)
    mount = max(holding, key=lambda each: len(each["mountPath"].text().rstrip("/")))
    if mount["name"].unknown:
        return Place(mount, unknown=mount["name"])
    named = [volume for volume in _volumes(pod) if volume.unknown or _name(volume) == mount["name"].text()]
    volume = next((each for each in named if not each.unknown), named[0] if named else None)
    nameless = (each for each in _volumes(pod) if _nameless(each) is not None)
    hidden = next(nameless, None) if volume is None else volume if volume.unknown else None
    if hidden is not None:
        return Place(mount, unknown=_nameless(hidden) or hidden)
    return Place(mount, volume)


def _volumes(pod: Pod) -> Iterator[Node]:
    """Volumes of a pod, claim templates first: they win over volumes of the same name."""
    for volumes in (pod.resource.node.at("spec", "volumeClaimTemplates"), pod.spec["volumes"]):
        yield from volumes.each()


def _name(volume: Node) -> str:
    return volume["name"].text() or volume.at("metadata", "name").text()


def _nameless(volume: Node) -> Node | None:
    """The name of a volume that is only known after apply."""
    return next((each for each in (volume["name"], volume.at("metadata", "name")) if each.unknown), None)


def _holds(mount_path: str, path: str) -> bool:
    folder = mount_path.rstrip("/")
    return bool(mount_path) and (path == folder or path.startswith(f"{folder}/"))


def _mapping(container: Node) -> dict[str, object]:
    return {name: container[name].value for name in container.names()}


def _model_path(container: Node, engine: str) -> str | None:
    """The local path that a container is told to serve, None when it is told none."""
    words = _words(container)
    told = _told(words, _SHORT_MODEL_FLAG if engine == "llamacpp" else _MODEL_FLAG)
    if told is not None:
        return told if told.startswith("/") else None
    env = environment(_mapping(container))
    by_variable = [value for name in _MODEL_VARIABLES if isinstance(value := env.get(name), str)]
    candidates = [value for value in (*by_variable, *_positional(words)) if value.startswith("/")]
    return next((path for path in candidates if _is_mounted(container, path)), None)


def _words(container: Node) -> list[str]:
    return [word if isinstance(word, str) else "" for word in command_line(_mapping(container))]


def _told(words: list[str], flag: re.Pattern[str]) -> str | None:
    """What a flag is told, empty where that is unknown; None where the flag is not there."""
    for index, word in enumerate(words):
        found = flag.fullmatch(word)
        if found:
            return found[1] if found[1] is not None else "".join(words[index + 1 : index + 2])
    return None


def _is_mounted(container: Node, path: str) -> bool:
    return any(_holds(mount["mountPath"].text(), path) for mount in container["volumeMounts"].elements())


def _directory(pod: Pod, container: Node, engine: str) -> str | None:
    """The folder that a server downloads to, None where it is not told."""
    told = _told(_words(container), _DIRECTORY_FLAG)
    if told is not None:
        return told if told.startswith("/") else None
    env = environment(_mapping(container))
    listed = (container["env"], *container["env"].elements())
    if container["envFrom"].stated or any(each.unknown or each["name"].unknown for each in listed):
        return None
    for name, below in _OWN_VARIABLES.get(engine, _HUB_VARIABLES):
        if name in env:
            value = env[name]
            return f"{value}{below}" if isinstance(value, str) and value.startswith("/") else None
    user = container.at("securityContext", "runAsUser")
    user = user if user.stated else pod.spec.at("securityContext", "runAsUser")
    if engine != "tgi" and user.stated and user.whole() != 0:
        return None
    return _OWN_DEFAULTS.get(engine, _ROOT_DEFAULT) or None


def _stored_bytes(workload: Workload, found: Evaluation) -> int | None:
    """The least that the files may take: where several checkpoints could be meant, the smallest."""
    model, sizing = found.model, found.sizing
    if model is None or sizing is None or not sizing.quantization:
        return None
    try:
        return _bytes_of(workload, model, sizing.quantization, sizing.stored_bytes, sizing.repository)
    except Unsized:
        return None


def _bytes_of(
    workload: Workload, model: Model, quantization: str, stored: int | None, repository: str | None
) -> int | None:
    if stored:
        return stored
    shape = shape_of(model)
    if quantization not in set(Quantization):
        return None
    if Quantization(quantization).is_gguf:
        return catalog().file_bytes(model.id, quantization) or gguf_bytes(shape, quantization)
    row = catalog().checkpoint(repository) if repository else None
    if row is not None:
        return row.bytes or safetensors_bytes(shape, stored_as(model, quantization, row, None))
    native = model.quantization.value if model.quantization else "bf16"
    own = model.weights_bytes or safetensors_bytes(shape, stored_as(model, native, None, None))
    if workload.observed is None or (workload.observed.model == model.id and not _is_local(workload)):
        return own
    return min([own, *(each.bytes or own for each in _checkpoints(model, quantization))])


def _is_local(workload: Workload) -> bool:
    """Whether our own record says what the weights are: then they may come from any repository."""
    return workload.sizing_record is not None


def _checkpoints(model: Model, quantization: str) -> tuple[Checkpoint, ...]:
    rows = catalog().checkpoints(model.id, quantization)
    return tuple(row for row in rows if row.format is Format.SAFETENSORS)


def told_already(workload: Workload, cause: Node) -> bool:
    """Whether the rule about what cannot be sized names this value."""
    return any(each.path == cause.path for each in evaluate(workload).undecided)


def loads_at_start(workload: Workload) -> bool:
    """Whether its server answers only when the model is loaded: Ollama answers before, and loads when it is asked."""
    return (
        workload.observed is not None and workload.observed.engine in ENGINES and workload.observed.engine != "ollama"
    )
