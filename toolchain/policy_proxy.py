"""Start a policy pack with the stack's configuration.

A policy pack written in Python reads the configuration from its environment, so it must be known before the pack
starts; the engine tells it only afterwards, by a call. The proxy takes the engine's calls until the pack can be
started with what they say, and passes all later ones on.
"""

from __future__ import annotations

import json
from concurrent import futures
from contextlib import suppress

import grpc
from pulumi.runtime.proto import analyzer_pb2

NO_LIMIT = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
SERVICE = "/pulumirpc.Analyzer/"


class PolicyProxy(grpc.GenericRpcHandler):
    """Serves one policy pack on a port of its own; messages it does not need to read pass as bytes."""

    def __init__(self) -> None:
        self.configuration: futures.Future[analyzer_pb2.AnalyzerStackConfigureRequest | None] = futures.Future()
        self._pack: futures.Future[grpc.Channel] = futures.Future()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), options=NO_LIMIT)
        self._server.add_generic_rpc_handlers((self,))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answer(method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        if method == SERVICE + "Handshake":
            return b""
        if method == SERVICE + "ConfigureStack":
            self._configure(analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request))
            return b""
        self._configure(None)
        try:
            return self._pack.result().unary_unary(method)(request)
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call):
                context.abort(error.code(), error.details() or "")
            raise
        except ChildProcessError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort raises")

    def _configure(self, configuration: analyzer_pb2.AnalyzerStackConfigureRequest | None) -> None:
        """The first call decides: one that is not ConfigureStack means that there is no configuration."""
        with suppress(futures.InvalidStateError):
            self.configuration.set_result(configuration)

    def attach(self, port: int | None) -> None:
        """Pass calls on to the pack, which listens on this port; None means that it ended before it did."""
        if port is None:
            self._fail("the policy pack did not start; its own output says why")
        else:
            with suppress(futures.InvalidStateError):
                self._pack.set_result(grpc.insecure_channel(f"127.0.0.1:{port}", options=NO_LIMIT))

    def environment(self) -> dict[str, str]:
        """Waits for the configuration and returns it as the environment variables that the pack reads."""
        configuration = self.configuration.result()
        if configuration is None:
            return {}
        values = {
            "PULUMI_ORGANIZATION": configuration.organization,
            "PULUMI_PROJECT": configuration.project,
            "PULUMI_STACK": configuration.stack,
            "PULUMI_DRY_RUN": str(configuration.dry_run).lower(),
            "PULUMI_CONFIG": json.dumps(dict(configuration.config)),
        }
        return {name: value for name, value in values.items() if value}

    def stop(self) -> None:
        self.configuration.cancel()
        self._fail("the policy pack was stopped")
        self._server.stop(0)

    def _fail(self, why: str) -> None:
        with suppress(futures.InvalidStateError):
            self._pack.set_exception(ChildProcessError(why))
