"""Kubernetes objects as plain data -> what they serve; values not known yet are :data:`~modelberth.observed.UNKNOWN`.

Nothing here raises for a malformed object: what is not legible becomes an undecided fact, or is no serving workload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelberth import engines
from modelberth.catalog import catalog
from modelberth.clouds import gpu_from_labels, machine_from_labels, partition_from_labels, sharing_from_labels
from modelberth.decision import SIZING_ANNOTATION
from modelberth.devices import GPU_RESOURCE, KNOWN_LATER, LATER, PLAIN_VALUE, Undecided, gpus_of, shared_as, slice_of
from modelberth.engines.base import image_parts
from modelberth.engines.flags import command_line
from modelberth.engines.images import published_as
from modelberth.node import Node, fields_of
from modelberth.observed import Observed

CONTAINER = "what the container serves"
"""The fact that is undecided when nothing about a container can be known."""

_POD_TEMPLATES: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), (("", ("spec", "template")),)),
    "CronJob": (("", ("spec", "jobTemplate", "spec", "template")),),
    "Pod": (("", ()),),
    "LeaderWorkerSet": (
        ("leader", ("spec", "leaderWorkerTemplate", "leaderTemplate")),
        ("worker", ("spec", "leaderWorkerTemplate", "workerTemplate")),
    ),
}
KINDS = tuple(sorted(_POD_TEMPLATES))
"""Kinds that can hold a serving container."""

COMPUTES_AND_ENDS = frozenset({"CronJob", "Job"})
_NEEDS_SELECTOR = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
_SERVING_FLAG = re.compile(r"--(model(-path|-id)?|hf-repo|served-model-name|max-model-len|ctx-size)(=.*)?", re.DOTALL)
_SAYS_CPU = re.compile(r"[-_.:]cpu([-_.:]|$)")
"""In the name or the tag of an image that is built for CPUs."""
_HELPERS = ("ray", "sleep")
"""Programs of an engine's image that serve nothing themselves."""
_CLIENTS = frozenset({"bench", "chat", "collect-env", "complete", "run-batch"})
"""What `vllm` does beside serving: vllm/entrypoints/cli."""


@dataclass(frozen=True)
class Workload:
    """One serving container of a Kubernetes object. None means: not stated, or undecided (then ``undecided`` says so).

    ``path`` is the container ("spec.template.spec.containers[0]"), ``arguments_path`` where its arguments are.
    ``engine`` is a catalog id; ``observed`` is None for an engine without a codec. ``gpus`` are those of the container,
    ``replica_gpus`` those of all pods that hold one copy of the model (a group of ``group_size``). ``image_tag`` is
    only for recognising "latest"; ``image_known`` is False at preview when the image is computed.
    ``mig_profile`` is the size of the one slice of a GPU that it has instead ("1g.10gb"), ``shared_by`` what its nodes
    share a GPU by ("time slicing"), where they do.
    ``sizing_record`` is the text of our own annotation, ``service`` the label that names the service.
    """

    kind: str
    name: str
    namespace: str
    container: str
    path: str
    arguments_path: str
    engine: str | None = None
    observed: Observed | None = None
    on_cpu_image: bool = False
    image_known: bool = True
    image_tag: str | None = None
    image_digest: bool = False
    gpus: int | None = None
    replica_gpus: int | None = None
    gpu: str | None = None
    mig_profile: str | None = None
    shared_by: str | None = None
    machine: str | None = None
    memory_limit_bytes: int | None = None
    replicas: int | None = None
    group_size: int = 1
    has_selector: bool = True
    sizing_record: str | None = None
    service: str = ""
    undecided: tuple[Undecided, ...] = ()


def pod_templates(root: Node, kind: str) -> Iterator[tuple[str, Node]]:
    """The pod templates that an object states, each with its role in a group ("leader", "worker", else empty)."""
    for role, steps in _POD_TEMPLATES.get(kind, ()):
        template = root.at(*steps)
        if template.stated:
            yield role, template


def workloads(manifest: Any) -> tuple[Workload, ...]:
    """The serving containers of one Kubernetes object, in its order; empty for everything else.

    Workers of a group whose leader serves only help it: they count by their GPUs.
    """
    root = Node(manifest, "")
    kind = root["kind"].text()
    found: list[Workload] = []
    for _, template in pod_templates(root, kind):
        led = any(workload.observed for workload in found)
        serving = _of_pod(root, kind, template["spec"])
        found.extend(each for each in serving if not led or (each.observed and not each.observed.helper))
    return tuple(found)


def _of_pod(root: Node, kind: str, pod: Node) -> Iterator[Workload]:
    containers = pod["containers"]
    for container in containers.each():
        if container.unknown and kind not in COMPUTES_AND_ENDS:
            yield _illegible(root, kind, container)
        elif isinstance(container.value, Mapping):
            workload = _of_container(root, kind, pod, container)
            if workload:
                yield workload


