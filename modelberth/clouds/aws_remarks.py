"""What the fields of EKS node groups say beside their size."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog import catalog
from modelberth.clouds.aws_karpenter import NODE_POOL
from modelberth.clouds.aws_pools import CLOUD, LAUNCH_TEMPLATE, NODE_GROUP
from modelberth.clouds.base import accelerator_names
from modelberth.clouds.pool_facts import Registered, machine_named
from modelberth.clouds.remarks import About, Remark, meant
from modelberth.node import Node

TYPES = frozenset({NODE_GROUP, LAUNCH_TEMPLATE, NODE_POOL})


def remarks(resource: Registered) -> Iterator[Remark]:
    """Everything that is to be said about a resource."""
    root = resource.node
    if resource.type == LAUNCH_TEMPLATE:
        yield from _unknown_type(root["instanceType"])
    elif resource.type == NODE_GROUP:
        for each in root["instanceTypes"].each():
            yield from _unknown_type(each)
            yield from _image(root["amiType"], each)
    elif resource.type == NODE_POOL:
        for each in root["spec"]["template"]["spec"]["requirements"].each():
            yield from _requirement(each)


def _unknown_type(written: Node) -> Iterator[Remark]:
    """A size that its family does not have stops; of a family that the catalog lacks it is a hint."""
    name = written.text()
    if written.unknown:
        yield Remark(About.MACHINE, written, "", "")
    if not name or machine_named(name, CLOUD):
        return
    family = name.partition(".")[0]
    machines = catalog().machines(cloud=CLOUD)
    of_family = tuple(
        each.id for each in machines if each.id.partition(".")[0] == family and (each.gpu or each.gpu_slice)
    )
    if of_family:
        message = f"machine type unknown: {family} comes as {', '.join(of_family)}"
        yield Remark(About.MACHINE, written, message, meant(name, of_family))
    elif near := meant(name, tuple(each.id for each in machines), most=0):
        message = f"machine type unknown to the catalog; did you mean {near}?"
        yield Remark(About.MACHINE, written, message, near, advice=True)


def _image(image: Node, written: Node) -> Iterator[Remark]:
    """Whether the image runs on the machine and brings the driver of its GPUs."""
    machine, kind = machine_named(written.text(), CLOUD), image.text()
    if image.unknown and machine and machine.gpu:
        yield Remark(About.MACHINE, image, "", "")
    if machine is None or not kind or kind == "CUSTOM":
        return
    arm = "ARM" in kind
    if arm != (machine.arch == "arm64"):
        message = f"{machine.id} is {machine.arch}, the image is for {'arm64' if arm else 'amd64'}"
        remedy = f"amiType: {_images(machine.arch)}"
        yield Remark(About.MACHINE, image, message, remedy)
    elif machine.gpu and not kind.endswith(("_NVIDIA", "_GPU")):
        message = f"{machine.id} has GPUs, and the image brings no driver for them"
        yield Remark(About.MACHINE, image, message, f"amiType: {_images(machine.arch)}", advice=True)


def _images(arch: str) -> str:
    return (
        "AL2023_ARM_64_NVIDIA or BOTTLEROCKET_ARM_64_NVIDIA"
        if arch == "arm64"
        else ("AL2023_x86_64_NVIDIA or BOTTLEROCKET_x86_64_NVIDIA")
    )


def _requirement(requirement: Node) -> Iterator[Remark]:
    """Machine types and GPU names as Karpenter spells them."""
    key = requirement["key"].text()
    if requirement["operator"].text() != "In":
        return
    names = tuple(dict.fromkeys(row.karpenter for row in accelerator_names().values() if row.karpenter))
    for value in requirement["values"].elements():
        if key == "node.kubernetes.io/instance-type":
            yield from _unknown_type(value)
        elif key.endswith("/instance-gpu-name") and value.text() and value.text() not in names:
            message = f"no GPU has this name here; they are {', '.join(names)}"
            near = meant(value.text().removeprefix("nvidia-"), names)
            yield Remark(About.MACHINE, value, message, near, advice=True)
