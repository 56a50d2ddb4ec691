"""What a pod asks of its node beside accelerators, and how long it takes to become ready."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modelberth.catalog import Machine
from modelberth.clouds import NodeProfile, node_profile
from modelberth.decision import Host
from modelberth.documents import mapping
from modelberth.units import GIB, MIB, ceil_to

SYSTEM_CPU_MILLICORES = 500
SYSTEM_MEMORY_MIB = 768
"""Left on each node for daemon sets (logging, metrics, device plugin, CSI): a rounded-up allowance."""

SHM_MIB_PER_RANK = 2048
"""Shared memory (/dev/shm) per tensor parallel rank; vLLM's multiprocess workers exchange tensors through it."""

LEAST_MIB_BESIDE = 4 * 1024
"""Memory of an engine on GPUs beside what it was told to hold there: code, tokenizer, Python's own."""

CACHE_MIB = 10 * 1024
"""Compile caches, tokenizer files and temporary files of an engine on GPUs."""

SMALL_CACHE_MIB = 2 * 1024
"""The same of an engine that compiles nothing."""


USER_ID = 20000
"""Who pods run as, and so whom downloaded files belong to."""

FETCH_HOST = Host(cpu_millicores=1000, memory_mib=2048, shm_mib=64, ephemeral_mib=2048)
"""What a download Job asks of its node; it runs beside the server when a new revision arrives."""


AWAIT_MARGIN_S = 300
"""Beyond the start-up budget: scheduling, node start and the awaiter's own polling."""

GATE_HOST = Host(cpu_millicores=100, memory_mib=64, shm_mib=64, ephemeral_mib=64)
"""What a container asks for that only looks for a file before the server starts."""


@cache
def _assumptions() -> dict[str, float]:
    file = files("modelberth.catalog") / "assumptions.yaml"
    document = mapping(file.read_text(encoding="utf-8"), file.name)
    return {name: float(entry["value"]) for name, entry in document.items()}


def assumed(name: str) -> float:
    """A figure of assumptions.yaml, in the unit of its name."""
    return _assumptions()[name]


def usable_memory_bytes(profile: NodeProfile) -> int:
    """Memory of a node that serving pods may use, after system pods and a download."""
    return profile.allocatable_memory_bytes - (SYSTEM_MEMORY_MIB + FETCH_HOST.memory_mib) * MIB


def usable_ephemeral_bytes(profile: NodeProfile) -> int:
    """Ephemeral storage of a node that serving pods may use, after a download."""
    return profile.allocatable_ephemeral_bytes - FETCH_HOST.ephemeral_mib * MIB


def ephemeral_mib(download_bytes: int, *, on_gpu: bool) -> int:
    """Ephemeral storage of a pod: what it downloads itself, and its caches."""
    return (CACHE_MIB if on_gpu else SMALL_CACHE_MIB) + ceil_to(download_bytes / MIB, 1024)


def gpu_memory_bytes(machine: Machine, gpus: int, held_bytes: int) -> tuple[int, int]:
    """(memory that a pod must have for what it holds beside the engine, memory that is its share of the node)."""
    least = LEAST_MIB_BESIDE * MIB + held_bytes
    return least, int(usable_memory_bytes(node_profile(machine.id)) * gpus / machine.gpu_count)