def _of_container(root: Node, kind: str, pod: Node, container: Node) -> Workload | None:
    image = container["image"]
    gpus, undecided = gpus_of(container)
    profile = slice_of(container)
    if profile:
        undecided = []
    seen = engines.read(container.value)
    repository, tag, digest = image_parts(image.text())
    engine, on_cpu = (seen.engine, _engine_of(repository)[1]) if seen else _engine_of(repository)
    on_cpu = on_cpu or bool(_SAYS_CPU.search(f"{repository.rpartition('/')[2]}:{tag}"))
    if seen is None and (engine is None or engine in engines.ENGINES):
        doubt = _doubt(kind, container, gpus, engine)
        return _illegible(root, kind, doubt, container) if doubt else None
    record_text = root["metadata"]["annotations"][SIZING_ANNOTATION].text()
    record = legible_record(record_text) or {}
    if seen and seen.anonymous_path:
        seen = replace(
            seen,
            model=seen.model or _text(record.get("model")),
            quantization=seen.quantization or _text(record.get("quantization")),
        )
    arguments = container["args"] if container["args"].value is not None else container["command"]
    group_size, replica_gpus, more = _group(root, kind, gpus)
    labels, unknown_labels = _labels(pod)
    cut, doubt = _partition(pod, labels) if gpus == 1 else (None, [])
    gpu = gpu_from_labels(labels) or _recorded_gpu(record, gpus)
    machine = machine_from_labels(labels)
    limit = container["resources"]["limits"]["memory"]
    undecided += more + doubt
    undecided += [_unread(fact, why, arguments.path) for fact, why in dict.fromkeys(seen.undecided if seen else ())]
    if gpus and gpu is None and unknown_labels:
        undecided.append(Undecided(unknown_labels[0].path, "GPU", f"it {LATER}"))
    if gpus == 0 and limit.unknown:
        undecided.append(Undecided(limit.path, "memory limit", f"it {LATER}"))
    return Workload(
        kind=kind,
        name=root["metadata"]["name"].text(),
        namespace=root["metadata"]["namespace"].text(),
        container=container["name"].text(),
        path=container.path,
        arguments_path=arguments.path,
        engine=engine,
        observed=seen,
        on_cpu_image=on_cpu,
        image_known=not image.unknown,
        image_tag=tag,
        image_digest=digest,
        gpus=gpus,
        replica_gpus=replica_gpus,
        gpu=gpu,
        mig_profile=profile or cut,
        shared_by=sharing_from_labels(labels) or shared_as(container),
        machine=machine.id if machine else None,
        memory_limit_bytes=limit.whole(),
        replicas=root["spec"]["replicas"].whole(),
        group_size=group_size,
        has_selector=_has_selector(root, kind),
        sizing_record=record_text or None,
        service=root["metadata"]["labels"]["app.kubernetes.io/instance"].text(),
        undecided=tuple(dict.fromkeys(undecided)),
    )


def legible_record(text: str) -> Mapping[str, Any] | None:
    """Our own sizing record: it says what weights at a path are and which nodes a selector of one's own means."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields_of(record) if isinstance(record, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _recorded_gpu(record: Mapping[str, Any], gpus: int | None) -> str | None:
    named = record.get("accelerator")
    return named if gpus and any(gpu.id == named for gpu in catalog().gpus()) else None


def _illegible(root: Node, kind: str, cause: Node, container: Node | None = None) -> Workload:
    where = container or cause
    why = Undecided(cause.path, CONTAINER, f"it {LATER}")
    if not cause.unknown:
        why = Undecided(cause.path, CONTAINER, "it is not legible in this command", "call the engine itself")
    return Workload(
        kind=kind,
        name=root["metadata"]["name"].text(),
        namespace=root["metadata"]["namespace"].text(),
        container=where["name"].text() if container else "",
        path=where.path,
        arguments_path=where.path,
        has_selector=_has_selector(root, kind),
        image_known=False,
        undecided=(why,),
    )


def _doubt(kind: str, container: Node, gpus: int | None, engine: str | None) -> Node | None:
    """The value that leaves open whether this container serves a model; None when it certainly does not.

    It may be unknown, or a command of its own in the image of ``engine``. A Job computes and ends: an engine's image is
    at work there to download weights, and an unknown one is no reason to stop.
    """
    image, words = container["image"], command_line(container.value)
    if engine and kind not in COMPUTES_AND_ENDS:
        return None if _helps(words) else container["command"]
    open_ended = [node for node in (image, container["command"], container["args"]) if node.unknown]
    if kind in COMPUTES_AND_ENDS or not open_ended:
        return None
    wants_gpu = gpus is None or gpus > 0
    serves = any(isinstance(word, str) and _SERVING_FLAG.fullmatch(word) for word in words)
    return open_ended[0] if wants_gpu or serves else None


def _helps(words: list[Any]) -> bool:
    """Whether a command in an engine's image surely serves nothing."""
    program, task = (*words[:2], "", "")[:2]
    return program in _HELPERS or (program == "vllm" and task in _CLIENTS)


