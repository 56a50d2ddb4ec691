"""The rules: what a Kubernetes workload must satisfy to serve its model. Pure functions over manifests.Workload."""

from __future__ import annotations

from modelberth.findings import Finding
from modelberth.manifests import Workload
from modelberth.rules import hygiene, record, sizing
from modelberth.rules.base import Enforcement, Rule, Severity, internal_error

EVALUATED = sizing.EVALUATED
"""The rule that speaks when others cannot."""

ALL: tuple[Rule, ...] = (*sizing.RULES, *record.RULES, *hygiene.RULES)
"""Every rule: sizing, our own record, hygiene."""


def judge(workload: Workload) -> list[tuple[Rule, Finding]]:
    """What all rules say about one workload, in the order of :data:`ALL`."""
    return [(rule, finding) for rule in ALL for finding in rule.findings(workload)]


__all__ = ["ALL", "EVALUATED", "Enforcement", "Rule", "Severity", "internal_error", "judge"]