def gpu_host(machine: Machine, gpus: int, download_bytes: int, held_bytes: int = 0, shared_bytes: int = 0) -> Host:
    """Requests of a pod with ``gpus`` of the machine's GPUs: its share of the node, at most what the engine can use.

    ``download_bytes`` is what the pod itself downloads to its ephemeral storage (0 when weights come from a volume).
    ``held_bytes`` is what it holds in the node's memory (KV cache, adapters), ``shared_bytes`` what of it lies in
    /dev/shm, whose files count as the pod's memory.
    """
    profile = node_profile(machine.id)
    share = gpus / machine.gpu_count
    free = profile.allocatable_cpu_millicores - SYSTEM_CPU_MILLICORES - FETCH_HOST.cpu_millicores
    cpu = min(2000 + 2000 * gpus, int(free * share))
    shm = SHM_MIB_PER_RANK * gpus
    wanted = 8 * 1024 + 4 * 1024 * gpus + shm + -(-held_bytes // MIB)
    memory = min(wanted, int(usable_memory_bytes(profile) * share) // MIB)
    return Host(
        cpu_millicores=cpu // 100 * 100,
        memory_mib=memory // 256 * 256,
        shm_mib=min(shm, (memory - held_bytes // MIB) // 4) + -(-shared_bytes // MIB),
        ephemeral_mib=ephemeral_mib(download_bytes, on_gpu=True),
    )


def cpu_host(machine: Machine, needed_bytes: int, download_bytes: int) -> Host:
    """Requests of a pod that computes on CPUs: every core of the node but the ones of the system and of a download,
    and the memory it was sized with, rounded up as far as the node's memory goes.
    """
    profile = node_profile(machine.id)
    free = profile.allocatable_cpu_millicores - SYSTEM_CPU_MILLICORES - FETCH_HOST.cpu_millicores
    return Host(
        cpu_millicores=max(1000, free // 1000 * 1000),
        memory_mib=min(ceil_to(needed_bytes / MIB, 256), usable_memory_bytes(profile) // MIB),
        shm_mib=64,
        ephemeral_mib=ephemeral_mib(download_bytes, on_gpu=False),
    )


def _image_pull_s(image_gib: float | None) -> float:
    """The assumption is one of an image of ``image_pull_gib``; None: about as large."""
    known = _assumptions()
    share = 1 if image_gib is None else max(1, image_gib / known["image_pull_gib"])
    return known["image_pull_s"] * share


def image_disk_bytes(image_gib: float | None) -> int:
    """Disk that an engine's image takes on a node, twice: the next version arrives while the old one runs."""
    known = _assumptions()
    return int(2 * (image_gib or known["image_pull_gib"]) * known["image_unpacked_share"] * GIB)


def assumed_mib_per_s(*, from_volume: bool) -> float:
    """How fast weights are read from a volume or arrive from a hub."""
    return _assumptions()["volume_mib_per_s" if from_volume else "download_mib_per_s"]


def load_seconds(weights_bytes: int, *, on_gpu: bool, from_volume: bool, image_gib: float | None = None) -> int:
    """Estimated seconds from the start of a pod on a fresh node to ready: image, weights, engine start."""
    rate = assumed_mib_per_s(from_volume=from_volume)
    return load_seconds_at(weights_bytes, on_gpu=on_gpu, mib_per_s=rate, image_gib=image_gib)


def load_seconds_at(weights_bytes: int, *, on_gpu: bool, mib_per_s: float, image_gib: float | None = None) -> int:
    """The same where the rate is known."""
    reading = engine_load_seconds(weights_bytes, on_gpu=on_gpu, mib_per_s=mib_per_s)
    return ceil_to(_image_pull_s(image_gib) + reading, 5)


def engine_load_seconds(weights_bytes: int, *, on_gpu: bool, mib_per_s: float) -> float:
    """The part of it that begins with the container, which probes see: weights and engine start."""
    known = _assumptions()
    start = known["gpu_engine_start_s"] if on_gpu else known["cpu_engine_start_s"]
    return weights_bytes / MIB / mib_per_s + start


def image_pull_seconds(image_gib: float | None = None) -> int:
    """The part of it that comes before the container starts, on a node without the image."""
    return ceil_to(_image_pull_s(image_gib), 1)


def least_load_seconds(weights_bytes: int, *, on_gpu: bool, from_volume: bool) -> float:
    """Seconds from the start of a container to ready that no machine beats, image and all caches in place."""
    known = _assumptions()
    rate = known["fastest_volume_mib_per_s" if from_volume else "fastest_download_mib_per_s"]
    return weights_bytes / MIB / rate + (known["fastest_gpu_engine_start_s"] if on_gpu else 0)


def least_engine_bytes() -> int:
    """Memory of the node without which no engine on PyTorch starts, whatever the model."""
    return int(_assumptions()["least_engine_memory_mib"]) * MIB


def fetch_seconds(weights_bytes: int, image_gib: float | None = None) -> int:
    """Estimated seconds of the download Job."""
    known = _assumptions()
    return ceil_to(_image_pull_s(image_gib) + weights_bytes / MIB / known["download_mib_per_s"], 5)


def fetch_limit_seconds(fetch_s: float) -> int:
    """Seconds from its start until a download Job is given up, whatever it waits for."""
    return ceil_to(4 * fetch_s, 60)


def progress_limit_seconds(grace_s: int, startup_budget_s: int) -> int:
    """Seconds without progress until a Deployment counts as failed: a pod leaves, one starts, and half a margin."""
    return grace_s + startup_budget_s + AWAIT_MARGIN_S // 2


def startup_budget_seconds(load_s: int) -> int:
    """Seconds until a pod that is not ready is given up."""
    return ceil_to(load_s * _assumptions()["startup_budget_factor"], 60)


def claim_gib(stored_bytes: int) -> int:
    """Size of a weights claim: the files, the same again while a new revision arrives, and ten percent."""
    return ceil_to(2.1 * stored_bytes / GIB, 5)
