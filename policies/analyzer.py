"""The pack as the engine speaks to it: the Analyzer service of Pulumi's protocol.

The engine asks once per resource and once per stack, and each is read once, whatever the number of rules. The policy
SDK would read them once per rule, and turn an unknown value into advice: docs/adr/0014-the-pack-speaks-the-protocol.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc, plugin_pb2

from policies import facts, pack

_LARGEST_MESSAGE = 400 * 1024 * 1024
"""As in Pulumi's own SDKs; a stack is one message."""


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    """Answers for one run of the engine."""

    def __init__(self) -> None:
        stack, project = os.environ.get("PULUMI_STACK", ""), os.environ.get("PULUMI_PROJECT", "")
        self._pack = pack.Pack(_config(), stack, project)

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: N802
        """The protocol wants a version; the one in PulumiPolicy.yaml counts."""
        return plugin_pb2.PluginInfo(version=pack.VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> proto.AnalyzerInfo:  # noqa: N802
        """The policies and what can be configured about them."""
        return self._pack.info()

    def Configure(self, request: proto.ConfigureAnalyzerRequest, context: Any) -> empty_pb2.Empty:  # noqa: N802
        """Levels and settings of this run. Wrong ones end it here, before the program runs: policies of a stack would
        tell of them when everything is created.
        """
        problems = self._pack.configure(request)
        if problems:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, pack.wrong_settings(problems))
        return empty_pb2.Empty()

    def ConfigureStack(self, request: proto.AnalyzerStackConfigureRequest, context: Any) -> Any:  # noqa: N802
        """The stack that is judged, from a language host that does not tell it by the environment."""
        self._pack = pack.Pack(request.config, request.stack, request.project)
        return proto.AnalyzerStackConfigureResponse()

    def Analyze(self, request: proto.AnalyzeRequest, context: Any) -> proto.AnalyzeResponse:  # noqa: N802
        """One resource, before it is registered."""
        try:
            return proto.AnalyzeResponse(diagnostics=self._pack.about(facts.resource(request)))
        except Exception as error:
            return proto.AnalyzeResponse(diagnostics=[pack.internal_error(error, request.urn)])

    def AnalyzeStack(self, request: proto.AnalyzeStackRequest, context: Any) -> proto.AnalyzeResponse:  # noqa: N802
        """All resources together."""
        try:
            told = self._pack.together(facts.resource(each) for each in request.resources)
        except Exception as error:
            told = [pack.internal_error(error, "")]
        return proto.AnalyzeResponse(diagnostics=told)

    def Remediate(self, request: Any, context: Any) -> proto.RemediateResponse:  # noqa: N802
        """Nothing is ever changed silently."""
        return proto.RemediateResponse()

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802
        """Answers take milliseconds: there is nothing to cancel."""
        return empty_pb2.Empty()


def _config() -> Mapping[str, str]:
    """The stack's configuration, as the environment tells it."""
    try:
        found = json.loads(os.environ.get("PULUMI_CONFIG", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def serve() -> None:
    """Serve until stopped; the engine reads the port from standard output."""
    limit = ("grpc.max_receive_message_length", _LARGEST_MESSAGE)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=[limit])
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Analyzer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
