"""What a pod says about itself, and what its neighbours' names say to it."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.engines.shells import environment
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.manifests import COMPUTES_AND_ENDS, Workload
from modelberth.node import Node, fields_of
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Settings, Severity, undecided
from modelberth.rules.commands import arguments, fetches_weights
from modelberth.rules.downloads import is_download, started
from modelberth.rules.relations import resembles

_PRIORITY, _LABELS, _JOBS, _LINKS = "WH-17", "WH-18", "WH-20", "WH-22"
_OF_THE_SYSTEM = frozenset({"system-cluster-critical", "system-node-critical"})
_SAID = tuple(f"app.kubernetes.io/{name}" for name in ("name", "instance", "version"))
_READ_BY = {"vllm": "VLLM_PORT", "sglang": "SGLANG_PORT"}
"""Variables that engines read as a number and Kubernetes sets for a Service of such a name: envs.py of vLLM
(get_vllm_port, which refuses an address), srt/utils of SGLang (get_open_port, which not every start asks).
"""
_SURELY_READ = frozenset({"vllm"})


def _priority(inventory: Inventory, _: Settings) -> Iterator[tuple[Resource, Finding]]:
    names = [pod.spec["priorityClassName"] for pod in inventory.pods]
    used = any(name.stated and name.text() not in _OF_THE_SYSTEM for name in names)
    default = any(each.node["globalDefault"].flag() is not False for each in inventory.of_kind("PriorityClass"))
    for pod in inventory.pods:
        name = pod.spec["priorityClassName"]
        if not pod.serves:
            continue
        if name.text() in _OF_THE_SYSTEM:
            message = "claims the priority of the cluster's own parts: it drives them out when a node is full"
            yield pod.resource, Finding(_PRIORITY, name.path, message, "a PriorityClass of your own", Level.WARNING)
        elif used and not default and not name.stated:
            message = "other pods of the stack have a priority and this one has none: they drive it out, weights loaded"
            path = f"{pod.spec.path}.priorityClassName"
            yield pod.resource, Finding(_PRIORITY, path, message, "the name of a PriorityClass", Level.WARNING)


def _labelled(resource: Resource, _: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        if not pod.serves or pod.labels.unknown:
            continue
        missing = [name for name in _SAID if not pod.labels[name].stated]
        if missing:
            message = f"does not say what it is: no label {', '.join(missing)}"
            remedy = "the engine as name, the service as instance, the engine's version as version"
            yield Finding(_LABELS, f"{pod.template.at('metadata').path}.labels", message, remedy, Level.WARNING)
        for workload in pod.serving:
            yield from _names_its_model(workload)
            yield from _served_as(pod, workload)
            yield from _as_labelled(pod, workload)


def _as_labelled(pod: Pod, workload: Workload) -> Iterator[Finding]:
    """Labels that say another engine or version than runs, where the image says it and the label is of this form."""
    seen = workload.observed
    if seen is None or seen.helper or seen.version_assumed:
        return
    name, version = (pod.labels[f"app.kubernetes.io/{what}"] for what in ("name", "version"))
    for label, runs in ((name, seen.engine), (version, seen.engine_version)):
        said = label.text()
        if (
            said
            and said != runs
            and (label is name or resembles(said, runs))
            and (label is version or pod.resource.ours)
        ):
            message = "the label says something else than what the image runs: who looks for pods by it misses this one"
            yield Finding(_LABELS, label.path, message, f"{runs}", Level.WARNING)


def _served_as(pod: Pod, workload: Workload) -> Iterator[Finding]:
    """A name of one's own is free; one that is almost the repository's is meant to be it."""
    parsed, seen = arguments(workload, pod.container_at(workload)), workload.observed
    name = parsed.values.get("served_model_name") if parsed else None
    if isinstance(name, str) and seen and seen.model and name.startswith(seen.model) and resembles(name, seen.model):
        message = "the name under which the model is served is almost that of its repository"
        yield Finding(_LABELS, workload.arguments_path, message, "the repository, letter by letter", Level.WARNING)


def _names_its_model(workload: Workload) -> Iterator[Finding]:
    seen = workload.observed
    if seen and not seen.helper and seen.anonymous_path and not seen.model and not workload.undecided:
        message = "nothing says which model lies at the path that is served"
        remedy = "the model's repository as the served model name, or in the path as org--name/revision"
        yield Finding(_LABELS, workload.arguments_path, message, remedy, Level.WARNING)


def _ends(resource: Resource, _: Settings) -> Iterator[Finding]:
    yield from started(_JOBS, resource)
    downloads = is_download(resource) or any(
        fetches_weights(each) for pod in resource.pods for each in pod.all_containers
    )
    if resource.kind not in COMPUTES_AND_ENDS or not downloads:
        return
    spec = resource.node["spec"]
    spec = spec["jobTemplate"]["spec"] if resource.kind == "CronJob" else spec
    if not spec["activeDeadlineSeconds"].stated and not _bounded(resource):
        message = "a download without a deadline that hangs does so for ever, and what waits for its weights with it"
        remedy = "activeDeadlineSeconds: the bytes over the slowest bandwidth, and an hour"
        yield Finding(_JOBS, f"{spec.path}.activeDeadlineSeconds", message, remedy, Level.WARNING)
    if spec["backoffLimit"].whole() == 0:
        message = "a download that fails once is given up: the hub answers 5xx now and then"
        yield Finding(_JOBS, f"{spec.path}.backoffLimit", message, "backoffLimit: 4", Level.WARNING)
    if not spec["backoffLimit"].stated:
        message = "how often a download that fails is begun again is left to the default (6 times)"
        yield Finding(_JOBS, f"{spec.path}.backoffLimit", message, "backoffLimit: 4", Level.WARNING)
    if not resource.from_program and not spec["ttlSecondsAfterFinished"].stated and resource.kind == "Job":
        message = "a finished Job and its pod stay until someone deletes them, and may not be applied again changed"
        remedy = "ttlSecondsAfterFinished: 86400"
        yield Finding(_JOBS, f"{spec.path}.ttlSecondsAfterFinished", message, remedy, Level.WARNING)


def _bounded(resource: Resource) -> bool:
    return any(pod.spec["activeDeadlineSeconds"].stated for pod in resource.pods)


def _linked(inventory: Inventory, _: Settings) -> Iterator[tuple[Resource, Finding]]:
    services = [each for each in inventory.of_kind("Service") if _is_linked(each)]
    for pod in inventory.pods:
        links = pod.spec["enableServiceLinks"]
        if not pod.serves or links.flag() is False:
            continue
        near = [each for each in services if _same_namespace(each, pod.resource)]
        found = next((each for workload in pod.serving for each in _collides(pod, workload, near, links)), None)
        if found:
            yield pod.resource, found
        elif not links.unknown:
            message = "every Service of its namespace puts variables into it; one called after the engine breaks it"
            path = f"{pod.spec.path}.enableServiceLinks"
            yield pod.resource, Finding(_LINKS, path, message, "enableServiceLinks: false", Level.WARNING)


def _is_linked(service: Resource) -> bool:
    """Whether the kubelet makes variables of it: not of one without an address (kubelet, getServiceEnvVarMap)."""
    spec = service.node["spec"]
    return spec["clusterIP"].text() != "None" and spec["type"].text() != "ExternalName"


def _same_namespace(one: Resource, other: Resource) -> bool:
    return one.namespace.unknown or other.namespace.unknown or one.namespace.text() == other.namespace.text()


def _collides(pod: Pod, workload: Workload, near: list[Resource], links: Node) -> Iterator[Finding]:
    engine = workload.observed.engine if workload.observed else ""
    variable = _READ_BY.get(engine, "")
    if not variable or variable in environment(fields_of(pod.container_at(workload).value)):
        return
    names = [each.object_name for each in near]
    path = f"{pod.spec.path}.enableServiceLinks"
    if any(_variable_of(name.text()) == variable for name in names):
        level = Level.ERROR if engine in _SURELY_READ else Level.WARNING
        if links.unknown:
            yield undecided(_LINKS, LINKS_QUESTION, links, "enableServiceLinks: false")
            return
        what = "it does not start" if engine in _SURELY_READ else "it may not start"
        message = f"a Service of its namespace is called {engine}: Kubernetes sets {variable} to the address of that"
        message += f", the engine reads it as a number, and {what}"
        yield Finding(_LINKS, path, message, "enableServiceLinks: false, or another name for the Service", level)
    elif engine in _SURELY_READ:
        unknown = next((name for name in names if name.unknown), None)
        if unknown is not None:
            remedy = f"enableServiceLinks: false at {path}, or a plain name"
            yield undecided(_LINKS, LINKS_QUESTION, unknown, remedy)


def _variable_of(service: str) -> str:
    """The variable that holds a Service's address (kubelet, pkg/kubelet/envvars)."""
    return f"{service.upper().replace('-', '_')}_PORT"


