"""Which accelerators a container asks its node for, and what of that cannot be sized."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelberth.node import Node

GPU_RESOURCE = "nvidia.com/gpu"
SHARED_GPU = f"{GPU_RESOURCE}.shared"
"""What NVIDIA's device plugin calls a share of a GPU with renameByDefault (NVIDIA/k8s-device-plugin, README)."""
VISIBLE = "NVIDIA_VISIBLE_DEVICES"
PLAIN_VALUE = "make it a plain value"
KNOWN_LATER = "only known after apply"
LATER = f"is {KNOWN_LATER}"
_OTHER_ACCELERATORS = re.compile(
    r"nvidia\.com/(mig-.+|gpumem.*|gpucores)|(amd|gpu\.intel|habana)\.(com|ai)/.+|google\.com/tpu"
    r"|aws\.amazon\.com/neuron.*|huawei\.com/Ascend.+|qualcomm\.com/.+|aliyun\.com/gpu-mem.*|volcano\.sh/v?gpu.*"
)
"""Devices that compute and are no whole GPUs of NVIDIA, by what their plugins call them."""
_SLICE = re.compile(r"nvidia\.com/mig-(\d+g\.\d+gb)(\.me)?")
_NOT_SIZED = "an exemption of this rule for the workload, once a start has shown that the model fits"


@dataclass(frozen=True)
class Undecided:
    """A fact that a rule needs and the manifest does not settle: where, which, why ("it is ..."), the way out."""

    path: str
    fact: str
    why: str
    remedy: str = PLAIN_VALUE


def gpus_of(container: Node) -> tuple[int | None, list[Undecided]]:
    """GPUs that a container requests, limits first; None with the reason when that is not a number."""
    resources = container["resources"]
    for source in (resources["limits"], resources["requests"]):
        other = next((key for key in source.names() if _OTHER_ACCELERATORS.fullmatch(key)), None)
        if other:
            remedy = f"request whole {GPU_RESOURCE}" if other.startswith("nvidia.com/") else _NOT_SIZED
            return None, [Undecided(source.path, "GPU count", "it is of devices that cannot be sized yet", remedy)]
        asked = source[GPU_RESOURCE] if source[GPU_RESOURCE].stated else source[SHARED_GPU]
        if asked.unknown:
            return None, [Undecided(asked.path, "GPU count", f"it {LATER}")]
        if asked.value is not None:
            count = asked.whole()
            why = (
                []
                if count is not None
                else [Undecided(asked.path, "GPU count", "it is not a whole number", "1, 2 or more")]
            )
            return count, why
    if resources["claims"].value:
        return None, [
            Undecided(
                resources["claims"].path,
                "GPU count",
                "it is left to resource claims, which cannot be sized yet",
                f"request {GPU_RESOURCE}",
            )
        ]
    return _of_the_node(container)


def _of_the_node(container: Node) -> tuple[int | None, list[Undecided]]:
    """No GPU, or those that the container's runtime shows unasked (NVIDIA Container Toolkit)."""
    for entry in container["env"].elements():
        value = entry["value"]
        if entry["name"].text() == VISIBLE and (value.unknown or value.text() not in ("", "none", "void")):
            why = f"it {LATER}" if value.unknown else f"it is what {VISIBLE} shows of the node's, without a request"
            remedy = PLAIN_VALUE if value.unknown else f"request {GPU_RESOURCE}, and leave {VISIBLE} out"
            return None, [Undecided(value.path, "GPU count", why, remedy)]
    return 0, []


def slice_of(container: Node) -> str | None:
    """The size of the one slice of a GPU that a container requests; None for anything else."""
    resources = container["resources"]
    for source in (resources["limits"], resources["requests"]):
        asked = [(found[1], source[key].whole()) for key in source.names() if (found := _SLICE.fullmatch(key))]
        if len(asked) == 1 and asked[0][1] == 1 and not source[GPU_RESOURCE].stated:
            return asked[0][0]
    return None


def slices_of(container: Node) -> tuple[str, int] | None:
    """(size, number) of the slices of one size that a container requests; None for anything else."""
    resources = container["resources"]
    for source in (resources["limits"], resources["requests"]):
        for key in source.names():
            found, number = _SLICE.fullmatch(key), source[key].whole()
            if found and number:
                return found[1], number
    return None


def shared_as(container: Node) -> str | None:
    """How a container shares the GPU that it asks for by another name; None where it asks for a whole one."""
    resources = container["resources"]
    return "time slicing" if any(resources[name][SHARED_GPU].stated for name in ("limits", "requests")) else None
