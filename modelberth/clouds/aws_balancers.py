"""Load balancers of AWS and their listeners, as pulumi-aws sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from modelberth.clouds.facts import Fact, both, either, equals, flag, opposite
from modelberth.clouds.links import of_types, refers, target_of
from modelberth.clouds.pool_facts import AnyResource
from modelberth.node import Node

_MODULES = ("lb", "alb", "applicationloadbalancing", "elasticloadbalancingv2")
_BALANCERS = tuple(f"aws:{module}/loadBalancer:LoadBalancer" for module in _MODULES)
_LISTENERS = tuple(f"aws:{module}/listener:Listener" for module in _MODULES)
_FIREWALLS = ("aws:wafv2/webAclAssociation:WebAclAssociation", "aws:wafregional/webAclAssociation:WebAclAssociation")
_MODERN = re.compile(r"ELBSecurityPolicy-(TLS13-1-[23]|FS-1-2|TLS-1-2)(-.*)?")
"""Policies that begin at TLS 1.2: docs.aws.amazon.com/elasticloadbalancing, describe-ssl-policies. Without one it is
ELBSecurityPolicy-2016-08, which begins at 1.0."""


def _balancer(balancer: Node) -> Iterator[Fact]:
    inside = _inside(balancer)
    deletion, logs = balancer["enableDeletionProtection"], balancer["accessLogs"]["enabled"]
    yield Fact(
        "the load balancer is protected from deletion",
        either(inside, flag(deletion, default=False)),
        deletion,
        "one command deletes the address that users know",
        "enableDeletionProtection: true",
    )
    yield Fact(
        "the load balancer logs who asks",
        either(inside, flag(logs, default=False)),
        logs,
        "nobody can tell afterwards who asked for what",
        "accessLogs with a bucket and enabled: true",
    )


def _inside(balancer: Node) -> bool | None:
    """Whether it is no business of the internet's: internal, or one that passes packets to appliances."""
    return either(flag(balancer["internal"], default=False), equals(balancer["loadBalancerType"], "gateway"))


def _listener(listener: Node) -> Iterator[Fact]:
    encrypts = equals(listener["protocol"], "HTTPS", "TLS")
    policy = listener["sslPolicy"]
    modern = None if policy.unknown else bool(_MODERN.fullmatch(policy.text()))
    yield Fact(
        "only TLS 1.2 and newer is spoken",
        either(opposite(encrypts), modern),
        policy,
        "the listener also speaks TLS 1.0 and 1.1",
        "sslPolicy: ELBSecurityPolicy-TLS13-1-2-2021-06",
    )


def together(resources: Sequence[AnyResource]) -> Iterator[tuple[AnyResource, Fact]]:
    """Listeners without encryption and public balancers without a firewall; what is internal is left alone."""
    balancers = of_types(resources, *_BALANCERS)
    for listener in of_types(resources, *_LISTENERS):
        balancer = target_of(listener, listener.node["loadBalancerArn"], balancers)
        yield listener, _plain(listener.node, balancer.node if balancer else None)
    firewalls = of_types(resources, *_FIREWALLS)
    for balancer in balancers:
        answers = [refers(each, each.node["resourceArn"], balancer) for each in firewalls]
        other = opposite(equals(balancer.node["loadBalancerType"], "application", default=True))
        yield (
            balancer,
            Fact(
                "a firewall for requests stands before a public balancer",
                either(_inside(balancer.node), other, *answers),
                balancer.node["internal"],
                "nothing limits or filters what the internet sends",
                "a WebAclAssociation with resourceArn of this balancer",
            ),
        )


def _plain(listener: Node, balancer: Node | None) -> Fact:
    kinds = [action["type"] for action in listener["defaultActions"].each()]
    sends_on = both(*(equals(kind, "redirect", "fixed-response") for kind in kinds)) if kinds else False
    plain = equals(listener["protocol"], "HTTP")
    return Fact(
        "requests from outside are encrypted",
        either(opposite(plain), sends_on, _inside(balancer) if balancer else False),
        listener["protocol"],
        "prompts, answers and keys cross the internet as they are",
        "protocol: HTTPS with a certificate, and here a redirect to it",
        minor=balancer is None,
    )


GUARDED = {**dict.fromkeys(_BALANCERS, _balancer), **dict.fromkeys(_LISTENERS, _listener)}