def _engine_of(repository: str) -> tuple[str | None, bool]:
    """(engine, whether it is its image for CPUs) of an image repository, also behind a registry prefix."""
    named = published_as(repository)
    engine = named[0][0] if named else None
    return engine, bool(named) and {variant for id_, variant in named if id_ == engine} == {"cpu"}


def _unread(fact: str, why: str, path: str) -> Undecided:
    return Undecided(path, fact, why, PLAIN_VALUE if KNOWN_LATER in why else "state it, or drop it")


def _has_selector(root: Node, kind: str) -> bool:
    return kind not in _NEEDS_SELECTOR or bool(root["spec"]["selector"].value)


def _partition(pod: Node, labels: Mapping[str, str]) -> tuple[str | None, list[Undecided]]:
    """(size of the slices that nodes with these labels cut their GPUs into, what is undecided about it)."""
    size, selector = partition_from_labels(labels), pod["nodeSelector"]
    unknown = [selector[key] for key in selector.names() if selector[key].unknown and partition_from_labels({key: key})]
    if unknown:
        return None, [Undecided(unknown[0].path, "GPU", f"it {LATER}")]
    if size is None or any(size in gpu.mig_profiles for gpu in catalog().gpus()):
        return size, []
    why = "it is cut into slices of a size that the catalog does not know"
    return None, [Undecided(selector.path, "GPU", why, "whole GPUs, or slices of a size that it knows")]


def _group(root: Node, kind: str, gpus: int | None) -> tuple[int, int | None, list[Undecided]]:
    """(pods that hold one copy, their GPUs together, what is undecided about them)."""
    if kind != "LeaderWorkerSet":
        return 1, gpus, []
    group = root["spec"]["leaderWorkerTemplate"]
    if group["size"].unknown:
        return 1, None, [Undecided(group["size"].path, "group size", f"it {LATER}")]
    size = group["size"].whole() or 1
    workers, undecided = _pod_gpus(group["workerTemplate"])
    leader, more = _pod_gpus(group["leaderTemplate"]) if group["leaderTemplate"].value else (workers, [])
    if leader is None or workers is None:
        return size, None, undecided + more
    return size, leader + (size - 1) * workers, []


def _pod_gpus(template: Node) -> tuple[int | None, list[Undecided]]:
    containers = template["spec"]["containers"]
    if containers.unknown:
        return None, [Undecided(containers.path, "GPU count", f"it {LATER}")]
    counts = [gpus_of(container) for container in containers.elements()]
    undecided = [reason for _, reasons in counts for reason in reasons]
    return (None if undecided else sum(count or 0 for count, _ in counts)), undecided


def _labels(pod: Node) -> tuple[dict[str, str], list[Node]]:
    """Node labels that a pod insists on (selector and required affinity), and those that are unknown."""
    selector = pod["nodeSelector"]
    entries = [selector[key] for key in selector.names()] or [selector]
    labels = {key: selector[key].text() for key in selector.names() if selector[key].text()}
    unknown = [entry for entry in entries if entry.unknown]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    terms = required["nodeSelectorTerms"]
    if terms.unknown:
        unknown.append(terms)
    by_term: list[set[tuple[str, str]]] = []
    for term in terms.elements():
        known, open_ended = _affinity_labels(term)
        by_term.append(set(known.items()))
        unknown.extend(open_ended)
    common = by_term[0].intersection(*by_term[1:]) if by_term else set[tuple[str, str]]()
    return dict(sorted(common)) | labels, unknown


def _affinity_labels(term: Node) -> tuple[dict[str, str], list[Node]]:
    known: dict[str, str] = {}
    unknown = [term] if term.unknown else []
    expressions = term["matchExpressions"]
    for expression in expressions.each():
        values = list(expression["values"].elements())
        parts = [expression["key"], expression["operator"], expression["values"], *values]
        unknown.extend(part for part in parts if part.unknown)
        key, operator = expression["key"].text(), expression["operator"].text()
        if operator == "In" and len(values) == 1 and key and values[0].text():
            known[key] = values[0].text()
    return known, unknown


__all__ = [
    "COMPUTES_AND_ENDS",
    "CONTAINER",
    "GPU_RESOURCE",
    "KINDS",
    "PLAIN_VALUE",
    "Undecided",
    "Workload",
    "pod_templates",
    "workloads",
]
