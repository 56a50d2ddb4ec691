"""Parts of a load balancer of Google Cloud, as pulumi-gcp sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from modelberth.clouds.facts import Fact, both, either, equals, flag, opposite
from modelberth.clouds.links import of_types, refers, target_of
from modelberth.clouds.pool_facts import AnyResource
from modelberth.node import Node

_POLICIES = ("gcp:compute/sSLPolicy:SSLPolicy", "gcp:compute/regionSslPolicy:RegionSslPolicy")
_ENCRYPTING = (
    "gcp:compute/targetHttpsProxy:TargetHttpsProxy",
    "gcp:compute/targetSSLProxy:TargetSSLProxy",
    "gcp:compute/regionTargetHttpsProxy:RegionTargetHttpsProxy",
)
_PLAIN = ("gcp:compute/targetHttpProxy:TargetHttpProxy", "gcp:compute/regionTargetHttpProxy:RegionTargetHttpProxy")
_MAPS = ("gcp:compute/uRLMap:URLMap", "gcp:compute/regionUrlMap:RegionUrlMap")
_RULES = ("gcp:compute/globalForwardingRule:GlobalForwardingRule", "gcp:compute/forwardingRule:ForwardingRule")
_OUTSIDE = ("EXTERNAL", "EXTERNAL_MANAGED")
_REQUESTS = ("HTTP", "HTTPS", "HTTP2", "H2C", "GRPC")


def _policy(policy: Node) -> Iterator[Fact]:
    yield Fact(
        "only TLS 1.2 and newer is spoken",
        equals(policy["minTlsVersion"], "TLS_1_2", "TLS_1_3"),
        policy["minTlsVersion"],
        "the policy also lets TLS 1.0 and 1.1 in",
        "minTlsVersion: TLS_1_2",
    )


def _proxy(proxy: Node) -> Iterator[Fact]:
    """A policy that is made in the same program has no name yet; what it says is judged where it is made."""
    yield Fact(
        "only TLS 1.2 and newer is spoken",
        proxy["sslPolicy"].stated,
        proxy["sslPolicy"],
        "without a policy TLS 1.0 and 1.1 are spoken too",
        "sslPolicy with an SSLPolicy of minTlsVersion: TLS_1_2",
    )


def _backend(backend: Node, *, outside_unasked: bool) -> Iterator[Fact]:
    inside = opposite(equals(backend["loadBalancingScheme"], *_OUTSIDE, default=outside_unasked))
    logs = backend["logConfig"]["enable"]
    yield Fact(
        "the load balancer logs who asks",
        either(inside, flag(logs, default=False)),
        logs,
        "nobody can tell afterwards who asked for what",
        "logConfig.enable: true",
    )
    requests = equals(backend["protocol"], *_REQUESTS, default=outside_unasked)
    yield Fact(
        "a firewall for requests stands before a public balancer",
        either(inside, opposite(requests), backend["securityPolicy"].stated),
        backend["securityPolicy"],
        "nothing limits or filters what the internet sends",
        "securityPolicy with a SecurityPolicy of Cloud Armor",
    )


def together(resources: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Fact]]:
    """Proxies without encryption that do more than send on to the encrypted one."""
    maps, rules = of_types(resources, *_MAPS), of_types(resources, *_RULES)
    for proxy in of_types(resources, *_PLAIN):
        own = [rule for rule in rules if refers(rule, rule.node["target"], proxy)]
        schemes = [rule.node["loadBalancingScheme"] for rule in own]
        inside = both(*(opposite(equals(each, *_OUTSIDE, default=True)) for each in schemes)) if own else False
        urls = target_of(proxy, proxy.node["urlMap"], maps)
        redirects = flag(urls.node["defaultUrlRedirect"]["httpsRedirect"], default=False) if urls else False
        yield (
            proxy,
            Fact(
                "requests from outside are encrypted",
                either(inside, redirects),
                proxy.node["urlMap"],
                "prompts, answers and keys cross the internet as they are",
                "a TargetHttpsProxy, and here a URLMap with defaultUrlRedirect.httpsRedirect: true",
                minor=urls is None,
            ),
        )


GUARDED = {
    **dict.fromkeys(_POLICIES, _policy),
    **dict.fromkeys(_ENCRYPTING, _proxy),
    "gcp:compute/backendService:BackendService": partial(_backend, outside_unasked=True),
    "gcp:compute/regionBackendService:RegionBackendService": partial(_backend, outside_unasked=False),
}
