"""What a rule is: what it asks, why, how strict it is, and the function that answers for one workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from modelberth.findings import Finding, Level
from modelberth.manifests import KINDS, Workload


class Enforcement(StrEnum):
    """What a finding does to a deployment: a mandatory one stops it, an advisory one is printed."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


class Severity(StrEnum):
    """How bad it is when nobody acts."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Rule:
    """One rule. ``question`` completes "cannot decide ..."; ``check`` returns the findings about one workload."""

    id: str
    name: str
    title: str
    question: str
    why: str
    remediation: str
    severity: Severity
    level: Enforcement
    check: Callable[[Workload], list[Finding]]
    kinds: tuple[str, ...] = KINDS

    def findings(self, workload: Workload) -> list[Finding]:
        """What this rule says; an exception inside it becomes one finding that stops, never a trace."""
        if workload.kind not in self.kinds:
            return []
        try:
            return self.check(workload)
        except Exception as error:
            return [internal_error(self.id, error, workload.path)]


def internal_error(rule_id: str, error: Exception, path: str) -> Finding:
    """The finding that stands for an unexpected exception. Its text holds no value of the manifest."""
    message = f"internal error in rule {rule_id} ({type(error).__name__})"
    return Finding(
        rule_id, path, message, "report this manifest; until then the rule can be disabled by name", Level.ERROR
    )
