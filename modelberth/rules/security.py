"""Security contexts: what containers may do, and what the cluster lets them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from modelberth.catalog import Engine, catalog
from modelberth.engines.base import image_parts
from modelberth.findings import Finding, Level
from modelberth.inventory import Inventory
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, Threshold, good_practice, undecided
from modelberth.rules.standards import ENFORCE, Breach, applies, container_breaches, effective, host_breaches

_ID = "WH-03"
_LEAST_USER = Threshold(
    "least_user", 10001, "The smallest user id that no person and no service of a node is taken to have.", 1
)
"""kube-score asks for more than 10000, CKV_K8S_40 of checkov for 10000 or more; no API server asks for either."""
_GROUPED = "whether containers have no more rights than they need"


def _check(resource: Resource, settings: Settings) -> Iterator[Finding]:
    level = good_practice(resource, settings)
    for pod in resource.pods:
        if not applies(pod):
            continue
        for container in pod.all_containers:
            yield from _never_starts(pod, container)
            if pod.serves or resource.ours:
                yield from _may_never_start(pod, container)
                yield from _too_many_rights(pod, container, level, settings[_LEAST_USER.name])


def _never_starts(pod: Pod, container: Node) -> Iterator[Finding]:
    """Contradictions: pkg/apis/core/validation, ValidateSecurityContext; kubelet, verifyRunAsNonRoot."""
    context = container["securityContext"]
    if context["allowPrivilegeEscalation"].flag() is False:
        remedy = "privileged: false, and no CAP_SYS_ADMIN; or leave allowPrivilegeEscalation out"
        refused = "the API server refuses it"
        if context["privileged"].flag():
            message = f"privileged and allowPrivilegeEscalation: false contradict each other: {refused}"
            yield Finding(_ID, context["privileged"].path, message, remedy)
        for added in context.at("capabilities", "add").elements():
            if added.text() == "CAP_SYS_ADMIN":
                message = f"CAP_SYS_ADMIN and allowPrivilegeEscalation: false contradict each other: {refused}"
                yield Finding(_ID, added.path, message, remedy)
    non_root, user = effective(pod, container, "runAsNonRoot"), effective(pod, container, "runAsUser")
    stock = _stock_image(container)
    if non_root.flag() and user.whole() == 0:
        message = "the user is root, and runAsNonRoot forbids it: the kubelet does not start the container"
        yield Finding(_ID, user.path, message, "runAsUser: 20000")
    elif non_root.flag() and not user.stated and stock:
        message = f"the image of {stock.name} runs as root, and runAsNonRoot forbids it: the kubelet does not start it"
        message += " where no user is filled in, as OpenShift does"
        remedy = f"image: {stock.own_image}, and runAsUser: 20000" if stock.root_only else "runAsUser: 20000"
        yield Finding(_ID, non_root.path, message, remedy, Level.WARNING)
    elif stock and stock.root_only and user.whole():
        message = f"the image of {stock.name} does not start without root rights: {stock.root_only}"
        yield Finding(_ID, user.path, message, f"image: {stock.own_image}")


def _may_never_start(pod: Pod, container: Node) -> Iterator[Finding]:
    """Values that are not known yet and may contradict what is."""
    context = container["securityContext"]
    if context.unknown and not container.unknown:
        yield undecided(_ID, _GROUPED, context)
        return
    escalation = context["allowPrivilegeEscalation"]
    if escalation.unknown and not container.unknown and context["privileged"].flag():
        yield undecided(_ID, _GROUPED, escalation)
    if escalation.flag() is False:
        rights = [context["privileged"], *context.at("capabilities", "add").elements()]
        yield from (undecided(_ID, _GROUPED, each) for each in rights if each.unknown)
    non_root, user = effective(pod, container, "runAsNonRoot"), effective(pod, container, "runAsUser")
    if user.unknown and (non_root.flag() or non_root == user):
        yield undecided(_ID, _GROUPED, user)


def _stock_image(container: Node) -> Engine | None:
    """The engine whose own image a container runs."""
    return _homes().get(image_parts(container["image"].text())[0])


@cache
def _homes() -> dict[str, Engine]:
    return {image_parts(template)[0]: engine for engine in catalog().engines() for template in engine.images.values()}


def _too_many_rights(pod: Pod, container: Node, level: Level, least_user: int) -> Iterator[Finding]:
    found = list(container_breaches(pod, container))
    user = effective(pod, container, "runAsUser")
    number = user.whole()
    if not any(breach.field == user for breach in found) and (number is None or number < least_user):
        what = "no user is stated" if number is None else f"user {number} is below {least_user:g}"
        found.append(Breach(container, user, what, "runAsUser: 20000", unknown=user.unknown))
    if level is Level.ERROR:
        unknown = {breach.field.path: breach.field for breach in found if breach.unknown}
        yield from (undecided(_ID, _GROUPED, each) for each in unknown.values())
    certain = [breach for breach in found if not breach.unknown]
    if certain:
        message = f"more rights than a server needs: {', '.join(dict.fromkeys(each.what for each in certain))}"
        remedy = "; ".join(dict.fromkeys(each.should_be for each in certain))
        stock = _stock_image(container)
        if stock and stock.root_only:
            remedy += f"; image: {stock.own_image}"
        path = certain[0].field.path if len(certain) == 1 else f"{container.path}.securityContext"
        yield Finding(_ID, path, message, remedy, level)


def _admitted(inventory: Inventory, _: Settings) -> Iterator[tuple[Resource, Finding]]:
    """Pods that their namespace, which is of the same stack, does not let in."""
    namespaces = [each for each in inventory.of_kind("Namespace") if each.object_name.text()]
    enforced = {each.object_name.text(): each.labels[ENFORCE].text() for each in namespaces}
    for pod in inventory.pods:
        standard = enforced.get(pod.resource.namespace.text(), "")
        if standard not in ("baseline", "restricted") or not applies(pod):
            continue
        for breach in _all_breaches(pod):
            if not (breach.baseline or standard == "restricted"):
                continue
            if breach.unknown:
                yield pod.resource, undecided(_ID, "whether the namespace lets its pods in", breach.field)
                continue
            message = f"its namespace enforces {standard}, and {breach.what}: its pods are refused"
            remedy = breach.should_be or "leave it out, or use a namespace of its own"
            yield pod.resource, Finding(_ID, breach.field.path, message, remedy)


def _all_breaches(pod: Pod) -> Iterator[Breach]:
    yield from host_breaches(pod)
    for container in pod.all_containers:
        yield from container_breaches(pod, container)


RESTRICTED = Rule(
    id=_ID,
    name="restricted-containers",
    title="Containers have no more rights than they need",
    question=_GROUPED,
    why="A server that reads weights and prompts of strangers is the first thing to be broken into; what it may do on "
    "its node is what the intruder may do. A namespace that enforces the standard refuses such pods.",
    remediation="runAsNonRoot, a user above 10000, no privilege escalation, no capabilities, seccomp RuntimeDefault.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="Pod Security Standards, restricted; CKV_K8S_16, _20, _23, _28, _29, _31, _37 and _40 of checkov",
    check=_check,
    across=_admitted,
    thresholds=(_LEAST_USER,),
)
RULES: tuple[Rule, ...] = (RESTRICTED,)
