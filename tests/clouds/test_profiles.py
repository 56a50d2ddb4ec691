"""Nodes as their clouds present them, against published tables and real nodes."""

import csv
from datetime import date
from pathlib import Path

import pytest

from modelberth.catalog import CatalogError, Machine, catalog
from modelberth.clouds import aws, cloud_of, gcp, node_profile, taints
from modelberth.errors import UnknownName
from modelberth.units import GIB, MIB

with (Path(__file__).parents[1] / "data" / "karpenter_allocatable.csv").open() as file:
    PUBLISHED = {row["machine"]: row for row in csv.DictReader(file)}


def machine(**fields: object) -> Machine:
    known = {
        "id": "any-1",
        "cloud": "gcp",
        "arch": "amd64",
        "source": "test",
        "as_of": date(2026, 1, 1),
    }
    return Machine.model_validate(known | fields)


def test_karpenter_s_table_covers_every_aws_machine_we_have() -> None:
    assert PUBLISHED.keys() == {m.id for m in catalog().machines(cloud="aws")}


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_eks_node_has_exactly_what_karpenter_publishes(name: str) -> None:
    published = PUBLISHED[name]
    profile = node_profile(name, boot_disk_gib=20)  # the disk that the table assumes
    assert f"{profile.allocatable_cpu_millicores}m" == published["cpu"].replace("k", "000m")
    assert profile.allocatable_memory_bytes == int(published["memory"].removesuffix("Mi")) * MIB
    assert profile.allocatable_ephemeral_bytes == int(published["ephemeral_storage"].removesuffix("Gi")) * GIB
    assert profile.allocatable["pods"] == published["pods"]


@pytest.mark.parametrize(
    ("vcpu", "memory_gib", "cpu", "capacity_kib", "allocatable_kib"),
    [
        (2, 7.5, "1930m", 7_658_196, 5_778_132),  # n1-standard-2, 2019
        (4, 15, "3920m", 15_399_244, 12_699_980),  # n1-standard-4, 2019
        (2, 8, "1930m", 8_152_028, 6_186_972),  # e2-standard-2 of a newer cluster
    ],
)
def test_a_gke_node_has_what_real_nodes_show(
    vcpu: int, memory_gib: float, cpu: str, capacity_kib: int, allocatable_kib: int
) -> None:
    profile = gcp.node_profile(machine(vcpu=vcpu, memory_gib=memory_gib))
    assert profile.allocatable["cpu"] == cpu
    assert int(profile.capacity["memory"].removesuffix("Ki")) == pytest.approx(capacity_kib, rel=0.005)
    assert profile.allocatable_memory_bytes / 1024 == pytest.approx(allocatable_kib, rel=0.005)
    assert profile.allocatable_ephemeral_bytes == pytest.approx(47_093_746_742, rel=0.005)


@pytest.mark.parametrize("name", [m.id for m in catalog().machines()])
def test_no_node_offers_more_than_it_has(name: str) -> None:
    profile = node_profile(name)
    advertised = profile.machine
    assert 0 < profile.allocatable_cpu_millicores < advertised.vcpu * 1000
    assert 0.5 * advertised.memory_gib * GIB < profile.allocatable_memory_bytes < advertised.memory_gib * GIB
    assert 0 < profile.allocatable_ephemeral_bytes < 100 * GIB


def test_a_gpu_node_says_which_gpu_and_how_many() -> None:
    profile = node_profile("g2-standard-24")
    assert profile.labels["cloud.google.com/gke-accelerator"] == "nvidia-l4"
    assert profile.labels["node.kubernetes.io/instance-type"] == "g2-standard-24"
    assert profile.capacity["nvidia.com/gpu"] == profile.allocatable["nvidia.com/gpu"] == "2"


def test_the_mega_machine_has_an_accelerator_name_of_its_own() -> None:
    assert node_profile("a3-megagpu-8g").labels["cloud.google.com/gke-accelerator"] == "nvidia-h100-mega-80gb"


def test_a_cpu_node_has_no_gpu_and_no_taint() -> None:
    profile = node_profile("c3-standard-8")
    assert "nvidia.com/gpu" not in profile.capacity
    assert not any("accelerator" in label for label in profile.labels)
    assert profile.taints == ()


def test_gke_keeps_gpu_nodes_for_pods_that_tolerate_them_and_eks_does_not() -> None:
    assert [dict(taint) for taint in taints("g2-standard-8")] == [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    ]
    assert taints("g6.xlarge") == ()


def test_gke_keeps_nodes_with_a_part_of_a_gpu_apart_and_promises_no_whole_one() -> None:
    profile = node_profile("g4-standard-12")
    assert [taint["key"] for taint in profile.taints] == ["nvidia.com/gpu"]
    assert "nvidia.com/gpu" not in profile.allocatable


def test_gke_keeps_arm_nodes_apart_too() -> None:
    found = gcp.taints(machine(vcpu=140, memory_gib=884, arch="arm64", gpu="nvidia-gb200", gpu_count=4))
    assert [taint["key"] for taint in found] == ["nvidia.com/gpu", "kubernetes.io/arch"]


def test_a_larger_disk_leaves_more_room_on_it() -> None:
    assert (
        node_profile("g2-standard-8", 200).allocatable_ephemeral_bytes
        > node_profile("g2-standard-8").allocatable_ephemeral_bytes
    )


def test_a_machine_type_we_do_not_have_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(UnknownName, match="did you mean 'g2-standard-8'"):
        node_profile("g2-standrd-8")
    with pytest.raises(UnknownName):
        cloud_of("standard_nc24ads")


def test_an_eks_node_without_a_known_pod_limit_is_refused() -> None:
    with pytest.raises(CatalogError, match="max_pods is not known"):
        aws.node_profile(machine(cloud="aws", id="x1.large", vcpu=2, memory_gib=8))


def test_every_machine_belongs_to_the_cloud_that_sells_it() -> None:
    assert cloud_of("g2-standard-8") == "gcp"
    assert cloud_of("g6.xlarge") == "aws"
