"""Rules about the manifest itself that the sizing rules lean on."""

from __future__ import annotations

from modelberth.catalog import catalog
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.rules.base import ADVICE, ALWAYS, Rule, Severity, per_workload


def _pinned(workload: Workload) -> list[Finding]:
    if workload.engine is None or workload.image_digest:
        return []
    if not workload.image_known:
        message = "whether the image is pinned is only known after apply"
    elif workload.image_tag in (None, "latest"):
        said = "has no tag" if workload.image_tag is None else "has the tag latest"
        message = f"the image {said}: what runs changes without a change here"
    elif workload.observed and workload.observed.version_assumed:
        message = "the image's tag names no version of the engine"
    else:
        return []
    return [
        Finding("WH-06", f"{workload.path}.image", message + _assumption(workload), _remedy(workload), Level.WARNING)
    ]


def _assumption(workload: Workload) -> str:
    if workload.observed is None:
        return ""
    name = catalog().engine(workload.observed.engine).name
    return f"; the sizing figures assume {name} {workload.observed.engine_version}"


def _remedy(workload: Workload) -> str:
    facts = catalog().engine(workload.engine or "")
    on_host = "cpu" in facts.images and (workload.on_cpu_image or workload.gpus == 0)
    return f"image: {facts.image('cpu' if on_host else 'cuda')}, with its digest"


def _selects(workload: Workload) -> list[Finding]:
    if workload.has_selector:
        return []
    message = f"a {workload.kind} without spec.selector is refused by the API server"
    return [Finding("WH-21", "spec.selector", message, "spec.selector.matchLabels with the labels of the pod template")]


PINNED = Rule(
    id="WH-06",
    name="image-pinned",
    title="The image is pinned",
    question="whether the image is pinned",
    why="Defaults that sizing depends on change between engine versions.",
    remediation="Name a version, better with its digest.",
    severity=Severity.MEDIUM,
    levels=ADVICE,
    source="defaults change between versions: docs/compatibility.md; CKV_K8S_14 and _43 of checkov",
    check=per_workload(_pinned),
)
SELECTS = Rule(
    id="WH-21",
    name="selector-present",
    title="The workload selects its pods",
    question="whether the workload selects its pods",
    why="The API server refuses the object, half-way through a deployment.",
    remediation="Add spec.selector.matchLabels, equal to labels of the pod template.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="validation of apps/v1 by the API server",
    check=per_workload(_selects),
)
RULES = (PINNED, SELECTS)
