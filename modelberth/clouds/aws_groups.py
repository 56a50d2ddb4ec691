"""What a node of a managed node group of EKS starts from: its image and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from modelberth.catalog import Machine, catalog
from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row, Text
from modelberth.clouds.base import gib
from modelberth.errors import UnknownName

_GRAVITON = re.compile(r"[a-z]+\d+g[a-z]*\..+")
"""Instance types whose processor attribute is g (docs.aws.amazon.com/ec2, instance type naming conventions)."""

BOUNDARY = "//"
_MIME = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="{boundary}"

--{boundary}
Content-Type: application/node.eks.aws

---
{config}{scripts}--{boundary}--
"""
_SCRIPT = """\
--{boundary}
Content-Type: text/x-shellscript; charset="us-ascii"

{script}"""
_NODE_CONFIG = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates:
    FastImagePull: true
"""
_RAID = """\
  instance:
    localStorage:
      strategy: RAID0
"""


class FixedPart(Row):
    """One thing that is fetched, in a fixed version: ``value`` as whoever fetches it spells it."""

    part: Text
    value: Text


def architecture(machine_type: str) -> str:
    """amd64 or arm64: as the catalog has it, or by the name of a type without GPUs that it does not have."""
    try:
        return catalog().machine(machine_type).arch
    except UnknownName:
        return "arm64" if _GRAVITON.fullmatch(machine_type) else "amd64"


def ami_type(machine_type: str, *, gpu: bool) -> str:
    """The image of Amazon Linux 2023 for it; the NVIDIA one has the driver and the container toolkit, and no device
    plugin (awslabs/amazon-eks-ami, doc/usage).
    """
    arm = architecture(machine_type) == "arm64"
    return f"AL2023_{'ARM_64' if arm else 'x86_64'}_{'NVIDIA' if gpu else 'STANDARD'}"


def uses_local_disks(machine: Machine, boot_disk_gib: int) -> bool:
    """Whether local disks hold images and what pods write: where they hold what the boot disk was sized for."""
    return (machine.local_nvme_gb or 0) * 1e9 >= gib(boot_disk_gib)


def user_data(*, local_disks: bool, script: str = "") -> str:
    """Settings of nodeadm as a MIME document, as managed node groups take them, and a shell script that runs before
    the kubelet starts.
    """
    scripts = _SCRIPT.format(boundary=BOUNDARY, script=script) if script else ""
    return _MIME.format(boundary=BOUNDARY, config=node_config(local_disks=local_disks), scripts=scripts)


def node_config(*, local_disks: bool) -> str:
    """Settings of nodeadm: images are pulled and unpacked in parallel, and local disks joined to hold them
    (awslabs/amazon-eks-ami, nodeadm/api/v1alpha1/nodeconfig_types.go).
    """
    return _NODE_CONFIG + (_RAID if local_disks else "")


def fixed(part: str) -> str:
    """An image or a release that nodes need. Raises :class:`KeyError`."""
    return _fixed()[part].value


@cache
def _fixed() -> Mapping[str, FixedPart]:
    return index(read_rows(files("modelberth.clouds") / "eks_parts.yaml", FixedPart), lambda row: row.part)
