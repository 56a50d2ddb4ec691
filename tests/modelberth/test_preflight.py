"""What a cluster lacks for a stack, judged from what was seen of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from modelberth import parse
from modelberth.findings import Finding, Level
from modelberth.lock import settle
from modelberth.plan import Plan
from modelberth.preflight import Node, Seen, Snapshot, Space, StorageClass, judge, questions
from modelberth.requirements import ASKED, Ref, add_ons, needs
from modelberth.spec import StackSpec
from tests.modelberth.samples import CPU_POOL, L4_POOL, QWEN_7B, document, stack_document

TARGET = {"kind": "existing", "namespace": "models", "node_labels": "gcp"}
L4 = {"node.kubernetes.io/instance-type": "g2-standard-8", "cloud.google.com/gke-accelerator": "nvidia-l4"}
NODES = (Node("l4-0", L4, 1), Node("l4-1", L4, 1))
KEY = {"secret": "api", "key": "key"}
HUB = {"hub": {"kind": "hub"}}
WATCHED = {"monitoring": {"prometheus": "http://p:9090"}}
DOOR: dict[str, Any] = {
    "kind": "gateway",
    "controller": "other",
    "ranges_enforced_by": "a firewall",
    "host": "chat.example.com",
    "source_ranges": ["203.0.113.0/24"],
    "proxy_namespace": "edge",
}
SERVED = frozenset(
    {
        ("v1", "Secret"),
        ("v1", "Namespace"),
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "IngressClass"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("gateway.networking.k8s.io/v1", "GatewayClass"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    }
)
GOOD = Snapshot(
    server="https://cluster",
    minor=34,
    served=SERVED,
    nodes=NODES,
    storage_classes=(StorageClass("standard", "pd.csi.storage.gke.io", default=True),),
    space=None,
    objects={Ref("v1", "Namespace", "edge"): Seen()},
)


def stack_of(service: dict[str, Any] | None = None, **keys: Any) -> StackSpec:
    pools = {"l4": L4_POOL, "cpu": CPU_POOL}
    content = document(pool="l4", concurrency=3) | (service or {})
    return parse.stack(stack_document({"chat": content}, **({"target": TARGET, "pools": pools} | keys)))


def plans_of(stack: StackSpec) -> tuple[Plan, ...]:
    return settle(stack, {}).plans


def judged(stack: StackSpec, seen: Snapshot) -> list[Finding]:
    return judge(stack, plans_of(stack), seen)


def only(stack: StackSpec, seen: Snapshot) -> Finding:
    (finding,) = judged(stack, seen)
    return finding


def test_a_cluster_with_everything_lacks_nothing() -> None:
    assert judged(stack_of(), GOOD) == []


@pytest.mark.parametrize(("minor", "level"), [(29, Level.ERROR), (37, Level.WARNING)])
def test_minors_beyond_the_checked_ones_are_said(minor: int, level: Level) -> None:
    finding = only(stack_of(), replace(GOOD, minor=minor))
    assert (finding.path, finding.level) == ("target", level)
    assert f"1.{minor}" in finding.message


@pytest.mark.parametrize("minor", [30, 36])
def test_the_oldest_and_the_newest_minor_are_fine(minor: int) -> None:
    assert judged(stack_of(), replace(GOOD, minor=minor)) == []


def test_too_few_gpus_are_counted_against_those_that_are_allocatable() -> None:
    finding = only(stack_of({"replicas": 2, "weights": "hub"}, weights=HUB), replace(GOOD, nodes=NODES[:1]))
    assert (finding.path, finding.level) == ("pools.l4", Level.ERROR)
    assert finding.message.startswith("services need 2 GPUs, 1 node with ")
    assert finding.message.endswith("offer 1")


def test_where_something_adds_nodes_too_few_are_a_warning() -> None:
    finding = only(stack_of(), replace(GOOD, nodes=(), autoscaled=True))
    assert finding.level is Level.WARNING
    assert "autoscaler must add them" in finding.remedy


def test_gpu_nodes_without_gpus_lack_the_device_plugin_and_it_is_said_who_installs_it() -> None:
    finding = only(stack_of(), replace(GOOD, nodes=(Node("l4-0", L4, 0),)))
    assert "none offers nvidia.com/gpu: no device plugin" in finding.message
    assert "installed by you" in finding.remedy
    assert "nvidia-device-plugin" in finding.remedy


def test_labels_that_no_node_has_are_named() -> None:
    finding = only(stack_of(), replace(GOOD, nodes=(Node("a", {"pool": "a"}, 8),)))
    assert "no node that takes pods has cloud.google.com/gke-accelerator=nvidia-l4" in finding.message


def test_stated_labels_of_a_pool_replace_the_implied_ones() -> None:
    pools = {"l4": L4_POOL | {"node_selector": {"pool": "a"}}}
    assert judged(stack_of(pools=pools), replace(GOOD, nodes=(Node("a", {"pool": "a"}, 8),))) == []


def test_services_of_one_pool_are_counted_together() -> None:
    services = {name: document(pool="l4", concurrency=3) for name in ("a", "b")}
    stack = parse.stack(stack_document(services, target=TARGET, pools={"l4": L4_POOL}))
    assert "need 2 GPUs" in only(stack, replace(GOOD, nodes=NODES[:1])).message


def test_cpu_services_are_counted_in_nodes() -> None:
    cpu = {"model": QWEN_7B, "context": 4096, "pool": "cpu"}
    assert only(stack_of(cpu), GOOD).path == "pools.cpu"
    node = Node("c3-0", {"node.kubernetes.io/instance-type": "c3-standard-8"}, 0)
    assert judged(stack_of(cpu), replace(GOOD, nodes=(node,))) == []


def test_nodes_that_may_not_be_listed_are_a_warning_and_not_silence() -> None:
    finding = only(stack_of(), replace(GOOD, nodes=None))
    assert (finding.level, finding.path) == (Level.WARNING, "pools")


def test_a_claim_needs_its_class_or_a_default_one() -> None:
    none = replace(GOOD, storage_classes=(StorageClass("fast", "x", default=False),))
    assert only(stack_of(), none).message == "the cluster has no default storage class"
    named = only(stack_of(target=TARGET | {"storage_class": "slow"}), none)
    assert (named.path, named.message) == ("target.storage_class", "there is no storage class slow")
    assert named.remedy == "one of: fast"


def test_a_class_of_a_store_is_reported_at_the_store() -> None:
    store = {"w": {"kind": "claim", "size_gib": 100, "storage_class": "slow"}}
    assert only(stack_of({"weights": "w"}, weights=store), GOOD).path == "weights.w.storage_class"


def test_disks_of_one_node_are_no_volume_for_many() -> None:
    store = {"w": {"kind": "claim", "size_gib": 100, "access_mode": "ReadWriteMany"}}
    finding = only(stack_of({"weights": "w", "replicas": 2}, weights=store), GOOD)
    assert finding.path == "weights.w.access_mode"
    assert "Compute Engine persistent disks" in finding.message
    assert "filestore" in finding.remedy


def test_weights_of_the_hub_need_no_storage_class() -> None:
    assert judged(stack_of({"weights": "hub"}, weights=HUB), replace(GOOD, storage_classes=())) == []


def test_a_namespace_that_runs_other_things_is_not_taken_over() -> None:
    finding = only(stack_of(), replace(GOOD, space=Space(False, "", ("deployment shop",))))
    assert (finding.path, finding.level) == ("target.namespace", Level.ERROR)
    assert "deployment shop" in finding.message


def test_an_empty_namespace_is_taken_over_and_that_is_said_with_its_security_level() -> None:
    finding = only(stack_of(), replace(GOOD, space=Space(False, "baseline")))
    assert finding.level is Level.WARNING
    assert "becomes restricted (now baseline)" in finding.message
    assert "becomes" not in only(stack_of(), replace(GOOD, space=Space(False, "restricted"))).message
    assert judged(stack_of(), replace(GOOD, space=Space(True, "restricted"))) == []


def test_what_the_credentials_may_not_do_is_one_finding() -> None:
    refused = (("create", "Deployment"), ("patch", "Deployment"), ("create", "Service"))
    finding = only(stack_of(), replace(GOOD, refused=refused))
    assert finding.message == "these credentials may not: create and patch Deployment, create Service"


SECRET = Ref("v1", "Secret", "api", "models")


def test_a_secret_that_is_not_there_comes_with_the_commands_in_their_order() -> None:
    finding = only(stack_of({"api_key": KEY}), GOOD)
    assert finding.path == "services.chat.api_key"
    assert finding.message == "Secret api in namespace models does not exist"
    commands = "kubectl create secret generic api --namespace models --from-file=key=FILE"
    assert finding.remedy == f"kubectl create namespace models first; {commands}"


def test_a_secret_without_the_key_is_a_finding() -> None:
    seen = replace(GOOD, objects={SECRET: Seen(keys=frozenset({"token"}))})
    assert only(stack_of({"api_key": KEY}), seen).message == "Secret api in namespace models has no key key"
    held = replace(GOOD, objects={SECRET: Seen(keys=frozenset({"key"}))})
    assert judged(stack_of({"api_key": KEY}), held) == []


def test_a_secret_that_may_not_be_read_is_a_warning() -> None:
    finding = only(stack_of({"api_key": KEY}), replace(GOOD, unseen=frozenset({SECRET})))
    assert (finding.level, "may not be read" in finding.message) == (Level.WARNING, True)


def exposed(**changes: Any) -> StackSpec:
    return stack_of({"api_key": KEY, "expose": DOOR | changes})


def with_objects(*, key: bool = True, **listener: str) -> Snapshot:
    gateway = Ref("gateway.networking.k8s.io/v1", "Gateway", "shared", "edge")
    found = {"name": "https", "protocol": "HTTPS", "host": ""} | listener
    listeners = ((found["name"], found["protocol"], found["host"]),)
    objects: dict[Ref, Seen | None] = {**GOOD.objects, gateway: Seen(listeners=listeners)}
    return replace(GOOD, objects=objects | ({SECRET: Seen(keys=frozenset({"key"}))} if key else {}))


ATTACHED = {"gateway": {"name": "shared", "namespace": "edge", "listener": "https"}}


@pytest.mark.parametrize("host", ["", "chat.example.com", "*.example.com"])
def test_a_listener_that_ends_tls_for_the_host_is_fine(host: str) -> None:
    assert judged(exposed(**ATTACHED), with_objects(host=host)) == []


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        ({"name": "web"}, "has no listener https"),
        ({"protocol": "HTTP"}, "an API key would cross it in the clear"),
        ({"host": "*.example.org"}, "answers *.example.org, not chat.example.com"),
    ],
)
def test_a_listener_that_would_not_do_is_told_apart(listener: dict[str, str], message: str) -> None:
    finding = only(exposed(**ATTACHED), with_objects(**listener))
    assert finding.path == "services.chat.expose.gateway.listener"
    assert message in finding.message


def test_an_api_that_nobody_installed_is_one_finding_with_its_kinds_and_who_installs_it() -> None:
    bare = replace(with_objects(), served=frozenset({("v1", "Secret"), ("v1", "Namespace")}))
    stack = exposed(class_name="own", tls_secret="tls")
    (finding,) = [each for each in judged(stack, bare) if each.level is Level.ERROR]
    assert "no Gateway and no HTTPRoute (gateway.networking.k8s.io/v1)" in finding.message
    assert "installed by you, not by this stack" in finding.message
    assert "v1.4.0" in finding.remedy


def errors_of(stack: StackSpec, seen: Snapshot) -> Iterator[str]:
    return (each.path for each in judged(stack, seen) if each.level is Level.ERROR)


def test_a_class_that_nobody_installed_stops_and_a_certificate_that_may_still_be_issued_does_not() -> None:
    stack = exposed(class_name="own", tls_secret="tls")
    assert list(errors_of(stack, with_objects())) == ["services.chat.expose.class_name"]
    assert [each.path for each in judged(stack, with_objects()) if each.level is Level.WARNING] == [
        "services.chat.expose.tls_secret"
    ]


def test_everything_that_is_missing_is_said_at_once() -> None:
    bare = replace(GOOD, minor=29, nodes=(), storage_classes=(), objects={}, served=frozenset({("v1", "Secret")}))
    found = {each.path for each in judged(exposed(class_name="own", tls_secret="tls"), bare)}
    assert {"target", "pools.l4", "target.storage_class", "services.chat.api_key", "services.chat.expose"} <= found


def test_a_plan_over_nodes_needs_leader_worker_sets() -> None:
    stack = stack_of()
    (plan,) = plans_of(stack)
    assert needs([plan]) == ()
    split = replace(plan, decision=plan.decision.model_copy(update={"pipeline_parallel": 2}))
    (need,) = needs([split])
    assert (need.kind, need.path) == ("LeaderWorkerSet", "services.chat.pipeline_parallel")
    assert need.installed_by.startswith("helm install lws ")


def test_what_scales_and_what_watches_is_asked_for_where_it_is_used() -> None:
    watched = {"monitoring": {"prometheus": "http://p:9090", "operator": True}}
    stack = stack_of({"weights": "hub", "autoscaling": {"min": 1, "max": 2}}, defaults=watched, weights=HUB)
    asked = {need.kind: need.path for need in needs(plans_of(stack))}
    assert asked == {
        "ScaledObject": "services.chat.autoscaling",
        "PodMonitor": "defaults.monitoring.operator",
        "PrometheusRule": "defaults.monitoring.operator",
    }


def test_the_kinds_that_scale_and_watch_are_among_those_to_be_created() -> None:
    watched = {"monitoring": {"prometheus": "http://p:9090", "operator": True}}
    stack = stack_of({"weights": "hub", "autoscaling": {"min": 1, "max": 2}}, defaults=watched, weights=HUB)
    ours = questions(stack, plans_of(stack)).created
    assert {("keda.sh/v1alpha1", "ScaledObject"), ("monitoring.coreos.com/v1", "PodMonitor")} <= set(ours)
    assert ("v1", "ConfigMap") in ours


def test_a_horizontal_autoscaler_needs_an_adapter_that_answers() -> None:
    scaled = {"min": 1, "max": 2, "scaler": "hpa"}
    stack = stack_of({"weights": "hub", "autoscaling": scaled}, defaults=WATCHED, weights=HUB)
    finding = only(stack, GOOD)
    assert finding.message.startswith("the cluster has no custom.metrics.k8s.io/v1beta1: ")
    assert judged(stack, replace(GOOD, served=SERVED | {("custom.metrics.k8s.io/v1beta1", "")})) == []


def test_only_the_replicas_that_always_run_must_have_a_place_already() -> None:
    scaled = {"min": 1, "max": 2, "scaler": "hpa"}
    stack = stack_of({"weights": "hub", "autoscaling": scaled}, defaults=WATCHED, weights=HUB)
    served = SERVED | {("custom.metrics.k8s.io/v1beta1", "")}
    assert judged(stack, replace(GOOD, served=served, nodes=NODES[:1])) == []


def test_a_service_that_may_scale_to_nothing_still_needs_a_device_plugin() -> None:
    sleeping = {"min": 0, "max": 2, "wake": {"query": "sum(requests_at_the_door)"}}
    stack = stack_of({"weights": "hub", "autoscaling": sleeping}, defaults=WATCHED, weights=HUB)
    served = SERVED | {("keda.sh/v1alpha1", "ScaledObject")}
    bare = tuple(replace(node, gpus=0) for node in NODES)
    assert "no device plugin" in only(stack, replace(GOOD, served=served, nodes=bare)).message
    assert judged(stack, replace(GOOD, served=served)) == []


def test_every_add_on_that_a_plan_asks_for_is_a_row() -> None:
    assert set(ASKED) <= set(add_ons())


def test_only_what_the_spec_names_is_looked_at() -> None:
    stack = exposed(**ATTACHED)
    asked = questions(stack, plans_of(stack))
    assert {ref.kind for ref in asked.refs} == {"Secret", "Gateway", "Namespace"}
    assert ("batch/v1", "Job") in asked.created
    assert "gateway.networking.k8s.io/v1" in asked.apis
