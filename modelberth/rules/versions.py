"""API versions that the cluster no longer serves."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog.advisories import ApiVersion, api_versions
from modelberth.findings import Finding, Level
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold

_PATH = "apiVersion"


def _served(resource: Resource, settings: Settings) -> Iterator[Finding]:
    minor = int(settings["kubernetes_minor"])
    for row in api_versions():
        if row.api_version == resource.api_version and resource.kind in row.kinds and row.deprecated_in <= minor:
            yield _finding(resource.kind, row, minor)


def _finding(kind: str, row: ApiVersion, minor: int) -> Finding:
    remedy = f"apiVersion: {row.instead}" if row.instead else f"leave the {kind} out"
    if row.removed_in is not None and row.removed_in <= minor:
        message = f"Kubernetes serves no {kind} of {row.api_version} since 1.{row.removed_in}; the target is 1.{minor}"
        return Finding("WH-19", _PATH, message, remedy)
    until = f" and gone from 1.{row.removed_in} on" if row.removed_in else ""
    message = f"{kind} of {row.api_version} is deprecated since 1.{row.deprecated_in}{until}; the target is 1.{minor}"
    return Finding("WH-19", _PATH, message, remedy, Level.WARNING)


RULES = (
    Rule(
        id="WH-19",
        name="api-versions",
        title="The cluster serves the API versions that are used",
        question="whether the cluster serves this API version",
        why="The API server does not know the kind any more and refuses the object, half-way through a deployment.",
        remediation="Use the API version that took its place; fields may have moved.",
        severity=Severity.HIGH,
        levels=ALWAYS,
        source="Kubernetes, Deprecated API Migration Guide: modelberth/catalog/api_versions.yaml; no-extensions-v1beta",
        check=_served,
        thresholds=(
            Threshold("kubernetes_minor", 34, "Minor of Kubernetes 1 that the objects are for.", least=16, most=99),
        ),
    ),
)
