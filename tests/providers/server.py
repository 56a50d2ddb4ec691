"""The provider service that the engine calls, for one package."""

# ruff: noqa: N802 (the service names its methods)
from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.providers import checks, device_plugins, diffs, naming, outputs, sdk_types
from tests.providers.backend import Backend, Refused
from tests.providers.cloud import Cloud
from tests.providers.cluster import KUBECONFIG_VARIABLE
from tests.providers.failures import Failure
from tests.providers.tables import Rules, UnknownResourceError, rules
from tests.providers.values import DEFAULTS, UNKNOWN, from_struct, to_struct
from toolchain.kube import Kube

PropertyDiff = provider_pb2.PropertyDiff
KINDS = {
    ("add", False): PropertyDiff.ADD,
    ("add", True): PropertyDiff.ADD_REPLACE,
    ("delete", False): PropertyDiff.DELETE,
    ("delete", True): PropertyDiff.DELETE_REPLACE,
    ("update", False): PropertyDiff.UPDATE,
    ("update", True): PropertyDiff.UPDATE_REPLACE,
}


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One package, as `gcp`."""

    def __init__(self, package: str, engine: str = "") -> None:
        self._package = package
        self._backend = Backend(package, Cloud.of_environment())
        self._engine = engine
        self._backend.embedded.say = self._say
        if package == "aws" and (kubeconfig := os.environ.get(KUBECONFIG_VARIABLE)):
            device_plugins.watch(Kube(Path(kubeconfig)))

    def _say(self, urn: str, message: str) -> None:
        """A warning that the engine shows beside a resource."""
        if self._engine:
            stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._engine))
            stub.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message, urn=urn))

    # --- configuration ----------------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=sdk_types.version(self._package))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        given = from_struct(request.news)
        types = sdk_types.resource(f"pulumi:providers:{self._package}")
        failures = checks.inputs(decoded(given, types), types)
        return _checked(given, failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        old, new = from_struct(request.old_inputs), from_struct(request.news)
        return _diffed(diffs.diff(old, new, Rules(id="")))

    def Configure(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ConfigureResponse:
        types = sdk_types.resource(f"pulumi:providers:{self._package}")
        self._backend.configured(decoded(from_struct(request.args), types))
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    # --- resources --------------------------------------------------------------------------------------------------

    def Check(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        token, logical = _named(request.urn)
        try:
            row, types = rules(token), sdk_types.resource(token)
        except (UnknownResourceError, sdk_types.UnknownTypeError) as error:
            return _checked({}, [Failure("", str(error))])
        new, failures = naming.filled(
            logical, request.randomSeed, from_struct(request.news), from_struct(request.olds), row
        )
        failures += checks.inputs(new, types, row)
        failures += self._backend.checked(token, new)
        return _checked(new, failures)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        token, _ = _named(request.urn)
        found = diffs.diff(from_struct(request.old_inputs), from_struct(request.news), rules(token))
        return _diffed(found)

    def Create(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        token, _ = _named(request.urn)
        inputs = from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(
                properties=to_struct(outputs.at_preview(inputs, sdk_types.resource(token), rules(token)))
            )
        made = self._tried(context, lambda: self._backend.create(request.urn, token, inputs))
        return provider_pb2.CreateResponse(id=made.id, properties=to_struct({**made.outputs, "id": made.id}))

    def Read(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        token, _ = _named(request.urn)
        found = self._tried(context, lambda: self._backend.read(request.urn, token, request.id))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id,
            properties=to_struct({**found.outputs, "id": found.id}),
            inputs=to_struct(self._backend.as_inputs(found, from_struct(request.inputs))),
        )

    def Update(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        token, _ = _named(request.urn)
        inputs = from_struct(request.news)
        if request.preview:
            changing = dict.fromkeys(rules(token).volatile, UNKNOWN)
            planned = {key: value for key, value in inputs.items() if key != DEFAULTS}
            return provider_pb2.UpdateResponse(
                properties=to_struct({**from_struct(request.olds), **planned, **changing})
            )
        found = self._tried(context, lambda: self._backend.update(request.urn, token, request.id, inputs))
        return provider_pb2.UpdateResponse(properties=to_struct({**found.outputs, "id": found.id}))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        token, _ = _named(request.urn)
        inputs = from_struct(request.old_inputs)
        self._tried(context, lambda: self._backend.delete(request.urn, token, request.id, inputs))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        found = self._tried(context, lambda: self._backend.invoke(request.tok, from_struct(request.args)))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(found))
        return response

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def _tried(self, context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
        """What some work returns; what the cloud refuses is told to the engine."""
        try:
            return work()
        except Refused as refused:
            refused.abort(context)
            raise AssertionError("abort raises") from refused


def _named(urn: str) -> tuple[str, str]:
    """The type and the logical name that a URN ends with."""
    _, _, rest = urn.partition("::")
    _, qualified, logical = rest.split("::", 2)
    return qualified.rpartition("$")[2], logical


def decoded(given: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    """Provider inputs with what is not a string read from the JSON text that it travels as."""
    result = {}
    for key, value in given.items():
        if key in ("version", "pluginDownloadURL"):
            continue
        known = types["inputs"].get(key)
        if known is not None and known["type"] != "str" and isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        result[key] = value
    return result


def _checked(values: dict[str, Any], failures: list[Failure]) -> provider_pb2.CheckResponse:
    return provider_pb2.CheckResponse(
        inputs=to_struct(values),
        failures=[
            provider_pb2.CheckFailure(property=each.path, reason=f"{each.path}: {each.reason}") for each in failures
        ],
    )


def _diffed(found: diffs.Diff) -> provider_pb2.DiffResponse:
    response = provider_pb2.DiffResponse
    tops = dict.fromkeys(path.partition(".")[0].partition("[")[0] for path in found.changed)
    return response(
        changes=response.DIFF_SOME if found.changed else response.DIFF_NONE,
        diffs=list(tops),
        replaces=sorted({path.partition(".")[0].partition("[")[0] for path in found.replaces}),
        deleteBeforeReplace=found.delete_first,
        hasDetailedDiff=True,
        detailedDiff={
            path: PropertyDiff(kind=KINDS[kind, path in found.replaces], inputDiff=True)
            for path, kind in found.changed.items()
        },
    )
