"""Providers: which cluster and which account a resource goes to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelberth.clouds import providers
from modelberth.findings import Finding
from modelberth.resources import Resource
from modelberth.rules.base import IN_PROD, Rule, Settings, Severity

_DEFAULT = re.compile(r"default(_\d.*)?")
"""What the engine calls the providers that it makes itself: pkg/resource/deploy/providers of Pulumi."""


def _explicit(resource: Resource, settings: Settings) -> Iterator[Finding]:
    name = resource.options.provider.rpartition("::")[2]
    if resource.from_program and providers.ambient(resource.type) and _DEFAULT.fullmatch(name):
        message = "goes to whatever cluster or account the machine that deploys is logged in to"
        remedy = "the resource option provider with a provider that names its cluster, project or account"
        yield Finding("CS-22", "options.provider", message, remedy)


EXPLICIT = Rule(
    id="CS-22",
    name="provider-explicit",
    title="The provider is explicit",
    question="whether the provider is explicit",
    why="Another context in a kubeconfig, or other credentials in the environment, and a stack lands somewhere else.",
    remediation="Make a provider that names its cluster, project or account, and pass it to every resource.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="Pulumi, default providers: pkg/resource/deploy/providers/registry.go; disable-default-providers",
    check=_explicit,
)
RULES = (EXPLICIT,)
