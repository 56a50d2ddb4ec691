"""Doors: what is refused before one is opened, what each controller is told, what replicas lose of a prefix cache."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth import parse
from modelberth.catalog import catalog
from modelberth.doors import Door, controllers
from modelberth.findings import Finding, Level
from modelberth.lock import settle
from modelberth.names import Controller
from modelberth.plan import Plan
from tests.modelberth.samples import by_path, document, plan_of, refusal, stack_document

DOOR: dict[str, Any] = {
    "kind": "gateway",
    "controller": "envoy-gateway",
    "class_name": "envoy",
    "host": "chat.example.com",
    "tls_secret": "chat-tls",
    "source_ranges": ["203.0.113.0/24"],
    "proxy_namespace": "envoy-gateway-system",
}
INGRESS = DOOR | {"kind": "ingress", "controller": "ingress-nginx", "class_name": "nginx"}
GKE = DOOR | {"controller": "gke-gateway", "ranges_enforced_by": "office", "proxy_namespace": None}
KEY = {"secret": "api", "key": "key"}
HUB = {"weights": {"hub": {"kind": "hub"}}}


def exposed(changes: dict[str, Any] | None = None, *, start: dict[str, Any] = DOOR, **fields: Any) -> Plan:
    """The plan of a service with a door; a change to None leaves a key out."""
    whole = start | (changes or {})
    expose = {key: value for key, value in whole.items() if value is not None}
    given = {"api_key": KEY, "weights": "hub"} | fields
    return plan_of(keys=HUB, expose=expose, **{key: value for key, value in given.items() if value is not None})


def opened(changes: dict[str, Any] | None = None, **more: Any) -> Door:
    door = exposed(changes, **more).door
    assert door
    return door


def shut(changes: dict[str, Any] | None = None, **more: Any) -> Finding:
    """The only reason why a door is refused."""
    (finding,) = refusal(lambda: exposed(changes, **more))
    assert finding.remedy or finding.message
    return finding


def specs(door: Door) -> dict[str, Any]:
    return {each.kind: each.spec for each in door.objects}


def test_nothing_is_public_that_nobody_exposed() -> None:
    assert plan_of().door is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        ("office", "must be a CIDR range"),
        ("203.0.113.0/33", "must be a CIDR range"),
        ("203.0.113.7/24", "203.0.113.0/24 is the range, 203.0.113.7/32 the one address"),
    ],
)
def test_a_source_range_is_a_range_and_not_everybody(value: str, message: str) -> None:
    finding = shut({"source_ranges": [value]})
    assert finding.path == "services.chat.expose.source_ranges[0]"
    assert message in finding.message


def test_two_halves_of_the_internet_are_everybody_too() -> None:
    finding = shut({"source_ranges": ["0.0.0.0/1", "128.0.0.0/1"]})
    assert finding.message == "together they are every address there is (0.0.0.0/0)"


def test_an_address_is_a_range_of_one() -> None:
    assert "203.0.113.7/32" in str(opened({"source_ranges": ["203.0.113.7"]}).objects)


@pytest.mark.parametrize(
    "host", ["https://a.b", "a.b:443", "*.example.com", "localhost", "10.0.0.1", "A.b", "a..b", ""]
)
def test_a_host_is_a_dns_name(host: str) -> None:
    finding = shut({"host": host})
    assert finding.path == "services.chat.expose.host"
    assert finding.message.startswith("must be a DNS name")


def test_ranges_and_a_certificate_are_no_option() -> None:
    assert shut({"source_ranges": None}).message == "is required"
    assert shut({"source_ranges": []}).message == "must not be empty"
    assert shut({"tls_secret": None}).path == "services.chat.expose.tls_secret"


def test_a_door_to_an_engine_with_api_keys_needs_one() -> None:
    finding = shut(api_key=None)
    assert finding.path == "services.chat.api_key"
    assert "whoever gets through the door uses the GPUs" in finding.message


def test_engines_without_api_keys_are_the_ones_whose_servers_have_no_option_for_it() -> None:
    assert [row.id for row in catalog().engines() if not row.has_api_key] == ["ollama", "tensorrt_llm"]


def test_all_that_a_door_lacks_is_said_at_once() -> None:
    found = refusal(lambda: exposed({"tls_secret": None, "class_name": None, "proxy_namespace": None}, api_key=None))
    assert set(by_path(found)) == {
        "services.chat.api_key",
        "services.chat.expose.tls_secret",
        "services.chat.expose.class_name",
        "services.chat.expose.proxy_namespace",
    }


@pytest.mark.parametrize("kind", ["gateway", "ingress"])
def test_a_controller_that_cannot_be_told_the_ranges_needs_someone_who_holds_them(kind: str) -> None:
    finding = shut({"kind": kind, "controller": "other"})
    assert finding.path == "services.chat.expose.ranges_enforced_by"
    stated = opened({"kind": kind, "controller": "other", "ranges_enforced_by": "the VPN's firewall"})
    assert "held by the VPN's firewall" in stated.why


def test_ranges_that_are_rendered_are_not_somebody_elses_duty() -> None:
    assert shut({"ranges_enforced_by": "the VPN"}).message == "Envoy Gateway is told the ranges by what is rendered"


def test_a_gke_gateway_needs_the_name_of_its_security_policy() -> None:
    assert shut({"ranges_enforced_by": None}, start=GKE).path == "services.chat.expose.ranges_enforced_by"
    assert shut({"ranges_enforced_by": "The Office"}, start=GKE).path == "services.chat.expose.ranges_enforced_by"
    policy = specs(opened(start=GKE))["GCPBackendPolicy"]
    assert policy["default"] == {"timeoutSec": 600, "securityPolicy": "office"}
    assert policy["targetRef"] == {"group": "", "kind": "Service", "name": "chat"}


def test_the_load_balancer_of_a_gke_gateway_asks_where_the_kubelet_asks() -> None:
    plan = exposed(start=GKE)
    assert plan.door
    check = specs(plan.door)["HealthCheckPolicy"]["default"]["config"]["httpHealthCheck"]
    assert check == {"requestPath": plan.launch.probes.readiness.path}


@pytest.mark.parametrize("key", sorted({"kind", "controller", "affinity"}))
def test_an_unknown_choice_lists_the_choices(key: str) -> None:
    finding = shut({key: "x"})
    assert finding.path == f"services.chat.expose.{key}"
    assert finding.remedy.startswith("one of: ")


def test_a_controller_carries_out_its_own_kind() -> None:
    assert "carries out kind ingress" in shut({"controller": "ingress-nginx"}).message
    assert "one of: envoy-gateway, gke-gateway, other" in shut({"controller": "ingress-nginx"}).remedy


def test_a_gateway_that_exists_keeps_its_certificate_its_class_and_its_annotations() -> None:
    there = {"gateway": {"name": "shared", "namespace": "edge", "listener": "https"}, "annotations": {"a": "b"}}
    found = by_path(refusal(lambda: exposed(there)))
    assert set(found) == {f"services.chat.expose.{key}" for key in ("tls_secret", "class_name", "annotations")}


def test_a_route_to_a_gateway_that_exists_names_its_https_listener() -> None:
    there = {"gateway": {"name": "shared", "namespace": "edge", "listener": "https"}}
    made = specs(opened(there | {"tls_secret": None, "class_name": None}))
    assert "Gateway" not in made
    assert made["HTTPRoute"]["parentRefs"] == [{"name": "shared", "sectionName": "https", "namespace": "edge"}]


def test_a_gateway_of_its_own_ends_tls_with_the_secret_and_admits_no_other_namespace() -> None:
    (listener,) = specs(opened())["Gateway"]["listeners"]
    assert (listener["protocol"], listener["port"], listener["hostname"]) == ("HTTPS", 443, "chat.example.com")
    assert listener["tls"]["certificateRefs"] == [{"kind": "Secret", "name": "chat-tls"}]
    assert listener["allowedRoutes"] == {"namespaces": {"from": "Same"}}


def test_envoy_gateway_denies_whoever_is_outside_the_ranges() -> None:
    rules = specs(opened())["SecurityPolicy"]["authorization"]
    assert rules["defaultAction"] == "Deny"
    assert [rule["principal"]["clientCIDRs"] for rule in rules["rules"]] == [["203.0.113.0/24"]]


@pytest.mark.parametrize("start", [DOOR, INGRESS], ids=["gateway", "ingress"])
def test_only_the_paths_that_the_api_key_covers_get_through(start: dict[str, Any]) -> None:
    made = specs(opened(start=start))
    if "Ingress" in made:
        (rule,) = made["Ingress"]["rules"]
        paths = [each["path"] for each in rule["http"]["paths"]]
    else:
        paths = [each["path"]["value"] for each in made["HTTPRoute"]["rules"][0]["matches"]]
    assert paths == ["/v1"]


def test_an_ingress_is_told_ranges_timeouts_and_to_let_streams_flow() -> None:
    (ingress,) = opened({"timeout_s": 900, "body_mib": 32}, start=INGRESS).objects
    prefix = "nginx.ingress.kubernetes.io"
    assert ingress.annotations[f"{prefix}/whitelist-source-range"] == "203.0.113.0/24"
    assert ingress.annotations[f"{prefix}/proxy-read-timeout"] == "900"
    assert ingress.annotations[f"{prefix}/proxy-buffering"] == "off"
    assert ingress.annotations[f"{prefix}/proxy-body-size"] == "32m"
    assert ingress.spec["tls"] == [{"hosts": ["chat.example.com"], "secretName": "chat-tls"}]


def test_an_annotation_that_we_set_is_not_set_twice() -> None:
    finding = shut({"annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0"}}, start=INGRESS)
    assert finding.path == "services.chat.expose.annotations"
    assert "whitelist-source-range" in finding.message


@pytest.mark.parametrize("key", ["allowlist-source-range", "configuration-snippet", "server-snippet", "satisfy"])
def test_an_annotation_that_undoes_the_source_ranges_is_refused(key: str) -> None:
    finding = shut({"annotations": {f"nginx.ingress.kubernetes.io/{key}": "any"}}, start=INGRESS)
    assert finding.path == "services.chat.expose.annotations"
    assert key in finding.message


@pytest.mark.parametrize("controller", ["ingress-nginx", "other"])
def test_an_annotation_does_not_name_another_class(controller: str) -> None:
    start = INGRESS | {"controller": controller, "annotations": {"kubernetes.io/ingress.class": "public"}}
    finding = shut({"ranges_enforced_by": "a firewall" if controller == "other" else None}, start=start)
    assert "names another controller than class_name" in finding.message


def test_an_annotation_that_undoes_nothing_is_passed_on() -> None:
    key = "nginx.ingress.kubernetes.io/limit-rps"
    (ingress,) = opened({"annotations": {key: "5"}}, start=INGRESS).objects
    assert ingress.annotations[key] == "5"


def test_a_request_takes_at_most_a_day() -> None:
    finding = shut({"timeout_s": 86401})
    assert finding.path == "services.chat.expose.timeout_s"
    assert finding.message == "must be at most 86400"


@pytest.mark.parametrize(("seconds", "written"), [(600, "600s"), (3600, "1h"), (86400, "24h")])
def test_a_route_waits_as_long_as_a_stream_may_take(seconds: int, written: str) -> None:
    (rule,) = specs(opened({"timeout_s": seconds}))["HTTPRoute"]["rules"]
    assert rule["timeouts"] == {"request": written, "backendRequest": written}


def test_a_controller_that_is_not_maintained_any_more_is_a_warning_with_the_way_out() -> None:
    (found,) = [each for each in exposed(start=INGRESS).findings if each.level is Level.WARNING and each.code == "door"]
    assert "retired in March 2026" in found.message
    assert "kind: gateway" in found.remedy


def test_a_session_is_told_by_a_header_and_callers_without_one_do_not_all_meet_at_one_replica() -> None:
    (ingress,) = opened({"affinity": "session", "session_header": "x-user-id"}, start=INGRESS, replicas=2).objects
    assert ingress.annotations["nginx.ingress.kubernetes.io/upstream-hash-by"] == "$http_x_user_id$remote_addr"
    policy = specs(opened({"affinity": "session", "session_header": "x-user-id"}, replicas=2))["BackendTrafficPolicy"]
    assert policy["loadBalancer"]["consistentHash"] == {"type": "Header", "header": {"name": "x-user-id"}}


def test_affinity_that_nobody_would_carry_out_is_refused() -> None:
    other = {"controller": "other", "ranges_enforced_by": "a firewall", "affinity": "session"}
    assert shut(other, replicas=2).path == "services.chat.expose.affinity"
    assert "endpoint picker" in shut({"affinity": "prefix"}, start=INGRESS, replicas=2).message


def test_prefix_affinity_leads_to_a_pool_that_somebody_installed() -> None:
    assert shut({"affinity": "prefix"}, replicas=2).path == "services.chat.expose.inference_pool"
    route = specs(opened({"affinity": "prefix", "inference_pool": "chat"}, replicas=2))["HTTPRoute"]
    (backend,) = route["rules"][0]["backendRefs"]
    assert backend == {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "chat"}
    picked = specs(opened({"affinity": "prefix", "inference_pool": "pool"}, start=GKE, replicas=2))
    assert picked["GCPBackendPolicy"]["targetRef"]["kind"] == "InferencePool"


def test_an_address_leads_to_one_service() -> None:
    services = {
        name: document(api_key=KEY, weights="hub", expose=DOOR | {"tls_secret": f"{name}-tls"}) for name in ("a", "b")
    }
    spec = parse.stack(stack_document(services, **HUB))
    (finding,) = refusal(lambda: settle(spec, {}))
    assert (finding.path, finding.message) == (
        "services.b.expose.host",
        "https://chat.example.com/v1 is answered by a already",
    )


def cache_notes(plan: Plan) -> list[str]:
    return [each.message for each in plan.findings if each.code == "prefix-cache"]


def test_an_autoscaled_service_loses_by_the_most_replicas_that_it_may_have() -> None:
    watched = HUB | {"defaults": {"monitoring": {"prometheus": "http://p:9090"}}}
    plan = plan_of(keys=watched, weights="hub", autoscaling={"min": 1, "max": 4})
    (note,) = [each for each in plan.findings if each.code == "prefix-cache"]
    assert (note.path, note.level) == ("services.chat.autoscaling.max", Level.NOTE)
    assert "1 of 4" in note.message


def test_what_replicas_lose_of_their_prefix_caches_is_said_with_the_number() -> None:
    (note,) = cache_notes(plan_of(keys=HUB, weights="hub", replicas=4))
    assert "4 prefix caches" in note
    assert "1 of 4 (25 %)" in note
    assert cache_notes(plan_of()) == []


def test_with_a_session_only_what_all_share_is_computed_again() -> None:
    (note,) = cache_notes(exposed({"affinity": "session"}, replicas=3))
    assert note.endswith("computed 3 times")
    assert cache_notes(exposed({"affinity": "prefix", "inference_pool": "p"}, replicas=3)) == []


def test_a_door_changes_nothing_that_is_locked() -> None:
    bare = plan_of(keys=HUB, weights="hub", api_key=KEY)
    assert exposed().decision == bare.decision


@pytest.mark.parametrize("controller", Controller)
def test_every_controller_of_the_spec_is_a_row_of_the_catalog(controller: Controller) -> None:
    assert controllers()[controller].source
