"""Examples of WH-13."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.samples import LLAMA_8B, ollama, vllm
from tests.rules.stacks import made, server, service

OPEN = "no source ranges are stated"
DIRECT = "leads to a model server directly"
CLEAR = "without TLS"
KEYLESS = "has no API key"
_KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "api", "key": "key"}}}
_KEYED = server(vllm(env=[_KEY]))
_KEYED_OURS = server(vllm(env=[_KEY]), ours=True)


def _balancer(notes: Any = None, ours: bool = False, **spec: Any) -> tuple[dict[str, Any], ...]:
    return (server(), service(notes=notes, ours=ours, **({"type": "LoadBalancer"} | spec)))


def _ingress(notes: Any = None, ours: bool = False, name: Any = "chat", **spec: Any) -> dict[str, Any]:
    path = {"path": "/v1", "backend": {"service": {"name": name, "port": {"number": 8000}}}}
    whole = {"tls": [{"hosts": ["chat.example.com"], "secretName": "tls"}], "rules": [{"http": {"paths": [path]}}]}
    return made("Ingress", {k: v for k, v in (whole | spec).items() if v is not None}, ours=ours, annotations=notes)


def _gateway(protocol: Any, ours: bool = True, section: str = "web") -> tuple[dict[str, Any], ...]:
    listener = {"name": "web", "protocol": protocol, "port": 443}
    rules = [{"backendRefs": [{"name": "chat", "port": 8000}]}]
    parent = {"name": "door", "sectionName": section}
    return (
        made("Gateway", {"listeners": [listener]}, "door", ours),
        made("HTTPRoute", {"parentRefs": [parent], "rules": rules}, "chat", ours),
    )


_SCHEME = "service.beta.kubernetes.io/aws-load-balancer-scheme"
_WEB = server({"name": "web", "image": "nginx:1.29"}, name="web", labels={"app": "web"})
CASES = (
    Case("WH-13", "a Service inside the cluster passes", (server(), service(type="ClusterIP"))),
    Case("WH-13", "a load balancer for everybody stops", _balancer(), OPEN),
    Case(
        "WH-13",
        "one in front of something else is none of its business",
        (server(), _WEB, service({"app": "web"}, type="LoadBalancer")),
    ),
    Case("WH-13", "one without a selector leads to nobody", _balancer(selector={})),
    Case("WH-13", "one in front of groups stops", (server(kind="LeaderWorkerSet"), service(type="LoadBalancer")), OPEN),
    Case(
        "WH-13",
        "callers by range are advised a gateway",
        _balancer(loadBalancerSourceRanges=["203.0.113.0/24"]),
        DIRECT,
        advice=True,
    ),
    Case(
        "WH-13",
        "our own Services are never load balancers",
        _balancer(ours=True, loadBalancerSourceRanges=["203.0.113.0/24"]),
        DIRECT,
    ),
    Case(
        "WH-13",
        "a network of eight bits is a range",
        _balancer(loadBalancerSourceRanges=["11.0.0.0/8"]),
        DIRECT,
        advice=True,
        boundary=True,
    ),
    Case(
        "WH-13",
        "all addresses are none",
        _balancer(loadBalancerSourceRanges=["0.0.0.0/0"]),
        "from every address",
        boundary=True,
    ),
    Case(
        "WH-13",
        "a network of seven bits is none",
        _balancer(loadBalancerSourceRanges=["12.0.0.0/7"]),
        "from every address",
    ),
    Case("WH-13", "Google's internal one passes", _balancer({"networking.gke.io/load-balancer-type": "Internal"})),
    Case("WH-13", "Amazon's internal one passes", _balancer({_SCHEME: "internal"})),
    Case("WH-13", "Amazon's facing the internet does not", _balancer({_SCHEME: "internet-facing"}), OPEN),
    Case("WH-13", "a class that is internal by default passes", _balancer(loadBalancerClass="service.k8s.aws/nlb")),
    Case(
        "WH-13",
        "such a class may be told otherwise",
        _balancer({_SCHEME: "internet-facing"}, loadBalancerClass="service.k8s.aws/nlb"),
        OPEN,
    ),
    Case(
        "WH-13",
        "Azure's internal one passes",
        _balancer({"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}),
    ),
    Case(
        "WH-13",
        "Azure's that says no does not",
        _balancer({"service.beta.kubernetes.io/azure-load-balancer-internal": "false"}),
        OPEN,
    ),
    Case("WH-13", "the last private address is inside", _balancer(loadBalancerIP="172.31.255.255"), boundary=True),
    Case("WH-13", "the next one is outside", _balancer(loadBalancerIP="172.32.0.0"), OPEN, boundary=True),
    Case(
        "WH-13",
        "ranges may be an annotation",
        _balancer({"service.beta.kubernetes.io/load-balancer-source-ranges": "203.0.113.0/24"}),
        DIRECT,
        advice=True,
    ),
    Case("WH-13", "an unknown kind is open", _balancer(type=UNKNOWN), "whether", undecided=True),
    Case("WH-13", "unknown annotations are open", _balancer({_SCHEME: UNKNOWN}), "whether", undecided=True),
    Case("WH-13", "unknown ranges are open", _balancer(loadBalancerSourceRanges=UNKNOWN), "whether", undecided=True),
    Case(
        "WH-13",
        "a port of every node is advised against",
        _balancer(type="NodePort"),
        "a port of every node",
        advice=True,
    ),
    Case("WH-13", "of ours it stops", _balancer(ours=True, type="NodePort"), "a port of every node"),
    Case(
        "WH-13",
        "external addresses are advised against",
        _balancer(type="ClusterIP", externalIPs=["203.0.113.7"]),
        "external addresses",
        advice=True,
    ),
    Case("WH-13", "an Ingress with a certificate and a key passes", (_KEYED, service(), _ingress())),
    Case(
        "WH-13",
        "one without a certificate is advised against",
        (_KEYED, service(), _ingress(tls=None)),
        CLEAR,
        advice=True,
    ),
    Case("WH-13", "of ours it stops too", (_KEYED_OURS, service(), _ingress(tls=None, ours=True)), CLEAR),
    Case(
        "WH-13",
        "an annotation may name the certificate",
        (_KEYED, service(), _ingress({"alb.ingress.kubernetes.io/certificate-arn": "arn"}, tls=None)),
    ),
    Case(
        "WH-13",
        "a certificate that will be is open",
        (_KEYED, service(), _ingress(tls=UNKNOWN, ours=True)),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-13",
        "an internal Ingress passes",
        (server(), service(), _ingress(tls=None, ingressClassName="gce-internal")),
    ),
    Case(
        "WH-13", "no key behind an Ingress is advised against", (server(), service(), _ingress()), KEYLESS, advice=True
    ),
    Case(
        "WH-13",
        "a key in the arguments is another rule's matter",
        (server(vllm("--model", LLAMA_8B, "--api-key", "x")), service(), _ingress()),
    ),
    Case(
        "WH-13",
        "the door may check callers",
        (server(), service(), _ingress({"nginx.ingress.kubernetes.io/auth-url": "http://auth"})),
    ),
    Case("WH-13", "an engine that knows no key is left to its door", (server(ollama()), service(), _ingress())),
    Case(
        "WH-13",
        "an Ingress of another Service is none of its business",
        (server(), service(), _ingress(name="web", tls=None)),
    ),
    Case(
        "WH-13",
        "an internal class that may be told otherwise is open",
        _balancer({_SCHEME: UNKNOWN}, loadBalancerClass="service.k8s.aws/nlb"),
        "whether",
        undecided=True,
    ),
    Case(
        "WH-13",
        "an Ingress that may lead to it is asked",
        (_KEYED_OURS, service(), _ingress(tls=None, ours=True, name=UNKNOWN)),
        CLEAR,
    ),
    Case("WH-13", "a Gateway with TLS passes", (_KEYED_OURS, service(), *_gateway("HTTPS"))),
    Case("WH-13", "a Gateway without it stops", (_KEYED_OURS, service(), *_gateway("HTTP")), CLEAR),
    Case("WH-13", "another's is advised", (_KEYED, service(), *_gateway("HTTP", ours=False)), CLEAR, advice=True),
    Case("WH-13", "another listener of it is not asked", (_KEYED_OURS, service(), *_gateway("HTTP", section="tls"))),
    Case(
        "WH-13", "an unknown protocol is open", (_KEYED_OURS, service(), *_gateway(UNKNOWN)), "whether", undecided=True
    ),
    Case("WH-13", "no key behind our own route stops", (server(ours=True), service(), *_gateway("HTTPS")), KEYLESS),
    Case(
        "WH-13",
        "two halves are every address",
        _balancer(loadBalancerSourceRanges=["0.0.0.0/1", "128.0.0.0/1"]),
        "from every address",
    ),
    Case(
        "WH-13",
        "half of all addresses is as good as all",
        _balancer(loadBalancerSourceRanges=["0.0.0.0/1"]),
        "from every address",
    ),
    Case(
        "WH-13",
        "an address of MetalLB that is private is for the inside",
        _balancer({"metallb.io/loadBalancerIPs": "10.1.2.3"}),
    ),
    Case("WH-13", "a public address of Cilium's is open", _balancer({"lbipam.cilium.io/ips": "8.8.8.8"}), OPEN),
)
