"""Examples of the rule about load balancers."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case, Seen

ARN = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/chat/1"


def balancer(**changes: Any) -> Seen:
    guarded = {"arn": ARN, "internal": False, "loadBalancerType": "application", "enableDeletionProtection": True}
    return "aws:lb/loadBalancer:LoadBalancer", guarded | {
        "accessLogs": {"bucket": "access-logs", "enabled": True}
    } | changes


def listener(**changes: Any) -> Seen:
    encrypted = {"loadBalancerArn": ARN, "protocol": "HTTPS", "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"}
    return "aws:lb/listener:Listener", encrypted | {"defaultActions": [{"type": "forward"}]} | changes


def firewall(arn: Any = ARN) -> Seen:
    return "aws:wafv2/webAclAssociation:WebAclAssociation", {"resourceArn": arn, "webAclArn": "arn:aws:wafv2:acl"}


def backend(kind: str = "backendService:BackendService", **changes: Any) -> Seen:
    guarded = {"protocol": "HTTP", "loadBalancingScheme": "EXTERNAL_MANAGED", "logConfig": {"enable": True}}
    stated = guarded | {"securityPolicy": "projects/p/global/securityPolicies/chat"} | changes
    return f"gcp:compute/{kind}", {name: value for name, value in stated.items() if value is not None}


def tls(**inputs: Any) -> Seen:
    return "gcp:compute/sSLPolicy:SSLPolicy", {"name": "chat", **inputs}


def proxy(**inputs: Any) -> Seen:
    return "gcp:compute/targetHttpsProxy:TargetHttpsProxy", {"name": "chat", "urlMap": "chat", **inputs}


def plain_proxy(**inputs: Any) -> Seen:
    return "gcp:compute/targetHttpProxy:TargetHttpProxy", {"name": "chat", "urlMap": "chat", **inputs}


def url_map(**inputs: Any) -> Seen:
    return "gcp:compute/uRLMap:URLMap", {"name": "chat", **inputs}


def entry(**inputs: Any) -> Seen:
    return "gcp:compute/globalForwardingRule:GlobalForwardingRule", {"target": "chat", **inputs}


_OLD = "speaks TLS 1.0"
CASES = (
    Case("CS-18", "a guarded balancer is fine", (balancer(), listener(), firewall())),
    Case(
        "CS-18",
        "a balancer that one command deletes is refused",
        (balancer(enableDeletionProtection=False), firewall()),
        "one command",
    ),
    Case(
        "CS-18",
        "a balancer without logs is refused",
        (balancer(accessLogs=None), firewall()),
        "accessLogs.enabled: nobody",
    ),
    Case(
        "CS-18",
        "logs that are off are none",
        (balancer(accessLogs={"bucket": "b"}), firewall()),
        "accessLogs.enabled: nobody",
    ),
    Case(
        "CS-18",
        "an internal balancer is left alone",
        (balancer(internal=True, enableDeletionProtection=False, accessLogs={}),),
    ),
    Case(
        "CS-18",
        "whether it is internal may not be known yet",
        (balancer(internal=UNKNOWN, accessLogs={}), firewall()),
        "cannot decide whether the load balancer logs",
        undecided=True,
    ),
    Case("CS-18", "a public balancer without a firewall is refused", (balancer(),), "limits or filters"),
    Case("CS-18", "the firewall of another is none", (balancer(), firewall(f"{ARN}2")), "limits or filters"),
    Case(
        "CS-18",
        "a firewall of what is not known yet is a doubt",
        (balancer(), firewall(UNKNOWN)),
        "cannot decide",
        undecided=True,
    ),
    Case("CS-18", "a balancer of connections has no such firewall", (balancer(loadBalancerType="network"),)),
    Case("CS-18", "the default policy is an old one", (listener(sslPolicy=None),), _OLD),
    Case(
        "CS-18",
        "an old policy is refused",
        (listener(sslPolicy="ELBSecurityPolicy-TLS13-1-1-2021-06"),),
        _OLD,
        boundary=True,
    ),
    Case(
        "CS-18", "a newer policy is fine", (listener(sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"),), boundary=True
    ),
    Case("CS-18", "a policy of 1.2 alone is fine", (listener(sslPolicy="ELBSecurityPolicy-TLS-1-2-Ext-2018-06"),)),
    Case(
        "CS-18",
        "a policy that is not known yet is a doubt",
        (listener(sslPolicy=UNKNOWN),),
        "TLS 1.2 and newer",
        undecided=True,
    ),
    Case(
        "CS-18",
        "a listener in the clear is refused",
        (balancer(), firewall(), listener(protocol="HTTP")),
        "cross the internet",
    ),
    Case(
        "CS-18",
        "a listener that sends on is fine",
        (balancer(), firewall(), listener(protocol="HTTP", defaultActions=[{"type": "redirect"}])),
    ),
    Case("CS-18", "an internal listener in the clear is fine", (balancer(internal=True), listener(protocol="HTTP"))),
    Case(
        "CS-18",
        "a listener of a balancer elsewhere is advice",
        (listener(protocol="HTTP"),),
        "cross the internet",
        advice=True,
    ),
    Case("CS-18", "a guarded backend is fine", (backend(),)),
    Case("CS-18", "a backend without logs is refused", (backend(logConfig=None),), "logConfig.enable: nobody"),
    Case("CS-18", "a backend without a firewall is refused", (backend(securityPolicy=None),), "limits or filters"),
    Case(
        "CS-18", "an internal backend is left alone", (backend(loadBalancingScheme="INTERNAL_MANAGED", logConfig=None),)
    ),
    Case(
        "CS-18",
        "a regional backend is internal unasked",
        (backend("regionBackendService:RegionBackendService", loadBalancingScheme=None, securityPolicy=None),),
    ),
    Case("CS-18", "a firewall that is known later is one", (backend(securityPolicy=UNKNOWN),)),
    Case("CS-18", "TLS 1.1 is refused", (tls(minTlsVersion="TLS_1_1"),), "TLS 1.0 and 1.1", boundary=True),
    Case("CS-18", "TLS 1.2 is fine", (tls(minTlsVersion="TLS_1_2"),), boundary=True),
    Case("CS-18", "nothing said about TLS is 1.0", (tls(),), "TLS 1.0 and 1.1"),
    Case("CS-18", "a proxy without a policy is refused", (proxy(),), "without a policy"),
    Case("CS-18", "a proxy with a policy is fine", (proxy(sslPolicy=UNKNOWN),)),
    Case("CS-18", "a proxy in the clear is refused", (plain_proxy(), url_map()), "cross the internet"),
    Case(
        "CS-18", "a proxy that sends on is fine", (plain_proxy(), url_map(defaultUrlRedirect={"httpsRedirect": True}))
    ),
    Case(
        "CS-18",
        "an internal proxy is left alone",
        (plain_proxy(), url_map(), entry(loadBalancingScheme="INTERNAL_MANAGED")),
    ),
    Case(
        "CS-18",
        "a public entry changes nothing",
        (plain_proxy(), url_map(), entry(loadBalancingScheme="EXTERNAL")),
        "cross the internet",
    ),
)
