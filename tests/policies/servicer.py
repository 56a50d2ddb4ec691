"""The pack behind its gRPC servicer, in this process; test_pack.py asks a real process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from modelberth.observed import UNKNOWN
from modelberth.resources import Resource
from policies.analyzer import Analyzer

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "4dabf18193072939515e22adb298388d"
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN_BOOLEAN = "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"
UNKNOWN_NUMBER = "3eeb2bf0-c639-47a8-9e75-3b44932eb421"
UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_ARRAY = "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2"
UNKNOWN_OBJECT = "dd056dcd-154b-4c76-9bd3-c8f88648b5ff"


def secret(value: Any) -> dict[str, Any]:
    """A value as the engine sends it when the program marked it secret."""
    return {SECRET: SECRET_VALUE, "value": value}


def request(properties: dict[str, Any], type_: str = DEPLOYMENT) -> analyzer_pb2.AnalyzeRequest:
    """A resource as the engine asks about it."""
    struct = struct_pb2.Struct()
    json_format.ParseDict(properties, struct)
    urn = f"urn:pulumi:dev::project::{type_}::server"
    return analyzer_pb2.AnalyzeRequest(type=type_, name="server", urn=urn, properties=struct)


def encoded(value: Any) -> Any:
    """A value of a case as the engine sends it: what is not known as a marker, numbers as JSON has them."""
    if value is UNKNOWN:
        return UNKNOWN_STRING
    if isinstance(value, Mapping):
        return {str(key): encoded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def asked(resource: Resource) -> analyzer_pb2.AnalyzeRequest:
    """A resource as the engine asks about it before it registers it."""
    return _filled(analyzer_pb2.AnalyzeRequest(), resource)


def asked_together(resources: Iterable[Resource]) -> analyzer_pb2.AnalyzeStackRequest:
    """A stack as the engine asks about it."""
    request = analyzer_pb2.AnalyzeStackRequest()
    for resource in resources:
        entry = _filled(request.resources.add(), resource)
        entry.parent = resource.parent
        entry.dependencies.extend(resource.dependencies)
        for name, urns in resource.property_dependencies.items():
            entry.propertyDependencies[name].urns.extend(urns)
    return request


def _filled(request: Any, resource: Resource) -> Any:
    options = resource.options
    request.type, request.name, request.urn = resource.type, resource.name, resource.urn
    json_format.ParseDict(encoded(resource.properties), request.properties)
    request.options.protect = bool(options.protect)
    request.options.parent = resource.parent
    request.options.customTimeouts.create = options.create_timeout_s or 0
    request.options.customTimeouts.update = options.update_timeout_s or 0
    request.provider.urn = options.provider
    return request


def stack(*resources: tuple[str, dict[str, Any]]) -> analyzer_pb2.AnalyzeStackRequest:
    """A stack as the engine asks about it: (type token, properties) of each resource."""
    each_asked = [request(properties, type_) for type_, properties in resources]
    return analyzer_pb2.AnalyzeStackRequest(
        resources=[
            analyzer_pb2.AnalyzerResource(
                type=each.type, name=f"r{index}", urn=f"{each.urn}-{index}", properties=each.properties
            )
            for index, each in enumerate(each_asked)
        ]
    )


def configuration(policy: dict[str, Any]) -> analyzer_pb2.ConfigureAnalyzerRequest:
    """A ``--policy-pack-config`` document as the engine hands it on: a level for every policy, defaults filled in.

    As ReconcilePolicyPackConfig does it, resource/analyzer/config.go of Pulumi: what policies say of themselves, then
    the pack's own initial configuration, then "all", then each entry.
    """
    info = _info()
    levels = {each.name: each.enforcementLevel for each in info.policies}
    levels |= {name: each.enforcementLevel for name, each in info.initialConfig.items()}
    properties: dict[str, dict[str, Any]] = {
        each.name: {name: known["default"] for name, known in _properties(each).items() if "default" in known}
        for each in info.policies
    }
    given = {
        name: {"enforcementLevel": entry} if isinstance(entry, str) else dict(entry) for name, entry in policy.items()
    }
    if level := given.get("all", {}).get("enforcementLevel"):
        levels = dict.fromkeys(levels, analyzer_pb2.EnforcementLevel.Value(level.upper()))
    for name, entry in given.items():
        if level := entry.pop("enforcementLevel", None):
            levels[name] = analyzer_pb2.EnforcementLevel.Value(level.upper())
        if name not in levels:
            raise ValueError('invalid enforcement level ""')  # what the engine says, before the pack hears of it
        properties[name] = properties.get(name, {}) | entry
    found = {name: analyzer_pb2.PolicyConfig(enforcementLevel=level) for name, level in levels.items()}
    for name, config in found.items():
        json_format.ParseDict(properties.get(name, {}), config.properties)
    return analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=found)


@cache
def _info() -> analyzer_pb2.AnalyzerInfo:
    return Analyzer().GetAnalyzerInfo(None, None)


def _properties(policy: analyzer_pb2.PolicyInfo) -> dict[str, Any]:
    return json_format.MessageToDict(policy.configSchema).get("properties", {})


class Refused(Exception):
    """What the engine prints when the pack refuses its configuration."""


class Context:
    """The part of a call that the pack uses."""

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Refused(details)


def verdicts(response: analyzer_pb2.AnalyzeResponse) -> list[tuple[str, str, str]]:
    """(level, rule, message) of each diagnostic, advice last."""
    found = [
        (analyzer_pb2.EnforcementLevel.Name(each.enforcementLevel), each.policyName, each.message)
        for each in response.diagnostics
    ]
    return sorted(found, key=lambda verdict: (verdict[0] != "MANDATORY", verdict[1]))


def analyzer(policy: dict[str, Any] | None = None) -> Analyzer:
    """A pack that is configured like this."""
    found = Analyzer()
    found.Configure(configuration(policy or {}), Context())
    return found


def analyze(
    properties: dict[str, Any],
    type_: str = DEPLOYMENT,
    policy: dict[str, Any] | None = None,
) -> list[tuple[str, str, str]]:
    """What the pack says about a resource."""
    return verdicts(analyzer(policy).Analyze(request(properties, type_), None))


def names(found: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Levels and rule ids only."""
    return [(level, "-".join(rule.split("-")[:2]).upper()) for level, rule, _ in found]


def stopping(found: list[tuple[str, str, str]]) -> list[str]:
    """The ids of the rules that stop: the least that serves is not hardened, and advised about much."""
    return [rule for level, rule in names(found) if level == "MANDATORY"]