LINKS_QUESTION = "whether a Service's name becomes a variable that the engine reads"

PRIORITY = Rule(
    id=_PRIORITY,
    name="priority-where-priorities-are-used",
    title="A server has a priority where priorities are used, and never that of the cluster's own parts",
    question="whether a server has a priority where priorities are used",
    why="Without any PriorityClass all pods are equal and nothing is driven out, so none is asked for; once some pods "
    "have one, a server without one is the first to go, and loads its weights again for minutes.",
    remediation="priorityClassName: a class of your own, above that of batch work.",
    severity=Severity.LOW,
    levels=ADVICE,
    source="priorityClassNotSet of Polaris; Pod Priority and Preemption, kubernetes.io",
    across=_priority,
)
LABELLED = Rule(
    id=_LABELS,
    name="says-what-it-serves",
    title="A server says what it is and what it serves",
    question="whether a server says what it is and what it serves",
    why="Who looks for all pods of an engine that has a hole, or for the model behind an answer, finds them by this. "
    "The revision of the weights is another rule's matter (CS-19).",
    remediation="Labels app.kubernetes.io/name, instance and version; the model's repository as served model name.",
    severity=Severity.LOW,
    levels=ADVICE,
    source="Recommended Labels, kubernetes.io; configureRecommendedLabels of Pulumi's compliance policies",
    check=_labelled,
)
JOB_ENDS = Rule(
    id=_JOBS,
    name="download-ends",
    title="A download ends, and is cleared away",
    question="whether a download ends, and is cleared away",
    why="A download that hangs holds up everything behind it. What a Pulumi program makes it clears away itself: a Job "
    "that Kubernetes deletes would be made again by the next update, so no ttlSecondsAfterFinished is asked for there.",
    remediation="activeDeadlineSeconds and backoffLimit; ttlSecondsAfterFinished in manifests.",
    severity=Severity.LOW,
    levels=ADVICE,
    source="Jobs, kubernetes.io; job-ttl-seconds-after-finished of kube-linter",
    check=_ends,
)
UNLINKED = Rule(
    id=_LINKS,
    name="no-variables-of-services",
    title="No Service's name becomes a variable that the engine reads",
    question=LINKS_QUESTION,
    why="For a Service called vllm Kubernetes sets VLLM_PORT=tcp://..., which vLLM reads as its own port and refuses. "
    "The first start may pass: the Service is there from the next one on.",
    remediation="enableServiceLinks: false on the pod.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="vllm/envs.py, get_vllm_port; pkg/kubelet/envvars of Kubernetes",
    across=_linked,
)
RULES: tuple[Rule, ...] = (PRIORITY, LABELLED, JOB_ENDS, UNLINKED)
