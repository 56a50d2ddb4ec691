"""The rule about our own sizing record: what runs is what was decided, and what was decided is what is locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelberth.decision import SIZING_ANNOTATION, digest
from modelberth.engines import ENGINES
from modelberth.findings import Finding
from modelberth.manifests import Workload, legible_record
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, undecided

_RECORDED = ("Deployment", "LeaderWorkerSet", "StatefulSet")
PATH = f'metadata.annotations["{SIZING_ANNOTATION}"]'
QUESTION = "whether the workload is what was planned"


def _as_recorded(resource: Resource, settings: Settings) -> Iterator[Finding]:
    record = resource.node.at("metadata", "annotations", SIZING_ANNOTATION)
    if record.unknown and resource.workloads and (resource.ours or record.path == PATH):
        yield undecided("SZ-20", QUESTION, record)
    for workload in resource.workloads:
        yield from _of(workload, settings)
        seen = workload.observed
        if resource.ours and resource.kind in _RECORDED and not record.stated and seen and not seen.helper:
            message = "the sizing record is gone: nobody can tell whether this is what was planned"
            yield Finding("SZ-20", PATH, message, "let the components write it")


def _of(workload: Workload, settings: Settings) -> list[Finding]:
    """Compare the record with the container, and with the lock where there is one. Silent without a record."""
    if workload.sizing_record is None:
        return []
    record = legible_record(workload.sizing_record)
    if record is None:
        return [Finding("SZ-20", PATH, "the sizing record is not legible", "let the components write it")]
    return [*_container(workload, record), *_lock(workload, record, settings)]


def _container(workload: Workload, record: Mapping[str, Any]) -> Iterator[Finding]:
    observed = workload.observed
    if observed is None:
        return
    shared_by = (observed.slots or 1) if ENGINES[observed.engine].slots_share_context else 1
    seen = {
        "model": observed.model and record.get("model"),
        "tensor_parallel": observed.tensor_parallel,
        "pipeline_parallel": observed.pipeline_parallel,
        "context_tokens": observed.context and observed.context // shared_by,
        "concurrency": observed.max_num_seqs or observed.slots,
        "accelerator": record.get("accelerator") and workload.gpu,
    }
    recorded = {"pipeline_parallel": 1} | dict(record)
    for name, value in seen.items():
        if value is not None and recorded.get(name) != value:
            message = f"the record says {name} {recorded.get(name)}, the container is started with {value}"
            yield Finding("SZ-20", workload.arguments_path, message, "change the spec and update the plan")


def _lock(workload: Workload, record: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    locked = settings.locks.get(workload.service)
    if locked is not None and record.get("digest") != digest(locked):
        message = f"the plan of {workload.service} is not the one that is locked beside the stack"
        yield Finding("SZ-20", PATH, message, "run modelberth plan --update, and review what it changes")


RULES = (
    Rule(
        id="SZ-20",
        name="as-planned",
        title="The workload is what was planned and locked",
        question=QUESTION,
        why="An edit by hand, or a plan made elsewhere, would run with figures that nobody sized.",
        remediation="Change the spec, run modelberth plan --update, and let the components write the workload.",
        severity=Severity.HIGH,
        levels=ALWAYS,
        source="the plan lock: docs/adr/0003-plans-are-locked.md",
        check=_as_recorded,
    ),
)
