"""Kinds of nodes of one's own: no cloud sells them, and no plan takes one that nobody asked for."""

from __future__ import annotations

import pytest

from modelberth.catalog import Machine, catalog
from modelberth.clouds import gpu_from_labels, node_profile, node_selector, taints
from modelberth.units import GIB
from tests.modelberth.samples import plan_of

OWN = catalog().machines(cloud="generic")


def test_they_are_not_among_what_clouds_sell() -> None:
    assert OWN
    assert not {machine.id for machine in OWN} & {machine.id for machine in catalog().machines()}
    assert all(catalog().price(machine.id) is None for machine in OWN)


@pytest.mark.parametrize("machine", OWN, ids=lambda machine: machine.id)
def test_a_node_is_selected_by_its_gpu_and_by_no_machine_type(machine: Machine) -> None:
    selector = node_selector(machine.id, machine.gpu, "generic")
    assert list(selector) == ["nvidia.com/gpu.product"]
    assert selector.items() <= dict(node_profile(machine.id).labels).items()
    assert gpu_from_labels(selector) == machine.gpu
    assert taints(machine.id) == ()


@pytest.mark.parametrize("machine", OWN, ids=lambda machine: machine.id)
def test_some_memory_is_left_to_the_system(machine: Machine) -> None:
    left = node_profile(machine.id).allocatable_memory_bytes
    assert (machine.memory_gib - 4) * GIB < left < (machine.memory_gib - 2) * GIB


def test_a_pool_that_names_one_is_planned_on_it() -> None:
    pools = {"own": {"accelerators": ["nvidia-rtx-4090"], "machine_types": ["own-1x-rtx-4090"], "max_nodes": 1}}
    decision = plan_of(keys={"pools": pools}, typical_tokens=3000).decision
    assert (decision.machine_type, decision.accelerator) == ("own-1x-rtx-4090", "nvidia-rtx-4090")
