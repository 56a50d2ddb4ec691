"""docs/placement.md: the planner's word beside the scheduler's, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from modelberth.catalog import catalog
from modelberth.host import FETCH_HOST, SYSTEM_CPU_MILLICORES, SYSTEM_MEMORY_MIB
from modelberth.units import cores
from tests.placement.cases import unplanned
from tests.placement.scheduled import Outcome, Trial, disagreement

PAGE = Path(__file__).resolve().parents[2] / "docs" / "placement.md"
HEAD = f"""# The planner's placement is the scheduler's

`make placement` writes this page. For every machine type, services are planned that fill a node of it: one copy on all
GPUs, the same with as much KV cache in the node's memory as the planner allows, as many copies as it puts on one node,
and on CPUs as many requests at once as the memory holds. Their pods are rendered, and the real kube-scheduler gets them
on a node with the labels, the taints and the allocatable resources of that type. The node has its system pods already
({SYSTEM_CPU_MILLICORES}m CPU, {SYSTEM_MEMORY_MIB} MiB: what a plan leaves for them), and the pod of the download Job
({cores(FETCH_HOST.cpu_millicores)} CPU, {FETCH_HOST.memory_mib} MiB) must find room beside the servers.

Then the same pods get a node with the same labels and taints and the resources of a smaller machine type: the largest
with the same accelerator and processor in that cloud, and the largest of the same family. Smaller is what offers less
of something and no more of anything; where no type with that GPU is smaller, one GPU is taken away. The planner is
asked about that type too: it refuses the service, or its pods ask less there, or they ask the same. Only then may the
scheduler place them, with the download there first. What the planner says is too little must be among what the
scheduler says; of several copies, what runs out first must be among what the planner says.
"""
TITLES = ("machine type", "service", "each pod asks", "node", "planner", "scheduler")
BEFORE_THE_SCHEDULER = 5
"""Columns that are known before the scheduler is asked."""


def columns(trial: Trial, outcome: Outcome | None = None) -> tuple[str, ...]:
    """One line of the table; without an outcome, what is known before."""
    case, host = trial.case, trial.case.host
    gpus = f", {case.gpus} GPU" if case.gpus else ""
    asks = f"{cores(host.cpu_millicores)} CPU, {host.memory_mib:,} MiB{gpus}"
    planner = f"too little {' and '.join(trial.planner)}" if trial.planner else "fits"
    service = f"{case.service['model'].partition('/')[2]}: {case.what}"
    known = (case.machine.id, service, asks, trial.below or "its own", planner)
    return (*known, _did(trial, outcome)) if outcome else known


def page(outcomes: Mapping[str, Outcome], tried: Sequence[Trial]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_summary(outcomes, tried), "", *table(outcomes, tried), "", *_left_out()]) + "\n"


def table(outcomes: Mapping[str, Outcome], tried: Iterable[Trial]) -> Iterator[str]:
    """Lines in Markdown."""
    yield _line(TITLES)
    yield _line(["---"] * len(TITLES))
    for trial in tried:
        yield _line(columns(trial, outcomes[trial.name]))


def written() -> list[tuple[str, ...]]:
    """The lines of the committed page."""
    lines = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| "))
    found = [tuple(line.removeprefix("| ").removesuffix(" |").split(" | ")) for line in lines]
    return found[2:]


def _summary(outcomes: Mapping[str, Outcome], tried: Sequence[Trial]) -> Iterator[str]:
    own = [trial for trial in tried if not trial.below]
    below = [trial for trial in tried if trial.below]
    waiting = [trial for trial in below if trial.planner]
    wrong = [trial for trial in tried if disagreement(trial, outcomes[trial.name])]
    types, pods = {trial.case.machine.id for trial in own}, sum(trial.case.copies for trial in own)
    full = sum(outcomes[trial.name].placed == trial.case.copies and outcomes[trial.name].download for trial in own)
    yield (
        f"{len(types)} of {len(catalog().machines())} machine types, {len(own)} services, {pods} pods: {full} of "
        f"{len(own)} services have all their pods and their download on one node of their type."
    )
    yield (
        f"{len(below)} smaller nodes: on {len(waiting)} the planner says that they do not fit, on "
        f"{len(below) - len(waiting)} that they do. The scheduler disagrees {len(wrong)} times."
    )


def _left_out() -> Iterator[str]:
    yield "Nothing is planned on:"
    yield ""
    for machine, why in unplanned():
        yield f"- {machine.id}: {why}"


def _did(trial: Trial, outcome: Outcome) -> str:
    placed = f"{outcome.placed} of {trial.case.copies} placed"
    return f"{placed}; too little {', '.join(outcome.lacking)}" if outcome.lacking else placed


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
