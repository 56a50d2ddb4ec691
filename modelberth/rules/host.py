"""What a pod needs of its node beside its GPUs: memory, and shared memory for its ranks."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.engines import ENGINES
from modelberth.findings import Finding
from modelberth.host import LEAST_MIB_BESIDE, least_engine_bytes
from modelberth.manifests import GPU_RESOURCE, Workload
from modelberth.node import Node
from modelberth.resources import Pod
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, per_pod, planned, undecided
from modelberth.rules.evaluation import evaluate
from modelberth.rules.loading import SHM, Place, mounted
from modelberth.units import GIB, MIB, gib

_QUESTION = "whether the pod has the memory and the shared memory that its engine needs"
DEFAULT_SHM_MIB = 64
"""Of a container without a volume at /dev/shm: containerd, oci/spec_opts.go, and Docker's --shm-size."""


def _host(pod: Pod, settings: Settings) -> Iterator[Finding]:
    for container, workload in _containers(pod):
        engine = ENGINES.get(workload.observed.engine) if workload.observed else None
        gpus = container.at("resources", "limits", GPU_RESOURCE).whole() or workload.gpus
        if engine is None or engine.reads_gguf or not gpus:
            continue
        shared = mounted(pod, container, SHM)
        yield from _memory(pod, container, workload, _shared_bytes(shared), gpus, settings)
        ranks = min(gpus, workload.observed.tensor_parallel if workload.observed else 1)
        if ranks > 1:
            yield from _shared(pod, container, shared, ranks, settings)


def _containers(pod: Pod) -> Iterator[tuple[Node, Workload]]:
    """The containers that serve; in a pod that only helps, those with GPUs, with the workload that they help."""
    for workload in pod.serving:
        yield pod.container_at(workload), workload
    if not pod.serving and pod.resource.kind == "LeaderWorkerSet":
        for container in pod.containers:
            if container.at("resources", "limits", GPU_RESOURCE).whole():
                yield container, pod.resource.workloads[0]


def _shared_bytes(shared: Place) -> int:
    """What of the pod's memory files in /dev/shm may take; 0 where they lie elsewhere or are not bounded."""
    directory = shared.volume["emptyDir"] if shared.volume is not None else Node(None, "")
    return (directory["sizeLimit"].whole() or 0) if directory["medium"].text() == "Memory" else 0


def _memory(
    pod: Pod, container: Node, workload: Workload, shared_bytes: int, gpus: int, settings: Settings
) -> Iterator[Finding]:
    limit = container.at("resources", "limits", "memory")
    if limit.unknown:
        yield undecided("SZ-12", _QUESTION, limit)
        return
    given = limit.amount()
    if given is None:
        return
    answer = evaluate(workload).answer
    held = answer.memory.held_bytes * gpus if answer and answer.memory else 0
    engine_bytes = int(settings["engine_memory_gib"] * GIB)
    needed = engine_bytes + held + shared_bytes
    if given >= needed:
        return
    sure = given < least_engine_bytes() + held
    terms = [f"the engine takes about {gib(engine_bytes)}"]
    terms += [f"{gib(held)} are held beside the GPUs"] if held else []
    terms += [f"{gib(shared_bytes)} of files in {SHM} count too"] if shared_bytes else []
    message = f"{gib(float(given))} of memory are too little: {', '.join(terms)}, {gib(needed)} together"
    remedy = f"a memory limit and request of at least {-(-needed // GIB)}Gi"
    yield Finding("SZ-12", limit.path, message, remedy, planned(pod.resource, impossible=sure))


def _shared(pod: Pod, container: Node, shared: Place, ranks: int, settings: Settings) -> Iterator[Finding]:
    """Ranks of one node exchange tensors through /dev/shm; the node's own counts as well."""
    host = pod.spec["hostIPC"]
    if host.flag():
        return
    volume = shared.volume if shared.volume is not None else Node(None, "")
    directory = volume["emptyDir"]
    size, medium = directory["sizeLimit"], directory["medium"]
    cause = next((each for each in (host, shared.unknown, size, medium) if each is not None and each.unknown), None)
    if cause is not None:
        if pod.resource.ours:
            yield undecided("SZ-12", _QUESTION, cause)
        return
    least_mib = int(settings["shm_mib_per_rank"]) * ranks
    remedy = f"an emptyDir with medium Memory and a sizeLimit of at least {least_mib}Mi, mounted at {SHM}"
    level = planned(pod.resource)
    if shared.volume is None:
        path = container["volumeMounts"].path
        message = f"{ranks} ranks exchange tensors through {SHM}, where a container has {DEFAULT_SHM_MIB} MiB"
        yield Finding("SZ-12", path, message, remedy, level)
    elif not directory.stated:
        return
    elif medium.text() != "Memory":
        message = f"{SHM} lies on the node's disk: {ranks} ranks exchange tensors through it"
        yield Finding("SZ-12", directory.path, message, remedy, level)
    elif not size.stated:
        message = f"{SHM} may take all memory of the pod, and the engine is killed for it"
        yield Finding("SZ-12", directory.path, message, remedy, level)
    elif (size.amount() or 0) < least_mib * MIB:
        message = f"{gib(float(size.amount() or 0))} of {SHM} are too little for {ranks} ranks"
        yield Finding("SZ-12", size.path, message, remedy, level)


HOST = Rule(
    id="SZ-12",
    name="host-memory",
    title="The pod has the memory and the shared memory that its engine needs",
    question=_QUESTION,
    why="An engine on GPUs still loads its code, its tokenizer and whatever is offloaded into the node's memory, and "
    "is killed beyond its limit; ranks of tensor parallelism crash with a bus error under load when /dev/shm is full.",
    remediation="Raise the memory limit, and mount an emptyDir with medium Memory and a sizeLimit at /dev/shm, which "
    "counts in the memory limit.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Kubernetes, emptyDir (medium Memory counts in the memory limit); vLLM, docker/Dockerfile and docs on "
    "--ipc=host and --shm-size; vllm-project/production-stack#44, vllm-project/vllm#1710",
    check=per_pod(_host),
    thresholds=(
        Threshold(
            "engine_memory_gib",
            LEAST_MIB_BESIDE / 1024,
            "Memory of an engine on GPUs beside what it was told to hold there, GiB.",
            least=0,
        ),
        Threshold("shm_mib_per_rank", 128, "Shared memory of a tensor parallel rank, MiB.", least=0),
    ),
)
RULES = (HOST,)
