"""What plans need of a cluster that exists: APIs of add-ons, objects by name, and leave to create ours.

Who installs an add-on is a row of catalog/addons.yaml. A plan that needs another one says so in ``ASKED``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelberth.catalog.loader import index, read_rows
from modelberth.catalog.schema import Row
from modelberth.doors import GATEWAY_API, INFERENCE_API, controllers
from modelberth.names import Affinity, DoorKind, Scaler
from modelberth.plan import Plan
from modelberth.spec import StackSpec, WeightsKind

TLS_KEYS = ("tls.crt", "tls.key")


def _scaled_by(plan: Plan, scaler: Scaler) -> bool:
    return plan.scaling is not None and plan.scaling.scaler is scaler


ASKED: Mapping[str, Callable[[Plan], str]] = {
    "lws": lambda plan: f"services.{plan.service}.pipeline_parallel" if plan.decision.pipeline_parallel > 1 else "",
    "keda": lambda plan: f"services.{plan.service}.autoscaling" if _scaled_by(plan, Scaler.KEDA) else "",
    "custom-metrics": lambda plan: f"services.{plan.service}.autoscaling" if _scaled_by(plan, Scaler.HPA) else "",
    "prometheus-operator": lambda plan: "defaults.monitoring.operator" if plan.monitored else "",
}
"""Add-on -> the field of the stack that asks for it; empty where the plan does without."""


class AddOn(Row):
    """An API that somebody installs, and the kinds of it that a plan creates; none where it only asks the API."""

    id: str
    name: str
    api: str
    kinds: tuple[str, ...] = ()
    installed_by: str


@cache
def add_ons() -> Mapping[str, AddOn]:
    """Every add-on that a plan may need."""
    return index(read_rows(files("modelberth.catalog") / "addons.yaml", AddOn), lambda row: row.id)


@dataclass(frozen=True)
class Need:
    """A kind that must be served, who needs it, and who installs it. An empty kind stands for the API as a whole.

    ``created`` is whether the stack creates objects of it.
    """

    api: str
    kind: str
    path: str
    name: str
    installed_by: str
    created: bool = True


@dataclass(frozen=True)
class Ref:
    """One object by name; ``namespace`` is empty for an object of the whole cluster."""

    api: str
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" in namespace {self.namespace}" if self.namespace else "")


@dataclass(frozen=True)
class Named:
    """An object that the spec names. ``keys`` are keys that a Secret must have, ``listener`` one of a Gateway.

    ``vital`` is false for what may still appear.
    """

    ref: Ref
    path: str
    way_out: str
    keys: tuple[str, ...] = ()
    listener: str = ""
    vital: bool = True


def needs(plans: Sequence[Plan]) -> tuple[Need, ...]:
    """Every API that is not part of Kubernetes itself, once per kind."""
    found: dict[tuple[str, str], Need] = {}
    for plan in plans:
        for need in _needs(plan):
            found.setdefault((need.api, need.kind), need)
    return tuple(found.values())


def _needs(plan: Plan) -> Iterator[Need]:
    path = f"services.{plan.service}"
    for name, asks in ASKED.items():
        if field := asks(plan):
            row = add_ons()[name]
            for kind in row.kinds or ("",):
                yield Need(row.api, kind, field, row.name, row.installed_by, created=bool(kind))
    if plan.door is None or plan.spec.expose is None:
        return
    facts = controllers()[plan.spec.expose.controller]
    by_api = {row.api: row for row in add_ons().values()}
    for each in plan.door.objects:
        if each.kind != "Ingress":
            row = by_api.get(each.api_version)
            name, installed_by = (row.name, row.installed_by) if row else (facts.name, facts.installed_by)
            yield Need(each.api_version, each.kind, f"{path}.expose", name, installed_by)
    if plan.spec.expose.affinity is Affinity.PREFIX:
        row = add_ons()["inference-extension"]
        yield Need(row.api, "InferencePool", f"{path}.expose.affinity", row.name, row.installed_by, created=False)


def named(stack: StackSpec, plans: Sequence[Plan]) -> tuple[Named, ...]:
    """Every object that the spec names and this stack does not create."""
    return tuple(
        each for plan in plans for each in (*_secrets(stack, plan), *_claims(stack, plan), *_way_in(stack, plan))
    )


def _secrets(stack: StackSpec, plan: Plan) -> Iterator[Named]:
    namespace, path = stack.target.namespace, f"services.{plan.service}"
    for field in ("token", "api_key"):
        given = getattr(plan.spec, field)
        if given:
            out = f"kubectl create secret generic {given.secret} --namespace {namespace} --from-file={given.key}=FILE"
            yield Named(Ref("v1", "Secret", given.secret, namespace), f"{path}.{field}", out, (given.key,))
    if plan.spec.expose and plan.spec.expose.tls_secret:
        name = plan.spec.expose.tls_secret
        out = f"kubectl create secret tls {name} --namespace {namespace} --cert=FILE --key=FILE"
        yield Named(Ref("v1", "Secret", name, namespace), f"{path}.expose.tls_secret", out, TLS_KEYS, vital=False)


def _claims(stack: StackSpec, plan: Plan) -> Iterator[Named]:
    store = stack.weights_of(plan.spec)
    if store.kind is WeightsKind.EXISTING_CLAIM and store.claim:
        ref = Ref("v1", "PersistentVolumeClaim", store.claim, stack.target.namespace)
        yield Named(ref, f"weights.{plan.spec.weights}.claim", "the name of a claim that holds the weights")


def _way_in(stack: StackSpec, plan: Plan) -> Iterator[Named]:
    asked, path = plan.spec.expose, f"services.{plan.service}.expose"
    if asked is None:
        return
    facts = controllers()[asked.controller]
    if asked.class_name:
        gateway = asked.kind is DoorKind.GATEWAY
        api, kind = (f"{GATEWAY_API}/v1", "GatewayClass") if gateway else ("networking.k8s.io/v1", "IngressClass")
        yield Named(Ref(api, kind, asked.class_name), f"{path}.class_name", f"{facts.name}: {facts.installed_by}")
    if asked.gateway:
        namespace = asked.gateway.namespace or stack.target.namespace
        ref = Ref(f"{GATEWAY_API}/v1", "Gateway", asked.gateway.name, namespace)
        out = "the name of a Gateway with an HTTPS listener; whoever runs it lets routes of our namespace in"
        yield Named(ref, f"{path}.gateway", out, listener=asked.gateway.listener)
    if asked.proxy_namespace:
        out = f"the namespace that the proxies of {facts.name} run in"
        yield Named(Ref("v1", "Namespace", asked.proxy_namespace), f"{path}.proxy_namespace", out, vital=False)
    if asked.affinity is Affinity.PREFIX and asked.inference_pool:
        ref = Ref(f"{INFERENCE_API}/v1", "InferencePool", asked.inference_pool, stack.target.namespace)
        yield Named(
            ref, f"{path}.inference_pool", "an InferencePool with its endpoint picker, installed by you", vital=False
        )


def created(plans: Sequence[Plan]) -> tuple[tuple[str, str], ...]:
    """(API, kind) of every namespaced object that a stack of these plans creates."""
    found = {
        ("v1", "ServiceAccount"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
    }
    for plan in plans:
        if plan.launch.files:
            found.add(("v1", "ConfigMap"))
        if plan.decision.storage.kind == "claim":
            found |= {("v1", "PersistentVolumeClaim"), ("batch/v1", "Job")}
        if plan.monitored:
            found.add(("v1", "ConfigMap"))
        if _scaled_by(plan, Scaler.HPA):
            found.add(("autoscaling/v2", "HorizontalPodAutoscaler"))
        found |= {(each.api_version, each.kind) for each in (plan.door.objects if plan.door else ())}
    found |= {(need.api, need.kind) for need in needs(plans) if need.created}
    return tuple(sorted(found))
