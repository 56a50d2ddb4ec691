"""A stack with doors comes up: real engine, real API server. Who carries doors out is not there, as with any `up`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.conftest import Project
from toolchain import crds
from toolchain.kube import Kube

pytestmark = pytest.mark.engine

GATEWAY = "gateway.networking.k8s.io/v1"
RANGES = ["203.0.113.0/24"]
CHAT: dict[str, Any] = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "context": 8192,
    "concurrency": 3,
    "pool": "l4",
    "api_key": {"secret": "api", "key": "key"},
}
DOOR = {
    "controller": "other",
    "ranges_enforced_by": "the office's firewall",
    "tls_secret": "tls",
    "source_ranges": RANGES,
    "proxy_namespace": "edge",
}


def test_services_with_doors_come_up_and_pods_let_the_doors_proxies_in(project: Project, kube: Kube) -> None:
    crds.install(kube, "gateway-api")
    namespace = {"apiVersion": "v1", "kind": "Namespace"}
    theirs = [
        namespace | {"metadata": {"name": "edge"}},
        namespace | {"metadata": {"name": project.namespace}},
        {"apiVersion": GATEWAY, "kind": "GatewayClass", "spec": {"controllerName": "example.com/door"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "example.com/door"}},
    ]
    for each in theirs:
        kube.create({"metadata": {"name": "doors"}} | each)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api", "namespace": project.namespace}}
    kube.create(secret | {"stringData": {"key": "planted-key"}})
    try:
        doors = {
            "chat": {"kind": "gateway", "class_name": "doors", "host": "chat.example.com"},
            "mail": {"kind": "ingress", "class_name": "doors", "host": "mail.example.com"},
        }
        project.write({name: CHAT | {"expose": DOOR | door} for name, door in doors.items()})
        done = project.pulumi("up", "--yes", "--skip-preview", policies=True)
        assert done.returncode == 0, done.stdout + done.stderr
        there = f"namespaces/{project.namespace}"
        route = kube.get(f"/apis/{GATEWAY}/{there}/httproutes/chat")
        assert (
            route["spec"]["parentRefs"][0]["name"]
            == kube.get(f"/apis/{GATEWAY}/{there}/gateways/chat")["metadata"]["name"]
        )
        ingress = kube.get(f"/apis/networking.k8s.io/v1/{there}/ingresses/mail")
        assert ingress["spec"]["tls"] == [{"hosts": ["mail.example.com"], "secretName": "tls"}]
        for policy in kube.list(f"/apis/networking.k8s.io/v1/{there}/networkpolicies"):
            if policy["metadata"]["labels"].get("modelberth.dev/role") == "server":
                peers = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
                assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}} in peers
        again = project.pulumi("preview", "--expect-no-changes")
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        project.pulumi("destroy", "--yes", "--suppress-outputs")
        for each in theirs:
            kube.delete({"metadata": {"name": "doors"}} | each)
