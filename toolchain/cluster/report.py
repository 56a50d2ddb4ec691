"""What the embedded cluster is doing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolchain.cluster.objects import SIMULATED
from toolchain.cluster.parts import PARTS
from toolchain.cluster.processes import Process
from toolchain.cluster.state import State, check_linux
from toolchain.kube import Kube, Manifest

GPU = "nvidia.com/gpu"
MIB = 2**20


@dataclass(frozen=True)
class PartStatus:
    """One part: healthy or not, its process, its resident memory."""

    name: str
    state: str
    pid: int | None = None
    memory_bytes: int = 0


@dataclass(frozen=True)
class NodeStatus:
    """One simulated node, and what the pods bound to it requested."""

    name: str
    machine: str
    ready: bool
    gpus_allocated: int
    gpus_allocatable: int
    pods: int


@dataclass(frozen=True)
class Status:
    """The cluster as found; `running` is whether every part is healthy."""

    kubeconfig: Path
    parts: tuple[PartStatus, ...]
    nodes: tuple[NodeStatus, ...]

    @property
    def running(self) -> bool:
        return all(part.state == "healthy" for part in self.parts)

    def text(self) -> str:
        """For people: parts, kubeconfig, simulated nodes."""
        parts = [
            [
                part.name,
                part.state,
                f"pid {part.pid}" if part.pid else "",
                f"{part.memory_bytes // MIB} MiB" if part.pid else "",
            ]
            for part in self.parts
        ]
        there = "" if self.kubeconfig.exists() else " (not there)"
        lines = [*_aligned(parts), f"kubeconfig: {self.kubeconfig}{there}"]
        if self.nodes:
            header = [
                "SIMULATED NODE",
                "MACHINE",
                "STATE",
                "GPUS ALLOCATED",
                "SIMULATED PODS",
            ]
            rows = [
                [
                    node.name,
                    node.machine,
                    "Ready" if node.ready else "NotReady",
                    f"{node.gpus_allocated} of {node.gpus_allocatable}",
                    str(node.pods),
                ]
                for node in self.nodes
            ]
            lines += [
                "",
                *_aligned([header, *rows]),
                "Nodes and pods are simulated: nothing computes.",
            ]
        return "\n".join(lines)


def status(state_dir: Path) -> Status:
    """Looks at the processes, and asks the API server for nodes and pods when it runs. Changes nothing."""
    check_linux()
    state = State(state_dir.resolve())
    ports = state.remembered_ports() or {}
    parts = []
    for part in PARTS:
        process = Process.read(state.pid_file(part.name))
        if not process:
            parts.append(PartStatus(part.name, "not running"))
            continue
        health = "healthy" if part.healthy(state, ports) else "not healthy"
        parts.append(PartStatus(part.name, health, process.pid, process.memory_bytes))
    serving = any(part.name == "kube-apiserver" and part.state == "healthy" for part in parts)
    return Status(
        state.kubeconfig,
        tuple(parts),
        _nodes(Kube(state.kubeconfig)) if serving else (),
    )


def _nodes(kube: Kube) -> tuple[NodeStatus, ...]:
    pods = [pod for pod in kube.list("/api/v1/pods") if pod["status"]["phase"] not in ("Succeeded", "Failed")]
    nodes = kube.list("/api/v1/nodes", labels=f"{SIMULATED}=true")
    return tuple(
        _node(
            node,
            [pod for pod in pods if pod["spec"].get("nodeName") == node["metadata"]["name"]],
        )
        for node in nodes
    )


def _node(node: Manifest, pods: list[Manifest]) -> NodeStatus:
    conditions = {entry["type"]: entry["status"] for entry in node["status"].get("conditions", [])}
    return NodeStatus(
        name=node["metadata"]["name"],
        machine=node["metadata"]["labels"].get("node.kubernetes.io/instance-type", "unknown"),
        ready=conditions.get("Ready") == "True",
        gpus_allocated=sum(map(_gpus, pods)),
        gpus_allocatable=int(node["status"].get("allocatable", {}).get(GPU, 0)),
        pods=len(pods),
    )


def _gpus(pod: Manifest) -> int:
    """GPUs the scheduler counts for a pod: those of its containers, or of one init container if that is more."""

    def requested(containers: Iterable[Manifest]) -> list[int]:
        return [int(each.get("resources", {}).get("requests", {}).get(GPU, 0)) for each in containers]

    spec = pod["spec"]
    return max(
        sum(requested(spec["containers"])),
        *requested(spec.get("initContainers", [])),
        0,
    )


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
