"""What is refused of EKS before anything is asked of AWS: one clear error each."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.clouds import node_profile
from modelberth.clouds.aws_fabric import HUGE_PAGES_MIB, fabric, pod_resources, registry
from modelberth.clouds.aws_groups import ami_type, fixed, uses_local_disks
from modelberth.clouds.targets import maintained
from modelberth.fabric import fabric_of
from modelberth.findings import Refused
from modelberth.host import gpu_host
from modelberth.lock import settle
from modelberth.units import GIB, MIB
from tests.components.eks_cases import BLOCK, EKS, L40S, SERVICE, stack

NOVEMBER = date(2026, 11, 28)


def refusal(pool: dict[str, Any] | None = None, **cluster: Any) -> str:
    """Everything that is said against a pool of the stack, or against the cluster."""
    with pytest.raises(Refused) as refused:
        settle(parse.stack(stack({"l40s": {**L40S, **(pool or {})}}, {"chat": SERVICE}, cluster)), {})
    return str(refused.value)


def out_of_support(version: str, day: date = NOVEMBER, **cluster: Any) -> list[str]:
    target = parse.stack(stack({"l40s": L40S}, {"chat": SERVICE}, {"version": version, **cluster})).target
    return [f"{each.path}: {each.message} ({each.remedy})" for each in maintained(target, day)]


def test_a_version_whose_standard_support_ended_is_refused_with_one_that_has_it() -> None:
    (said,) = out_of_support("1.32")
    assert said.startswith("target.eks.version: standard support of Kubernetes 1.32 ended on 2026-03-23")
    assert '"1.35"' in said


def test_a_version_is_fine_on_its_last_day_and_refused_on_the_next() -> None:
    assert out_of_support("1.34", date(2026, 12, 2)) == []
    assert len(out_of_support("1.34", date(2026, 12, 3))) == 1


def test_a_version_older_than_all_that_are_known_is_not_offered() -> None:
    assert "offers no Kubernetes 1.21" in out_of_support("1.21")[0]


def test_a_version_newer_than_all_that_are_known_is_let_through() -> None:
    assert out_of_support("1.39") == []


def test_one_zone_is_too_few_for_a_cluster_that_is_made() -> None:
    assert "at least two zones" in refusal(zones=["us-east-1a"])


def test_a_cluster_without_administrators_could_be_reached_by_nobody() -> None:
    assert "name the role that deploys" in refusal(administrators=[])


def test_a_reservation_without_its_zone_is_refused_for_a_pool_in_two() -> None:
    reserved = {"name": BLOCK["name"], "machine_type": "g6e.xlarge"}
    said = refusal({"capacity": ["reservation"], "reservation": reserved})
    assert "pools.l40s.zones: cr-0123456789abcdef0 lies in one zone, and the pool has us-east-1a, us-east-1b" in said


def test_a_reservation_in_another_zone_than_the_pool_is_refused() -> None:
    reserved = {"name": BLOCK["name"], "zones": ["us-east-1b"]}
    said = refusal({"capacity": ["reservation"], "reservation": reserved, "zones": ["us-east-1a"]})
    assert "lies in us-east-1b, the pool in us-east-1a" in said


def test_flex_start_is_not_sold_on_aws() -> None:
    assert "flex-start" in refusal({"capacity": ["flex-start"]})


def test_karpenter_keeps_no_nodes_that_nobody_asks_for() -> None:
    assert "pools.l40s.min_nodes" in refusal({"min_nodes": 1}, provisioner="karpenter")


def test_a_subnet_is_named_for_every_zone_of_a_network_that_exists() -> None:
    network = {"vpc": "vpc-0123456789abcdef0", "subnets": {"us-east-1a": "subnet-0123456789abcdef0"}}
    assert "no subnet is named for us-east-1b" in refusal(network=network)


@pytest.mark.parametrize(
    ("machine", "gpu", "image"),
    [
        ("g6e.xlarge", True, "AL2023_x86_64_NVIDIA"),
        ("g5g.xlarge", True, "AL2023_ARM_64_NVIDIA"),
        ("m7i.xlarge", False, "AL2023_x86_64_STANDARD"),
        ("m8g.xlarge", False, "AL2023_ARM_64_STANDARD"),
        ("m6gd.large", False, "AL2023_ARM_64_STANDARD"),
        ("m5.large", False, "AL2023_x86_64_STANDARD"),
    ],
)
def test_machines_start_from_the_image_of_their_processor_and_gpu(machine: str, gpu: bool, image: str) -> None:
    assert ami_type(machine, gpu=gpu) == image


def test_every_aws_machine_with_a_fast_fabric_has_its_cards_listed() -> None:
    fast = {each.id for each in catalog().machines(cloud="aws") if fabric_of(each)}
    assert fast
    assert fast == {each for each in fast if fabric(each)}


def test_every_card_has_an_interface_for_efa_but_a_first_one_that_cannot() -> None:
    b200, b300 = fabric("p6-b200.48xlarge"), fabric("p6-b300.48xlarge")
    assert b200
    assert b300
    assert b200.interfaces[:2] == ((0, 0, "interface"), (0, 1, "efa-only"))
    assert (b200.devices, b300.devices) == (8, 16)
    assert sum(kind == "efa-only" for _, _, kind in b300.interfaces) == 16
    assert (0, 1, "efa-only") not in b300.interfaces


def test_pods_ask_for_every_interface_and_for_huge_pages_where_whoever_makes_nodes_knows_them() -> None:
    assert pod_resources("p5en.48xlarge", pages=True) == {"vpc.amazonaws.com/efa": "16", "hugepages-2Mi": "5Gi"}
    assert pod_resources("p5en.48xlarge", pages=False) == {"vpc.amazonaws.com/efa": "16"}
    assert pod_resources("g6e.xlarge", pages=True) == {}


IMAGE_PAGES_MIB_PER_VCPU = 220
"""Most huge pages that nodes of EKS were seen with: 21122Mi of p4d's 96 vCPUs, 42242Mi of p5's 192 (allocatable nodes
in aws-samples/awsome-distributed-training@7217859).
"""


def test_huge_pages_are_set_aside_of_memory_that_no_plan_counts_on() -> None:
    for machine in catalog().machines(cloud="aws"):
        if fabric(machine.id) is None:
            continue
        most = max(HUGE_PAGES_MIB, IMAGE_PAGES_MIB_PER_VCPU * machine.vcpu + 2) * MIB
        counted = node_profile(machine.id).allocatable_memory_bytes
        assert counted <= machine.memory_gib * GIB - most, machine.id
        assert gpu_host(machine, machine.gpu_count, 0).memory_mib * MIB < counted - most, machine.id


def test_the_registry_is_that_of_the_region_or_the_one_that_the_chart_names() -> None:
    assert registry("eu-south-1") == "590381155156.dkr.ecr.eu-south-1.amazonaws.com"
    assert registry("cn-north-1") == "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn"
    assert registry("mx-central-1") == "602401143452.dkr.ecr.us-west-2.amazonaws.com"


def test_local_disks_are_used_where_they_hold_what_the_boot_disk_was_sized_for() -> None:
    small = catalog().machine("g4dn.xlarge")
    assert uses_local_disks(small, 100)
    assert not uses_local_disks(small, 120)
    assert not uses_local_disks(catalog().machine("m7i.xlarge"), 50)


def test_images_are_fixed_by_digest_or_release() -> None:
    assert "@sha256:" in fixed("device-plugin")
    assert fixed("efa-device-plugin").endswith(":v0.5.20")
    assert fixed("karpenter-image").startswith("al2023@v")


def test_the_default_version_is_maintained_for_months() -> None:
    assert EKS.get("version") is None
    target = parse.stack(stack({"l40s": L40S}, {"chat": SERVICE})).target
    assert list(maintained(target, NOVEMBER)) == []
