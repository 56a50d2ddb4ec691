"""The pack behind its real gRPC servicer, in this process. The class is private: test_pack.py asks a real process."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, policy

from policies.pack import NAME, POLICIES

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "4dabf18193072939515e22adb298388d"
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"


def secret(value: Any) -> dict[str, Any]:
    """A value as the engine sends it when the program marked it secret."""
    return {SECRET: SECRET_VALUE, "value": value}


def request(properties: dict[str, Any], type_: str = DEPLOYMENT) -> analyzer_pb2.AnalyzeRequest:
    """A resource as the engine asks about it."""
    struct = struct_pb2.Struct()
    json_format.ParseDict(properties, struct)
    urn = f"urn:pulumi:dev::project::{type_}::server"
    return analyzer_pb2.AnalyzeRequest(type=type_, name="server", urn=urn, properties=struct)


def verdicts(response: analyzer_pb2.AnalyzeResponse) -> list[tuple[str, str, str]]:
    """(level, rule, message) of each diagnostic, advice last."""
    found = [
        (analyzer_pb2.EnforcementLevel.Name(each.enforcementLevel), each.policyName, each.message)
        for each in response.diagnostics
    ]
    return sorted(found, key=lambda verdict: (verdict[0] != "MANDATORY", verdict[1]))


def analyze(properties: dict[str, Any], type_: str = DEPLOYMENT) -> list[tuple[str, str, str]]:
    """What the pack says about a resource."""
    servicer = policy._PolicyAnalyzerServicer(
        name=NAME, version="0.0.1", policies=POLICIES, enforcement_level=EnforcementLevel.MANDATORY
    )
    return verdicts(servicer.Analyze(request(properties, type_), None))


def names(found: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Levels and rule ids only."""
    return [(level, "-".join(rule.split("-")[:2]).upper()) for level, rule, _ in found]
