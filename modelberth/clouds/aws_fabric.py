"""EFA, which joins the GPUs of several machines: network cards of a machine type, what pods ask for to use them, what
their nodes must be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Positive, Row, Text
from modelberth.units import mebibytes

EFA_ONLY = "efa-only"
EFA = "vpc.amazonaws.com/efa"
"""Resource of one interface with EFA, as its device plugin registers it."""
HUGE_PAGES = "hugepages-2Mi"
HUGE_PAGES_MIB = 5120
"""Pages of 2 MiB of one pod: libfabric keeps its buffers in them, as the examples of AWS ask for them
(awsdocs/amazon-eks-user-guide@4d52b4d:latest/ug/ml/node-efa.adoc and
aws-samples/awsome-distributed-training@7217859:micro-benchmarks/nccl-tests/kubernetes/nccl-tests.yaml). They are mapped
without a name, so no volume is needed (ofiwg/libfabric@af8ddbe:prov/util/src/util_buf.c).
"""
LIBRARIES = "libfabric and aws-ofi-nccl"
"""What an image must have for NCCL to use EFA. No variable is needed from aws-ofi-nccl 1.7 and libfabric 1.18 on
(aws/aws-ofi-nccl@2daf7d3:doc/efa-env-var.md).
"""

_PAGES = f"""\
echo vm.nr_hugepages={HUGE_PAGES_MIB // 2} > /etc/sysctl.d/90-huge-pages.conf
sysctl -p /etc/sysctl.d/90-huge-pages.conf
"""
_PREPARED = """\
#!/bin/bash
set -eu
mkdir -p /etc/systemd/system/containerd.service.d
printf '[Service]\\nLimitMEMLOCK=infinity\\n' > /etc/systemd/system/containerd.service.d/90-locked-memory.conf
systemctl daemon-reload
"""


class Fabric(Row):
    """Network cards of a machine type with EFA. ``first_card`` is whether card 0 has it too."""

    machine: Text
    cards: Positive
    first_card: bool

    @property
    def interfaces(self) -> tuple[tuple[int, int, str], ...]:
        """(card, device, type) of a machine's interfaces: one for IP, and one for EFA alone on each card that has it
        (docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html).
        """
        shared = ((0, 1, EFA_ONLY),) if self.first_card else ()
        return ((0, 0, "interface"), *shared, *((card, 0, EFA_ONLY) for card in range(1, self.cards)))

    @property
    def devices(self) -> int:
        """Interfaces with EFA, which its device plugin offers one by one."""
        return sum(kind == EFA_ONLY for _, _, kind in self.interfaces)


class Registry(Row):
    """An account whose registries hold the images of EKS, and the regions where."""

    account: Text
    regions: tuple[Text, ...]
    suffix: Text = "amazonaws.com"


def fabric(machine_type: str) -> Fabric | None:
    """Its network cards with EFA; None where it has none that is listed."""
    return _fabrics().get(machine_type)


def pod_resources(machine_type: str, *, pages: bool) -> dict[str, str]:
    """What a pod that takes such a machine asks for beside its GPUs; nothing where it has no EFA.

    ``pages`` is false where whoever makes nodes knows no huge pages, and would make none for a pod that asks for them:
    Karpenter does only by a NodeOverlay, which is alpha and off (aws/karpenter-provider-aws@1d92708:
    website/content/en/preview/reference/settings.md). libfabric takes plain memory then, which is slightly slower.
    """
    cards = fabric(machine_type)
    if cards is None:
        return {}
    return {EFA: str(cards.devices), **({HUGE_PAGES: mebibytes(HUGE_PAGES_MIB)} if pages else {})}


def preparation(*, pages: bool) -> str:
    """What runs on a node before its kubelet and containerd start (awslabs/amazon-eks-ami@81fec2e:templates/al2023,
    nodeadm-run.service comes after the scripts of cloud-init).

    The kubelet offers the huge pages that are there by then. More have been seen without this (21122Mi on p4d, 42242Mi
    on p5, in aws-samples/awsome-distributed-training@7217859), but no source promises any for this image. What EFA
    reaches must stay in memory: containers inherit what systemd lets containerd lock, 8 MiB unless told otherwise, and
    no capability lifts that for one that is not root (NVIDIA/nvidia-container-toolkit#2037).
    """
    return _PREPARED + (_PAGES if pages else "")


def registry(region: str) -> str:
    """Host of the registry of EKS in a region; that of the plugin's own chart where no row names the region."""
    for row in _registries():
        if region in row.regions:
            return f"{row.account}.dkr.ecr.{region}.{row.suffix}"
    return "602401143452.dkr.ecr.us-west-2.amazonaws.com"


@cache
def _fabrics() -> Mapping[str, Fabric]:
    return index(read_rows(files("modelberth.clouds") / "efa.yaml", Fabric), lambda row: row.machine)


@cache
def _registries() -> tuple[Registry, ...]:
    return read_rows(files("modelberth.clouds") / "eks_registries.yaml", Registry)
