"""What pods that serve may do in the cloud: read one bucket, and no more."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.clouds import identities
from modelberth.clouds.facts import both, either
from modelberth.clouds.grants import ANY, LATER, Breadth, Grant, Who
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, advice, undecided
from modelberth.rules.validity import beside_what_clouds_take

_QUESTION = "whether the identity of pods only reads"
_OWNS = Breadth.OWNS
_DONE = {
    Breadth.OWNS: "may delete the bucket and let others in",
    Breadth.WRITES: "may replace weights, which run as they are read",
}


def _alone(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for grant in identities.granted(resource.type, resource.node):
        yield from _of(grant)


def _together(inventory: Inventory, settings: Settings) -> Iterator[tuple[Resource, Finding]]:
    """What only several resources show: policies of roles, and who writes though it serves."""
    serving = _Serving(inventory)
    for resource, grant in identities.granted_together(inventory.resources):
        yield from ((resource, finding) for finding in _of(grant))
        yield from ((resource, finding) for finding in _writes(grant, serving))
    for resource in inventory.resources:
        for grant in identities.granted(resource.type, resource.node):
            yield from ((resource, finding) for finding in _writes(grant, serving))


def _of(grant: Grant) -> Iterator[Finding]:
    """What is too much for any pod, whatever it does. An account that is granted everything may be a person's tool."""
    if grant.who is Who.PERSON:
        return
    if grant.breadth is Breadth.UNKNOWN or (grant.who is Who.UNKNOWN and (grant.breadth is _OWNS or grant.primitive)):
        finding = undecided("CS-09", _QUESTION, grant.node)
        yield advice(finding) if grant.document or grant.primitive else finding
        return
    pods = grant.who is Who.PODS
    if grant.breadth is _OWNS or grant.primitive:
        done = _DONE.get(grant.breadth, "reads everything there is")
        whose = "an identity of pods" if pods else "an account of a program"
        level = Level.ERROR if pods or not grant.wide else Level.WARNING
        yield Finding("CS-09", grant.node.path, f"{whose} {done}", grant.remedy, level)
    elif pods and grant.wide and grant.breadth is Breadth.READS:
        message = "an identity of pods reads every bucket there is"
        yield Finding("CS-09", grant.node.path, message, grant.remedy, Level.WARNING)


def _writes(grant: Grant, serving: _Serving) -> Iterator[Finding]:
    """A download writes, and rightly so; a server does not. Names of accounts are often computed: that only advises."""
    if grant.breadth is not Breadth.WRITES or grant.primitive or grant.who is Who.PERSON:
        return
    answer = serving.has(grant)
    if answer is None:
        yield advice(undecided("CS-09", _QUESTION, grant.node))
    elif answer:
        message = f"the identity of pods that serve {_DONE[Breadth.WRITES]}"
        remedy = f"{grant.remedy}; an identity of its own for what downloads"
        yield Finding("CS-09", grant.node.path, message, remedy)


class _Serving:
    """The accounts of the pods that serve: of Kubernetes, and of the cloud where those act as one."""

    def __init__(self, inventory: Inventory) -> None:
        pods = [pod for pod in inventory.pods if pod.serves]
        self._own = {
            (_name(pod.resource.namespace, ""), _name(pod.spec["serviceAccountName"], "default")) for pod in pods
        }
        self._cloud: dict[str, bool | None] = {}
        for each in inventory.of_kind("ServiceAccount"):
            used = self._matches((_name(each.namespace, ""), _name(each.object_name, "")))
            if used is not False and (named := identities.account(each.node)):
                self._cloud[named] = used

    def has(self, grant: Grant) -> bool | None:
        """Whether a grant is for one of them; None where a name is only known after apply."""
        if grant.who is Who.UNKNOWN:
            return None if self._own else False
        acting = self._cloud.get(grant.account, False) if grant.account else False
        some_account = None if LATER in self._cloud and grant.who is Who.SERVICE else False
        return either(acting, some_account, *(self._matches(each) for each in grant.accounts))

    def _matches(self, account: tuple[str, str]) -> bool | None:
        return either(*(both(_same(account[0], space), _same(account[1], name)) for space, name in self._own))


def _name(stated: Node, unasked: str) -> str:
    return LATER if stated.unknown else stated.text() or unasked


def _same(one: str, other: str) -> bool | None:
    """What states no namespace may be in any."""
    if one == other or ANY in (one, other) or "" in (one, other):
        return True
    return None if LATER in (one, other) else False


READS_ONLY = Rule(
    id="CS-09",
    name="serving-reads-only",
    title="Pods that serve only read, and only one bucket",
    question=_QUESTION,
    why="Whoever breaks into a server has its rights: with more than reading, the next model served is theirs.",
    remediation="Grant pods the reading of one bucket or folder, and what downloads an identity of its own.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="least privilege; CKV_AWS_274, CKV_GCP_41, _42, _46, _49 and _117 of checkov",
    check=beside_what_clouds_take("CS-09", _alone),
    across=_together,
)
RULES = (READS_ONLY,)
