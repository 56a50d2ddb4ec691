"""Load balancers that a stack makes itself: what the internet may send, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelberth.clouds import balancers
from modelberth.findings import Finding
from modelberth.inventory import Inventory
from modelberth.resources import Resource
from modelberth.rules.base import IN_PROD, Rule, Settings, Severity
from modelberth.rules.facts import told
from modelberth.rules.validity import beside_what_clouds_take


def _guarded(resource: Resource, settings: Settings) -> Iterable[Finding]:
    return told("CS-18", balancers.guarded(resource.type, resource.node))


def _together(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    for resource, fact in balancers.together(inventory.resources):
        yield from ((resource, finding) for finding in told("CS-18", [fact]))


GUARDED = Rule(
    id="CS-18",
    name="public-door-guarded",
    title="A public load balancer encrypts, logs and filters",
    question="whether a public load balancer encrypts, logs and filters",
    why="An open door to a model is found within days, and every answer is paid for.",
    remediation="TLS 1.2 or newer, access logs, a firewall for requests, and protection from deletion.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    source="CKV_AWS_2, _91, _103 and _150, CKV2_AWS_28, and CKV_GCP_4 of checkov; elb-* of AWSGuard",
    check=beside_what_clouds_take("CS-18", _guarded),
    across=_together,
)
RULES = (GUARDED,)
