"""What the planner says fits a node, the real scheduler places there; what it keeps off a smaller one waits there."""

from __future__ import annotations

import copy

import pytest

from modelberth.catalog import catalog
from modelberth.clouds import node_profile
from modelberth.host import FETCH_HOST, SYSTEM_CPU_MILLICORES, SYSTEM_MEMORY_MIB, cpu_host, usable_ephemeral_bytes
from modelberth.units import MIB
from tests.placement.cases import cases, sample, unplanned
from tests.placement.page import BEFORE_THE_SCHEDULER, columns, written
from tests.placement.scheduled import Trial, disagreement, every_trial, rendered, run, trials
from toolchain.kube import Kube, Manifest


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """What the components render for the sample."""
    return rendered(sample(), tmp_path_factory.mktemp("stacks"))


@pytest.mark.engine
def test_the_scheduler_does_what_the_planner_says_and_what_the_page_shows(
    kube: Kube, pods: dict[str, list[Manifest]]
) -> None:
    tried = list(trials(sample()))
    outcomes = run(kube, tried, pods)
    assert [said for trial in tried if (said := disagreement(trial, outcomes[trial.name]))] == []
    assert {columns(trial, outcomes[trial.name]) for trial in tried} <= set(written()), "run: make placement"


@pytest.mark.engine
@pytest.mark.parametrize(("resource", "more"), [("cpu", "1500m"), ("memory", "1Gi")])
def test_a_download_that_asks_more_than_the_planner_left_would_be_noticed(
    kube: Kube, pods: dict[str, list[Manifest]], resource: str, more: str
) -> None:
    case = next(case for case in sample() if case.what == "full memory")
    *servers, download = copy.deepcopy(pods[case.name])
    extra = {**download["spec"]["containers"][0], "name": "more", "resources": {"requests": {resource: more}}}
    download["spec"]["containers"].append(extra)
    own = Trial(case, node_profile(case.machine.id))
    outcome = run(kube, [own], {case.name: [*servers, download]})[own.name]
    assert "no room for the download" in disagreement(own, outcome)


def test_the_page_says_what_the_planner_says_today() -> None:
    today = [columns(trial) for trial in every_trial()]
    assert today == [line[:BEFORE_THE_SCHEDULER] for line in written()], "run: make placement"


def test_every_machine_type_is_filled_or_its_gpu_is_a_part_of_one() -> None:
    filled = {case.machine.id for case in cases()}
    assert filled | {machine.id for machine, _ in unplanned()} == {machine.id for machine in catalog().machines()}
    assert all("part of one" in why for _, why in unplanned())


def test_every_pod_of_a_full_node_leaves_room_for_system_pods_and_a_download() -> None:
    for case in cases():
        node = node_profile(case.machine.id)
        beside = FETCH_HOST.memory_mib + SYSTEM_MEMORY_MIB
        cpu = case.copies * case.host.cpu_millicores + FETCH_HOST.cpu_millicores + SYSTEM_CPU_MILLICORES
        assert cpu <= node.allocatable_cpu_millicores, case.name
        assert (case.copies * case.host.memory_mib + beside) * MIB <= node.allocatable_memory_bytes, case.name
        assert case.copies * case.host.ephemeral_mib * MIB <= usable_ephemeral_bytes(node), case.name


def test_memory_of_a_pod_on_cpus_is_rounded_up_no_further_than_its_node_goes() -> None:
    machine = catalog().machine("c3-standard-8")
    left = node_profile(machine.id).allocatable_memory_bytes - (FETCH_HOST.memory_mib + SYSTEM_MEMORY_MIB) * MIB
    assert left % (256 * MIB)
    assert cpu_host(machine, left, 0).memory_mib == left // MIB
    assert cpu_host(machine, left - 256 * MIB, 0).memory_mib % 256 == 0


def test_smaller_nodes_are_of_both_kinds() -> None:
    below = [trial for trial in every_trial() if trial.below]
    lacking = {name for trial in below for name in trial.planner}
    assert {"cpu", "memory", "nvidia.com/gpu"} <= lacking
    assert any(not trial.planner for trial in below)
