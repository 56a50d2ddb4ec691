"""Firewalls of Google Cloud: gcp:compute/firewall:Firewall, as pulumi-gcp sends it."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds.facts import Fact, both, either, equals, flag, narrow, opposite
from modelberth.clouds.ports import SSH, contains
from modelberth.node import Node

_SOURCES = ("sourceRanges", "sourceTags", "sourceServiceAccounts")


def _firewall(rule: Node) -> Iterator[Fact]:
    ranges = rule["sourceRanges"]
    anyone = opposite(narrow(ranges))
    if not any(rule[each].stated for each in _SOURCES):
        anyone = True
    incoming = equals(rule["direction"], "INGRESS", default=True)
    off = flag(rule["disabled"], default=False)
    allows = either(*(_allows_ssh(each) for each in rule["allows"].each()))
    yield Fact(
        "nobody outside may try to log in",
        opposite(both(incoming, opposite(off), anyone, allows)),
        ranges,
        f"the firewall lets everyone reach port {SSH}",
        "sourceRanges: [35.235.240.0/20], which is Identity-Aware Proxy, or no such rule",
    )


def _allows_ssh(allowed: Node) -> bool | None:
    if allowed.unknown or allowed["protocol"].unknown or allowed["ports"].unknown:
        return None
    if allowed["protocol"].text().lower() not in ("tcp", "all", "6"):
        return False
    ports = list(allowed["ports"].elements())
    return True if not ports else either(*(contains(each, SSH) for each in ports))


HARDENED = {"gcp:compute/firewall:Firewall": _firewall}
